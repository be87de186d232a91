"""A run as a folder that can be given away, put on the Hub and brought back: no image of the data set is in it.

    README.md           the model card                run.yaml      the configuration, without this machine's paths
    dictionary/         weights and config.json, how training went; `load_sae` reads it
    evaluation/         report.json and its tables (per class, per image by number, flips, latents)
    names/              names.json, sae_latents.csv
    saelens/ ...        the dictionary in other formats
    publication.json    what is there, every file's SHA-256, and the records of the artifacts it comes from

What is written depends on the run alone, so that the same run is the same bytes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae_core.config import dump_yaml
from sae_core.errors import DamagedArtifact, InputError
from sae_core.publish.card import model_card
from sae_core.publish.licences import NOTHING, Licences
from sae_core.publish.portable import portable
from sae_core.publish.run import Run
from sae_core.publish.scan import refuse_secrets
from sae_core.sae.formats import FORMATS, load_sae
from sae_core.store import MANIFEST, sha256_file

PUBLICATION, CONFIG, CARD = "publication.json", "run.yaml", "README.md"
FORMAT, VERSION = "sketch-sae-lab-publication", 1
OTHERS = tuple(name for name in FORMATS if name != "native")
"""The formats that may stand beside the native one, each in a folder of its name."""


@dataclass(frozen=True)
class Part:
    """What is published of a stage's artifact: in which folder, and which of its files, where it has them."""

    folder: str
    files: tuple[str, ...]


TABLES = ("per_class.parquet", "per_image.parquet", "flips.parquet", "latents.parquet")
PARTS = {
    "train": Part("dictionary", ("sae.safetensors", "config.json", "metrics.jsonl", "train.log")),
    "evaluate": Part("evaluation", ("report.json", *TABLES, "eval.log")),
    "interpret": Part("names", ("sae_latents.csv", "names.json")),
}
"""By stage. Checkpoints, TensorBoard's events and a vision model's single replies stay at home."""
COPIED = {stage: part.files for stage, part in PARTS.items() if stage != "train"}
"""What of a run is read by people and programs without loading a dictionary."""
FOLDERS = (*(part.folder for part in PARTS.values()), *OTHERS)
"""Every folder a publication may have; what stands in them is its own."""


def export_run(
    run: Run, out: str | Path, formats: Sequence[str] | None = None, licences: Licences = NOTHING, repo: str | None = None
) -> list[Path]:
    """Write what can be published of a run to `out`: what the run has not made yet is left out.

    Args:
        formats: the dictionary's other formats beside the native one; None for the seed's where it can say the architecture.
        licences: what the publisher states.
        repo: the Hub's repository it is meant for, for the card.

    Returns: the files written.
    Raises: InputError when there is no dictionary yet, a format cannot say it, `out` holds other files, or a secret was found.
    """
    out = Path(out)
    if "train" not in run.paths:
        raise InputError(f"run {run.id} has no trained dictionary yet; train it first")
    _clear(out)
    artifacts = {stage: _copy(run, stage, out) for stage in PARTS if stage in run.paths}
    _other_formats(run, formats, out)
    (out / CONFIG).write_text(dump_yaml(portable(run.config)), encoding="utf-8")
    (out / CARD).write_text(model_card(run, licences=licences, repo=repo), encoding="utf-8")
    files = files_of(out)
    listed = {name: {"sha256": sha256_file(path), "size": path.stat().st_size} for name, path in files.items()}
    said = {"format": FORMAT, "version": VERSION, "run": run.id, "name": run.config.name, "keys": dict(run.keys)}
    text = json.dumps({**said, "artifacts": artifacts, "files": listed}, indent=1, ensure_ascii=False)
    (out / PUBLICATION).write_text(text + "\n", encoding="utf-8")
    refuse_secrets(files_of(out))
    return list(files_of(out).values())


def files_of(out: Path) -> dict[str, Path]:
    """Every file of a publication by its name in it, in order."""
    return {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if path.is_file()}


def _clear(out: Path) -> None:
    """Make the folder, or empty what an earlier export left in it. Raises InputError when it holds anything else."""
    try:
        earlier = out.is_dir() and (out / PUBLICATION).is_file()
        if out.exists() and not earlier and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out} is not an empty folder nor an earlier export; choose another")
        out.mkdir(parents=True, exist_ok=True)
        for name in FOLDERS:
            shutil.rmtree(out / name, ignore_errors=True)
        for name in (PUBLICATION, CONFIG, CARD):
            (out / name).unlink(missing_ok=True)
        if any(out.iterdir()):
            raise InputError(f"{out} holds files that no export wrote; move them away, or choose another folder")
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror}; choose another folder") from None


def _copy(run: Run, stage: str, out: Path) -> dict[str, Any]:
    """Copy what is published of an artifact; its record, by which the artifact is made again elsewhere."""
    part, source = PARTS[stage], run.paths[stage]
    record = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
    kept = {name: entry for name, entry in record["files"].items() if name in part.files}
    (out / part.folder).mkdir()
    for name, entry in kept.items():
        shutil.copyfile(source / name, out / part.folder / name)
        if sha256_file(out / part.folder / name) != entry["sha256"]:
            raise DamagedArtifact(f"artifact {run.keys[stage]} is damaged: {name} has changed; remove it and run again")
    return {"folder": part.folder, **record, "files": kept}


def _other_formats(run: Run, formats: Sequence[str] | None, out: Path) -> None:
    sae = load_sae(run.paths["train"])
    asked = [name for name in (("seed",) if formats is None else formats) if name != "native"]
    if unknown := [name for name in asked if name not in OTHERS]:
        raise InputError(f"unknown format {unknown[0]!r}; there are {', '.join(FORMATS)}")
    for name in asked:
        if formats is not None or FORMATS[name].holds(sae.architecture.kind):
            sae.save(out / name, format=name)


def read_publication(folder: Path) -> Mapping[str, Any]:
    """What `publication.json` says. Raises InputError when it is none of this program, or of another version."""
    try:
        said = json.loads((folder / PUBLICATION).read_text(encoding="utf-8"))
        known = said["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"no published run: its {PUBLICATION} is missing or cannot be read") from None
    if not known or said.get("version") != VERSION:
        raise InputError(
            f"its {PUBLICATION} says {str(said.get('format'))[:40]} {said.get('version')!r}; this program reads {VERSION}"
        )
    return dict(said)
