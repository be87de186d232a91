"""Embeddings on disk: immutable shards named by their content, a receipt for each, and the class that reads them back.

A shard is a fixed range of the frozen manifest. It is done when its receipt exists and the file the receipt names has the size
it says; so resuming is a set difference, and two workers racing on a shard cannot mix their bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sae_core.errors import DamagedArtifact
from sae_core.store import write_atomic

PROJECTED = "projected"
"""The site every encoder has: the raw projected embedding, one row an image."""


@dataclass(frozen=True)
class Receipt:
    """That a shard is done: rows `start` to `start + rows` of the manifest lie in `shards/<sha256>.npy`, `size` bytes."""

    shard: int
    start: int
    rows: int
    n: int
    sha256: str
    size: int
    config_hash: str

    @property
    def file(self) -> str:
        """The data file's name inside the artifact."""
        return f"shards/{self.sha256}.npy"


def shard_count(n: int, shard_rows: int) -> int:
    """How many shards `n` rows make."""
    return -(-n // shard_rows)


def receipt_path(out_dir: Path, shard: int) -> Path:
    """Where a shard's receipt lies."""
    return out_dir / "receipts" / f"{shard:05d}.json"


def write_shard(out_dir: Path, shard: int, start: int, n: int, rows: NDArray[np.float32], config_hash: str) -> Receipt:
    """Write the data, then the receipt, each atomically and synced.

    Args:
        out_dir: the artifact's folder.
        shard: the shard's number.
        start: its first row in the manifest.
        n: rows of the whole manifest.
        rows: float32 [rows, d].
        config_hash: what made it; a receipt with another one does not count.
    """
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(rows, dtype=np.float32), allow_pickle=False)
    data = buffer.getvalue()
    receipt = Receipt(shard, start, len(rows), n, hashlib.sha256(data).hexdigest(), len(data), config_hash)
    for folder in ("shards", "receipts"):
        (out_dir / folder).mkdir(exist_ok=True)
    write_atomic(out_dir / receipt.file, data)
    write_atomic(receipt_path(out_dir, shard), json.dumps(receipt.__dict__).encode())
    return receipt


def read_receipt(out_dir: Path, shard: int, config_hash: str) -> Receipt | None:
    """A shard's receipt, or None when it must be done: none, unreadable, of another config, or its file is not as it says."""
    path = receipt_path(out_dir, shard)
    try:
        receipt = Receipt(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    file = out_dir / receipt.file
    sound = receipt.config_hash == config_hash and file.is_file() and file.stat().st_size == receipt.size
    return receipt if sound else None


def remove_strays(out_dir: Path, receipts: Sequence[Receipt]) -> None:
    """Delete what a killed attempt left: temporary files, data without a receipt, receipts beyond the last shard."""
    kept = {out_dir / receipt.file for receipt in receipts} | {receipt_path(out_dir, r.shard) for r in receipts}
    for folder in ("shards", "receipts"):
        for path in (out_dir / folder).glob("*"):
            if path not in kept:
                path.unlink()
    for path in out_dir.glob(".*.tmp"):
        path.unlink()


class Embeddings:
    """Raw embeddings of a manifest, float32 [n, d], memory-mapped.

    Row i belongs to image `images[i]` of the manifest: today one row an image (site `projected`); layers and patch tokens will
    bring more, so go through `images`.

    Attributes:
        n, d: rows and width.
        site: which of the encoder's outputs this is.
        encoder: its id, such as `bundled/v1`.
        weights_sha256: hash of its weights, None for embeddings that came with the data.
        logit_scale: its learned exp temperature, None where unknown.
        precision: of the image tower, None where unknown.
    """

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        self.folder = folder
        self.record = record
        self.n = int(record["n"])
        self.d = int(record["d"])
        self.site = str(record["site"])
        self.encoder = str(record["encoder"])
        self.weights_sha256: str | None = record["weights_sha256"]
        self.logit_scale: float | None = record["logit_scale"]
        self.precision: str | None = record["precision"]
        self._starts = np.array([shard["start"] for shard in record["shards"]], dtype=np.int64)

    @classmethod
    def load(cls, folder: str | Path) -> Embeddings:
        """Read the embeddings in an artifact's folder. Raises DamagedArtifact when `embeddings.json` cannot be read."""
        folder = Path(folder)
        try:
            return cls(folder, json.loads((folder / "embeddings.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError) as error:
            raise DamagedArtifact(f"no embeddings in {folder} ({error}); run the embed stage again") from None

    @property
    def shards(self) -> list[Path]:
        """The data files in row order."""
        return [self.folder / shard["file"] for shard in self.record["shards"]]

    @cached_property
    def _mapped(self) -> list[NDArray[np.float32]]:
        try:
            return [np.load(path, mmap_mode="r", allow_pickle=False) for path in self.shards]
        except (OSError, ValueError) as error:
            raise DamagedArtifact(f"embeddings in {self.folder} are damaged ({error}); remove them and run again") from None

    @cached_property
    def images(self) -> NDArray[np.int64]:
        """Image id (manifest row) of each row, int64 [n]."""
        return np.arange(self.n, dtype=np.int64)

    def array(self) -> NDArray[np.float32]:
        """All rows, float32 [n, d]: memory-mapped when they are one shard, else copied into memory."""
        return self._mapped[0] if len(self._mapped) == 1 else np.concatenate(self._mapped)

    def rows(self, index: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Chosen rows in the order asked for, float32 [len(index), d]; reads only those."""
        wanted = np.asarray(index, dtype=np.int64)
        outside = wanted[(wanted < 0) | (wanted >= self.n)]
        if len(outside):
            raise IndexError(f"row {outside[0]} of {self.n} embeddings")
        out = np.empty((len(wanted), self.d), dtype=np.float32)
        shard_of = np.searchsorted(self._starts, wanted, side="right") - 1
        for shard in np.unique(shard_of):
            here = shard_of == shard
            out[here] = self._mapped[shard][wanted[here] - self._starts[shard]]
        return out

    @cached_property
    def texts(self) -> NDArray[np.float32] | None:
        """One raw text embedding a row (its caption's), float32 [n, d], where they came with the data; else None."""
        path = self.folder / "texts.npy"
        return np.load(path, mmap_mode="r", allow_pickle=False) if path.is_file() else None

    def metrics(self) -> dict[str, float]:
        """`n`, `d`, `shards`, and `norm`, the mean length of a row."""
        return {"n": self.n, "d": self.d, "shards": len(self.shards), "norm": float(self.record["norm"])}
