"""The strokes stage: the stroke measures of every picture of a manifest, one row each.

    images -> manifest -> [strokes]

The unit of work and of resume is a chunk of rows; whatever is killed, a rerun measures the missing chunks.
"""

from __future__ import annotations

import functools
import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sae_core.config import Runtime, StrokesConfig
from sae_core.data.frozen import Manifest
from sae_core.data.strokes.measures import measure
from sae_core.progress import Event, Report, silent
from sae_core.scale import map_shards
from sae_core.store import Inputs, write_atomic

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 256
TABLE = "strokes.parquet"


class StrokeTable:
    """The measures of a manifest's pictures.

    Attributes:
        table: one row a picture: `image` (its row in the manifest, ascending), then the measures of `Strokes.row`.
    """

    def __init__(self, folder: Path) -> None:
        import pandas as pd

        self.folder = folder
        self.table: pd.DataFrame = pd.read_parquet(folder / TABLE)

    @classmethod
    def load(cls, folder: str | Path) -> StrokeTable:
        """Read the table in an artifact's folder."""
        return cls(Path(folder))

    @property
    def names(self) -> list[str]:
        """The measures, in the order of the columns."""
        return [str(name) for name in self.table.columns if name != "image"]

    @property
    def images(self) -> npt.NDArray[np.int64]:
        """Manifest rows of the pictures, int64 [n]."""
        return self.table["image"].to_numpy(dtype=np.int64)

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """The measures, float64 [n, len(names)]."""
        return self.table[self.names].to_numpy(dtype=np.float64)

    def metrics(self) -> dict[str, float]:
        """`n` pictures, and how many of them are `empty`: no ink was found."""
        return {"n": float(len(self.table)), "empty": float((self.table["ink_density"] == 0.0).sum())}


def run(
    config: StrokesConfig,
    inputs: Inputs,
    out_dir: Path,
    report: Report = silent,
    runtime: Runtime = Runtime(),
) -> StrokeTable:
    """Measure the pictures of the manifest into `out_dir`; rows without a picture are left out.

    Args:
        config: by ink or by edges, and how many at most.
        inputs: role `manifest`.
        out_dir: may hold what an earlier attempt left; finished chunks are kept.
        report: told after each chunk; may raise Cancelled, after which a rerun continues.
        runtime: `processes` spreads chunks over `workers` processes.

    Returns: the table; without a line, and with a message to `report`, where the manifest has embeddings but no pictures.
    Raises: InputError when a picture is gone, Cancelled from `report`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    manifest = Manifest.load(inputs["manifest"])
    rows = _chosen(manifest, config)
    if not rows:
        report(Event("strokes", 0, 0, {}, "there are embeddings but no pictures here, so nothing is measured"))
    rendering = manifest.rendering if config.rendering == "auto" else config.rendering
    parts = out_dir / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    work = _Work(str(inputs["manifest"]), rows, rendering, parts)
    finished = sum(map(work.done, range(work.chunks)))
    for _ in map_shards(work, range(work.chunks), runtime.workers, runtime.executor, work.done):
        finished += 1
        report(Event("strokes", min(finished * CHUNK, len(rows)), len(rows)))
    tables = [pq.read_table(work.part(chunk)) for chunk in range(work.chunks)]
    pq.write_table(pa.concat_tables(tables), out_dir / TABLE, compression="zstd")
    shutil.rmtree(parts)
    result = StrokeTable.load(out_dir)
    report(Event("strokes", len(rows), len(rows), result.metrics()))
    return result


def _chosen(manifest: Manifest, config: StrokesConfig) -> tuple[int, ...]:
    """The rows to measure, ascending: all that have a picture, or a random sample of them."""
    rows = np.array([row for row in range(manifest.n) if manifest.has_image(row)], dtype=np.int64)
    if config.images is not None and len(rows) > config.images:
        rows = np.random.default_rng(config.seed).permutation(rows)[: config.images]
    return tuple(np.sort(rows).tolist())


@dataclass(frozen=True)
class _Work:
    """What a worker process does with a chunk's number: plain values only, since it is pickled."""

    manifest_dir: str
    images: tuple[int, ...]
    rendering: str
    parts: Path

    @property
    def chunks(self) -> int:
        return max(1, -(-len(self.images) // CHUNK))

    def part(self, chunk: int) -> Path:
        return self.parts / f"{chunk:05d}.parquet"

    def done(self, chunk: int) -> bool:
        return self.part(chunk).is_file()  # written under another name and renamed: it is whole or not there

    def __call__(self, chunk: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        manifest = _manifest(self.manifest_dir)
        rows = self.images[chunk * CHUNK : (chunk + 1) * CHUNK]
        measured = [measure(manifest.image(row), self.rendering).row() for row in rows]
        columns: dict[str, pa.Array] = {"image": pa.array(rows, pa.int64())}
        for name, kind in _columns().items():
            columns[name] = pa.array([one[name] for one in measured], pa.int32() if kind is int else pa.float64())
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer, compression="zstd")
        write_atomic(self.part(chunk), buffer.getvalue())


@functools.lru_cache(maxsize=1)
def _manifest(folder: str) -> Manifest:
    return Manifest.load(folder)


def _columns() -> dict[str, type]:
    """Name and type of every measure, from those of nothing."""
    from sae_core.data.strokes.measures import NOTHING

    return {name: type(value) for name, value in NOTHING.row().items()}
