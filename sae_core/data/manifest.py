"""The manifest stage: freeze which pictures there are, in which order, of which class, on which side of the split.

    images -> [manifest] -> embeddings -> dictionary -> ...

Row i of a manifest is picture i for good: every later artifact speaks of pictures by that number. The files of the artifact
are listed in `cache/README.md`.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sae_core.config import Runtime, Source
from sae_core.data import sources
from sae_core.data.duplicates import THRESHOLD, group
from sae_core.data.fingerprints import STAT_CACHE
from sae_core.data.frozen import Manifest
from sae_core.data.sources.collected import Collected
from sae_core.data.split import split
from sae_core.errors import InputError
from sae_core.progress import Event, Report, silent
from sae_core.store import Inputs

__all__ = ["VERSION", "Manifest", "fingerprint", "run"]

VERSION = 1


def fingerprint(config: Source, cache_dir: Path | None = None) -> str:
    """Hex digest of what the source holds, never of where it lies.

    Args:
        config: the source.
        cache_dir: where hashes of unchanged files are remembered, so that asking again is fast.

    Raises: InputError on a missing or empty folder, and whatever else shows without opening a picture.
    """
    return sources.fingerprint(config, cache_dir)


def run(
    config: Source,
    inputs: Inputs | None,
    out_dir: Path,
    report: Report = silent,
    runtime: Runtime = Runtime(),
) -> Manifest:
    """Read a source and freeze it in `out_dir`. It has no parents; leftovers of a killed attempt are overwritten.

    Raises: InputError on bad input (see the sources), Unavailable when a data set cannot be reached, Cancelled.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    for leftover in out_dir.iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    found = sources.collect(config, out_dir, report, runtime)
    cache_dir = out_dir.parent.parent  # <cache>/manifest/<key>
    mark = sources.fingerprint(config, cache_dir if (cache_dir / STAT_CACHE).is_file() else None)
    _freeze(found, config, mark, out_dir)
    manifest = Manifest.load(out_dir)
    report(Event("manifest", manifest.n, manifest.n, manifest.metrics(), _summary(manifest)))
    return manifest


def _summary(manifest: Manifest) -> str:
    problems = manifest.problems
    if not problems:
        return ""
    first = problems[0]
    counted = "1 file was" if len(problems) == 1 else f"{len(problems)} files were"
    return f"{counted} not used, see problems.json; the first: {first['file']} {first['problem']}"


def _freeze(found: Collected, config: Source, mark: str, out_dir: Path) -> None:
    """Find groups, split, and write everything but the packs, which the source has written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = np.array(found.labels, dtype=np.int64)
    groups = group(found.duplicate_of or found.content, found.signatures)
    identities = found.identities or found.content
    test = split(labels, groups, identities, config.test_fraction, config.split_seed)
    if not test.any():
        raise InputError("all pictures are near-duplicates of one another, so none can be held out; add different ones")
    columns = {
        "id": pa.array(range(len(labels)), pa.int64()),
        "file": pa.array(found.files, pa.string()),
        "sha256": pa.array(found.content, pa.string()),
        "group": pa.array(groups, pa.int64()),
        "split": pa.array(np.where(test, "test", "train").tolist(), pa.string()),
        "label": pa.array(labels, pa.int64()),
        "caption": pa.array(found.captions, pa.string()),
        "width": pa.array([width for width, _ in found.sizes], pa.int32()),
        "height": pa.array([height for _, height in found.sizes], pa.int32()),
    }
    pq.write_table(pa.table(columns), out_dir / "rows.parquet", compression="zstd")
    near = "equal bytes, mirrored or not" if found.signatures is None else f"correlation >= {THRESHOLD} at 32x32, mirrored or not"
    source = {**found.source, "rendering": config.rendering, "fingerprint": mark, "near_duplicates": near}
    _write(out_dir / "classes.json", {"names": found.names, "folders": found.folders})
    _write(out_dir / "problems.json", [asdict(problem) for problem in found.problems])
    _write(out_dir / "source.json", source)


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")
