"""A published run back into a store: dictionary, names and evaluation as the artifacts they were, under their own keys.

A key is derived from what an artifact was made from, so that the configuration that came with it finds them and nothing is made
twice. Nothing in the repository is believed before its hash, and the key itself, are derived again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae_core.config import RunConfig, load_config
from sae_core.errors import InputError
from sae_core.publish.folder import CONFIG, PARTS, PUBLICATION, read_publication
from sae_core.sae.formats.hub import Address, fetch
from sae_core.store import MANIFEST, Store, make_key, sha256_file, sync_folder, write_atomic

BACK = [PUBLICATION, CONFIG, *(f"{part.folder}/*" for part in PARTS.values())]
"""What is fetched: the dictionary in other formats stays where it is."""


@dataclass(frozen=True)
class Brought:
    """What came back.

    Attributes:
        run: the id of the run it was.
        keys: of every node the publisher had made, by name.
        artifacts: the keys that are in the store now, by stage.
        metrics: what the publisher's artifacts say was measured, by stage.
        sha256: of the dictionary's weights.
    """

    address: Address
    commit: str
    run: str
    config: RunConfig
    keys: Mapping[str, str]
    artifacts: Mapping[str, str]
    metrics: Mapping[str, Mapping[str, float]]
    sha256: str


def bring(text: str, store: Store, token: str | bool | None = None, leave_out: Collection[str] = ()) -> Brought:
    """Fetch a published run and put its artifacts into the store; those that are there already stay as they are.

    Args:
        text: `hf://OWNER/NAME[@REVISION]`.
        token: None for that of the environment or login, False for none.
        leave_out: stages that are not put into the store.

    Raises: InputError (no published run there, a file that does not have its hash, a key that does not follow), Unavailable.
    """
    address = Address.parse(text)
    if address.folder:
        raise InputError(f"{text[:120]}: a run is imported as a whole; write hf://OWNER/NAME, or hf://OWNER/NAME@REVISION")
    snapshot = fetch(address, BACK, token)
    try:
        said = read_publication(snapshot)
        config = load_config(snapshot / CONFIG)
        return _brought(address, snapshot, said, config, store, leave_out)
    except InputError as error:
        raise InputError(f"{address}: {error}".replace(str(snapshot), "its")) from None


def _brought(
    address: Address, snapshot: Path, said: Mapping[str, Any], config: RunConfig, store: Store, leave_out: Collection[str]
) -> Brought:
    artifacts = _believed(said, snapshot)
    if "train" not in artifacts:
        raise InputError(f"its {PUBLICATION} names no dictionary; there is nothing to import")
    store.prepare()
    for stage, record in artifacts.items():
        if stage not in leave_out:
            _place(record, snapshot / PARTS[stage].folder, store, address, snapshot.name)
    keys = {str(name): str(key) for name, key in said["keys"].items()}
    metrics = {stage: {name: float(value) for name, value in record["metrics"].items()} for stage, record in artifacts.items()}
    placed = {stage: str(record["key"]) for stage, record in artifacts.items() if stage not in leave_out}
    weights = str(artifacts["train"]["files"]["sae.safetensors"]["sha256"])
    return Brought(address, snapshot.name, str(said["run"]), config, keys, placed, metrics, weights)


def _believed(said: Mapping[str, Any], snapshot: Path) -> dict[str, dict[str, Any]]:
    """The artifacts' records, after every key was derived and every file hashed again. Raises InputError on the first lie."""
    found: dict[str, dict[str, Any]] = {}
    try:
        for stage, record in said["artifacts"].items():
            if stage not in PARTS:
                continue  # a later version may publish more
            part = PARTS[stage]
            if record["stage"] != stage or record["folder"] != part.folder or not set(record["files"]) <= set(part.files):
                raise InputError(f"its {PUBLICATION} describes {stage} as this program does not")
            ingredients = (record[name] for name in ("stage", "stage_version", "config", "parents", "fingerprint"))
            if make_key(*ingredients) != record["key"]:
                raise InputError(f"the key of its {stage} does not follow from what it was made from; it was altered")
            for name, entry in record["files"].items():
                file = snapshot / part.folder / name
                if not file.is_file() or file.stat().st_size != entry["size"] or sha256_file(file) != entry["sha256"]:
                    raise InputError(f"{part.folder}/{name} is missing or does not have the hash it was published with")
            found[stage] = {name: value for name, value in record.items() if name != "folder"}
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError(f"its {PUBLICATION} cannot be read as this program wrote it") from None
    return found


def _place(record: Mapping[str, Any], source: Path, store: Store, address: Address, commit: str) -> None:
    """Put an artifact into the store under its own key, with its own record and where it came from."""
    key = str(record["key"])
    if store.has(key):
        return
    with store.lock(key):
        partial = store.partial(key)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in record["files"]:
            shutil.copyfile(source / name, partial / name)
        manifest = {**record, "imported_from": f"hf://{address.repo}@{commit}"}
        write_atomic(partial / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False).encode())
        os.replace(partial, store.folder(key))
        sync_folder(store.folder(key).parent)
