"""The store: immutable artifacts under `cache/<stage>/<key>/`, each named by what it was made from.

    key = "<stage>-" + sha256(canonical JSON of stage, stage version, config, parent keys, data fingerprint)[:16]

never a path. An artifact is written in `cache/<stage>/.partial-<key>/`, synced, and renamed into place; `manifest.json` holds
the SHA-256 and size of every file. Sizes are checked on every open, hashes by `verify`. `cache/README.md` is the specification.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sae_core.errors import DamagedArtifact, InputError

KEY = re.compile(r"([a-z]+)-[0-9a-f]{16}")
"""The one shape of every id that may become part of a path, matched whole: artifacts (`train-...`), runs and jobs."""
MANIFEST = "manifest.json"
BASE = ".base"
"""A file in a cache folder that names another cache, which is read through it and never written."""


@dataclass(frozen=True)
class Inputs:
    """A stage's parents: artifact folders by role, such as `sae`, `manifest:sketch`, `embed:photo`."""

    paths: Mapping[str, Path]

    def __getitem__(self, role: str) -> Path:
        return self.paths[role]

    def __contains__(self, role: object) -> bool:
        return role in self.paths

    def domains(self, kind: str) -> dict[str, Path]:
        """`{"sketch": folder}` for every role `kind:sketch`, in the run's order."""
        return {role.partition(":")[2]: path for role, path in self.paths.items() if role.startswith(kind + ":")}


@dataclass(frozen=True)
class Artifact:
    """A finished artifact: its key, its folder and what its manifest says."""

    key: str
    path: Path
    manifest: Mapping[str, Any]

    @property
    def stage(self) -> str:
        return str(self.manifest["stage"])

    @property
    def metrics(self) -> dict[str, float]:
        return dict(self.manifest["metrics"])


