"""The drawn world as a source: every picture and its ground truth, kept as they were drawn."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from sae_core.config import DrawnSource, Runtime
from sae_core.data import drawn
from sae_core.data.images import png
from sae_core.data.pack import THUMBNAILS, PackWriter
from sae_core.data.sources.collected import Collected
from sae_core.progress import Event, Report
from sae_core.scale import map_shards
from sae_core.store import canonical

BATCH = 250


@dataclass(frozen=True)
class Batch:
    """Some drawings with everything that is kept of them; plain values, so that another process can make it."""

    images: npt.NDArray[np.uint8]
    labels: list[int]
    counts: npt.NDArray[np.int32]
    captions: list[str]
    strokes: list[str]
    thumbnails: list[bytes]
    content: list[str]
    duplicate_of: list[str]


@dataclass(frozen=True)
class Draw:
    """Draws batch number `shard` of a source."""

    config: DrawnSource

    def __call__(self, shard: int) -> Batch:
        start = shard * BATCH
        n = min(BATCH, self.config.n - start)
        made = drawn.draw(n, self.config.seed, self.config.rendering, start, self.config.size)
        content = [hashlib.sha256(image.tobytes()).hexdigest() for image in made.images]
        # Drawings are made, not photographed: a copy is a copy to the last byte, so equal bytes (mirrored or not) is the
        # whole test. A correlation would take two plain rings of one class for the same picture.
        mirrored = [hashlib.sha256(image[:, ::-1].tobytes()).hexdigest() for image in made.images]
        return Batch(
            made.images,
            made.labels.tolist(),
            made.counts,
            made.captions,
            [scene.to_json() for scene in made.scenes],
            [png(Image.fromarray(image)) for image in made.images],
            content,
            [min(pair) for pair in zip(content, mirrored, strict=True)],
        )


def fingerprint(config: DrawnSource, cache_dir: Path | None) -> str:
    """Which drawings: the generator's version and its arguments."""
    record = ["drawn", drawn.VERSION, config.seed, config.n, config.rendering, config.size]
    return hashlib.sha256(canonical(record)).hexdigest()


def collect(config: DrawnSource, out_dir: Path, report: Report, runtime: Runtime) -> Collected:
    """Draw, and write `images.npy`, `truth.parquet` and the thumbnails (here: the drawings themselves, lossless)."""
    shards = range((config.n + BATCH - 1) // BATCH)
    waiting: dict[int, Batch] = {}
    writer = _Writer(config, out_dir)
    try:
        # Other processes finish out of order; rows are written in order.
        for shard, batch in map_shards(Draw(config), shards, runtime.workers, runtime.executor):
            waiting[shard] = batch
            while writer.shards in waiting:
                writer.add(waiting.pop(writer.shards))
            report(Event("manifest", len(writer.found.files), config.n))
    finally:
        writer.close()
    return writer.found


class _Writer:
    """Writes batches in order and gathers the rows."""

    def __init__(self, config: DrawnSource, out_dir: Path) -> None:
        self.config = config
        self.shards = 0
        self.found = Collected(names=list(drawn.CLASSES), folders=list(drawn.CLASSES))
        self.found.identities, self.found.duplicate_of = [], []
        self.found.source = {"kind": "drawn", "seed": config.seed, "drawn_version": drawn.VERSION}
        self._images: np.memmap[Any, np.dtype[np.uint8]] | None = None
        self._out = out_dir
        self._thumbs = PackWriter(out_dir, THUMBNAILS)
        fields = [(name, pa.int32()) for name in drawn.PRIMITIVES]
        self._schema = pa.schema([("id", pa.int64()), *fields, ("strokes", pa.string())])
        self._truth = pq.ParquetWriter(out_dir / "truth.parquet", self._schema, compression="zstd")

    def add(self, batch: Batch) -> None:
        start, n = len(self.found.files), len(batch.labels)
        if self._images is None:
            shape = (self.config.n, *batch.images.shape[1:])
            self._images = np.lib.format.open_memmap(self._out / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
        self._images[start : start + n] = batch.images
        self._thumbs.extend(batch.thumbnails)
        columns = {name: batch.counts[:, i] for i, name in enumerate(drawn.PRIMITIVES)}
        rows = {"id": np.arange(start, start + n), **columns, "strokes": batch.strokes}
        self._truth.write_table(pa.table(rows, schema=self._schema))
        found = self.found
        assert found.identities is not None
        assert found.duplicate_of is not None
        indices = range(start, start + n)
        found.files += [f"{self.config.rendering}/{index:06d}.png" for index in indices]
        # A scene's two renderings fall on the same side of the split, so that no test photo was trained on as a sketch.
        found.identities += [f"{self.config.seed}:{index}" for index in indices]
        found.content += batch.content
        found.duplicate_of += batch.duplicate_of
        found.labels += batch.labels
        found.captions += batch.captions
        found.sizes += [batch.images.shape[2:0:-1]] * n
        self.shards += 1

    def close(self) -> None:
        self._truth.close()
        self._thumbs.close()
        if self._images is not None:
            self._images.flush()