def canonical(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def make_key(stage: str, version: int, config: Any, parents: Mapping[str, str], fingerprint: str | None) -> str:
    """The artifact key (see the module's formula)."""
    record = {"stage": stage, "version": version, "config": config, "parents": dict(parents), "data": fingerprint}
    return f"{stage}-{hashlib.sha256(canonical(record)).hexdigest()[:16]}"


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write bytes so that a reader sees the old file or the new one, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """fsync a folder, so that a rename in it is on the disk (where the system can: Windows cannot)."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_id(text: str, kind: str | None = None) -> bool:
    """Whether a text is a whole id (of a kind, such as `run` or `job`): lower-case letters, `-`, 16 hex digits, nothing else."""
    match = KEY.fullmatch(text)
    return match is not None and kind in (None, match.group(1))


class Store:
    """Artifacts under one cache folder. Safe with several processes: a lock a key, renames that either are or are not.

    A folder whose file `.base` names another cache lies over it: what the other holds is found too, and stays as it is.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        pointer = self.root / BASE
        self.base = Store(pointer.read_text(encoding="utf-8").strip()) if pointer.is_file() else None

    def prepare(self) -> None:
        """Make the folder. Raises InputError when it cannot be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise InputError(f"cannot write to cache folder {self.root}: {error.strerror}; choose another with --cache") from None

    def folder(self, key: str) -> Path:
        """Where an artifact of this key lies. Raises InputError on anything that is no key (so no path can slip in)."""
        match = KEY.fullmatch(key)
        if match is None:
            raise InputError(f"{key[:80]!r} is no artifact key; `ls` lists them, such as train-0123456789abcdef")
        if self.base is not None and self.base.has(key):
            return self.base.folder(key)
        return self.root / match.group(1) / key

    def run_folder(self, identity: str) -> Path:
        """Where the record of a run lies. Raises InputError on anything that is no run id."""
        if not is_id(identity, "run"):
            raise InputError(f"{identity[:40]!r} is no run id; `ls` lists the runs")
        folder = self.root / "runs" / identity
        below = None if self.base is None else self.base.run_folder(identity)
        return below if below is not None and below.is_dir() else folder

    def records(self) -> list[Path]:
        """The `run.json` of every recorded run, by id; those of the cache below first."""
        below = [] if self.base is None else self.base.records()
        known = {file.parent.name for file in below}
        own = sorted(file for file in self.root.glob("runs/run-*/run.json") if is_id(file.parent.name, "run"))
        return [*below, *(file for file in own if file.parent.name not in known)]

    def has(self, key: str) -> bool:
        """Whether the artifact is finished (its manifest exists)."""
        return (self.folder(key) / MANIFEST).is_file()

    def open(self, key: str) -> Artifact:
        """Open an artifact, checking that every file is there with the size its manifest says.

        Raises:
            InputError: there is none of this key.
            DamagedArtifact: a file is missing or has another size.
        """
        folder = self.folder(key)
        if not self.has(key):
            raise InputError(f"no artifact {key} in {self.root}; `ls` lists what is there")
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            files = manifest["files"]
        except (ValueError, KeyError, OSError):
            raise DamagedArtifact(f"artifact {key} is damaged: its manifest.json cannot be read; {self._rebuild(key)}") from None
        for name, entry in files.items():
            file = folder / name
            size = file.stat().st_size if file.is_file() else None
            if size != entry["size"]:
                what = "is missing" if size is None else f"has {size} bytes instead of {entry['size']}"
                raise DamagedArtifact(f"artifact {key} is damaged: {name} {what}; {self._rebuild(key)}")
        return Artifact(key, folder, manifest)

    def _rebuild(self, key: str) -> str:
        return f"remove it with `rm {key}` and run again to rebuild it"

    def verify(self, key: str) -> list[str]:
        """Re-derive every hash and the key itself; the list of what does not match (empty: sound)."""
        try:
            artifact = self.open(key)
        except DamagedArtifact as error:
            return [str(error)]
        manifest = artifact.manifest
        faults = [
            f"{key}: {name} does not have the hash its manifest says"
            for name, entry in manifest["files"].items()
            if sha256_file(artifact.path / name) != entry["sha256"]
        ]
        extra = {p.relative_to(artifact.path).as_posix() for p in artifact.path.rglob("*") if p.is_file()}
        faults += [f"{key}: {name} is not in its manifest" for name in sorted(extra - set(manifest["files"]) - {MANIFEST})]
        derived = make_key(
            manifest["stage"],
            manifest["stage_version"],
            manifest["config"],
            manifest["parents"],
            manifest["fingerprint"],
        )
        if derived != key:
            faults.append(f"{key}: its manifest derives {derived}")
        return faults

    def artifacts(self, stage: str | None = None) -> list[Artifact]:
        """Every readable artifact, newest first; damaged ones are left to `verify`."""
        found: list[Artifact] = [] if self.base is None else self.base.artifacts(stage)
        for manifest in sorted(self.root.glob(f"{stage or '[a-z]*'}/*/{MANIFEST}")):
            if KEY.fullmatch(manifest.parent.name):
                try:
                    found.append(self.open(manifest.parent.name))
                except DamagedArtifact:
                    continue
        return sorted(found, key=lambda a: str(a.manifest["created"]), reverse=True)

    def keys(self) -> list[str]:
        """Every key on disk, damaged artifacts included."""
        below = [] if self.base is None else self.base.keys()
        own = [p.parent.name for p in self.root.glob(f"[a-z]*/*/{MANIFEST}") if KEY.fullmatch(p.parent.name)]
        return sorted({*below, *own})

    def remove(self, key: str) -> None:
        """Delete an artifact and whatever is half done of it. Raises InputError for one of the cache below."""
        if self.base is not None and self.base.folder(key).exists():
            raise InputError(f"{key} belongs to a cache that everyone shares and stays as it is")
        for folder in (self.folder(key), self.partial(key)):
            if folder.exists():
                shutil.rmtree(folder)

    def partial(self, key: str) -> Path:
        """The folder where the artifact of this key is being written; it outlives a kill, so that stages can resume."""
        folder = self.folder(key)
        return folder.with_name(f".partial-{key}")

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """One writer a key. Raises InputError when another process is making the same artifact."""
        folder = self.folder(key)
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(folder.with_name(f".lock-{key}")))
        try:
            lock.acquire(timeout=0.2)
        except Timeout:
            raise InputError(f"{key} is being made by another process right now; wait for it or stop it") from None
        try:
            yield
        finally:
            lock.release()

    def commit(self, key: str, record: Mapping[str, Any]) -> Artifact:
        """Turn the partial folder of `key` into the artifact: hash, sync, write the manifest, rename."""
        partial, folder = self.partial(key), self.folder(key)
        files: dict[str, dict[str, Any]] = {}
        for path in sorted(p for p in partial.rglob("*") if p.is_file() and p.name != MANIFEST):
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
            name = path.relative_to(partial).as_posix()
            files[name] = {"sha256": sha256_file(path), "size": path.stat().st_size}
        manifest = {
            "key": key,
            **record,
            "files": files,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
            "versions": versions(),
            "host": f"{platform.system()} {platform.machine()} {os.cpu_count()} cores",
        }
        write_atomic(partial / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False).encode())
        os.replace(partial, folder)
        sync_folder(folder.parent)
        return Artifact(key, folder, manifest)


def versions() -> dict[str, str]:
    """The versions that could change a number."""
    found = {"python": platform.python_version()}
    for package in ("torch", "open_clip_torch", "numpy", "sketch-sae-lab"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # the project itself need not be installed to run from a checkout
    return found
