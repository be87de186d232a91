"""Writing the activation store: codes come in by row, and go out by row and by latent, never dense.

    rows (append)  ->  idx.npy, ptr.npy, values as float32 on the side
    finish         ->  val.npy in float16, then the columns (`columns.py`), stats.parquet, images.parquet, meta.json

`cache/README.md` is the specification of these files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sae_core.activations.columns import Columns, write_columns
from sae_core.activations.files import FORMAT, index_dtype
from sae_core.activations.growing import GrowingArray
from sae_core.errors import InputError

FILES = (
    "idx.npy",
    "val.npy",
    "ptr.npy",
    "col_ptr.npy",
    "col_rows.npy",
    "col_vals.npy",
    "images.parquet",
    "stats.parquet",
    "meta.json",
)
TEMPORARY = ("values.tmp", "postings.tmp")
MAX_ROWS = 2**32
SMALLEST = np.float16(2.0**-24)
"""The smallest positive float16: a firing never rounds to silence."""


class Rows(NamedTuple):
    """What is known of one domain's rows, in their order: arrays of the same length n_d."""

    domain: str
    image: NDArray[np.int64]
    split: NDArray[np.str_]
    label: NDArray[np.int64]
    group: NDArray[np.int64]


def value_scale(maximum: float) -> float:
    """The power of two that values are divided by so that float16 holds them; 1 for all usual values.

    float16 ends at 65,504 and loses digits below 2^-14. Values whose maximum lies outside [2^-8, 2^15] are brought to a maximum
    in [2^14, 2^15); a power of two changes no digit.
    """
    if maximum == 0.0 or 2.0**-8 <= maximum <= 2.0**15:
        return 1.0
    return 2.0 ** (math.floor(math.log2(maximum)) - 14)


class Writer:
    """Append the codes of rows, batch by batch, then `finish`.

    Args:
        folder: where the files go; files of an earlier attempt are overwritten.
        m: number of latents.
    """

    def __init__(self, folder: Path, m: int) -> None:
        self.folder = folder
        self.m = m
        self.n = 0
        self._counts = np.zeros(m, dtype=np.int64)
        self._max = 0.0
        for name in (*FILES, *TEMPORARY):
            (folder / name).unlink(missing_ok=True)
        self._idx = GrowingArray(folder / "idx.npy", index_dtype(m))
        self._ptr = GrowingArray(folder / "ptr.npy", np.int64)
        self._ptr.append(np.zeros(1, dtype=np.int64))
        self._values = (folder / "values.tmp").open("wb")

    @property
    def nonzeros(self) -> int:
        """How many codes are stored so far."""
        return self._idx.length

    def append(self, indices: NDArray[np.integer[Any]], values: NDArray[np.float32]) -> None:
        """Store the codes of the next b rows.

        Args:
            indices: integer [b, k], latent ids; where the value is 0 the id means nothing.
            values: float32 [b, k], >= 0; 0 marks padding.

        Raises:
            InputError: a value that is not finite, or more than 2^32 rows.
        """
        assert indices.ndim == 2, indices.shape
        assert indices.shape == values.shape, (indices.shape, values.shape)
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            raise InputError(
                f"the code of row {self.n + int(np.argmin(finite))} is not finite: the dictionary or that embedding is damaged; "
                "run verify, and train again if the dictionary is at fault"
            )
        if self.n + len(values) > MAX_ROWS:
            raise InputError(f"more than {MAX_ROWS:,} rows in one activation store; split the data over several runs")
        # Canonical order: ascending latent in a row (padding, sent to m, goes last), so equal codes give equal bytes.
        ids = np.where(values > 0, indices, self.m)
        order = np.argsort(ids, axis=1, kind="stable")
        ids = np.take_along_axis(ids, order, axis=1)
        codes = np.take_along_axis(values, order, axis=1)
        keep = ids < self.m
        flat = ids[keep]
        assert not ((ids[:, 1:] == ids[:, :-1]) & keep[:, 1:]).any(), "a latent twice in one row"
        assert flat.size == 0 or flat.min() >= 0, "a negative latent id"
        codes = codes[keep].astype(np.float32, copy=False)
        self._ptr.append(np.cumsum(keep.sum(axis=1), dtype=np.int64) + self._idx.length)
        self._idx.append(flat)
        self._values.write(np.ascontiguousarray(codes, dtype="<f4").data)
        self._counts += np.bincount(flat, minlength=self.m)
        self._max = max(self._max, float(codes.max(initial=0.0)))
        self.n += len(values)

    def close(self) -> None:
        """Close the files of an attempt that will not be finished."""
        self._idx.close()
        self._ptr.close()
        self._values.close()

    def finish(
        self,
        domains: Sequence[Rows],
        about: Mapping[str, Any],
        tick: Callable[[int, int], None] = lambda done, total: None,
        bucket: int = 4_000_000,
    ) -> None:
        """Write the values, the columns, the statistics and the tables.

        Args:
            domains: the rows' domains in the order they were appended; their lengths add up to the rows.
            about: what meta.json should say beside the shape, such as the dictionary's key.
            tick: called with (codes done, codes in all) now and then; may raise to stop.
            bucket: postings that are sorted in memory at once; peak memory is about 40 bytes each.
        """
        self.close()
        bounds = np.cumsum([0] + [len(rows.image) for rows in domains])
        assert int(bounds[-1]) == self.n, "the domains' rows must be the rows appended"
        scale = value_scale(self._max)
        columns = write_columns(self.folder, self._counts, bounds, self._postings(scale, tick), scale, bucket)
        (self.folder / "values.tmp").unlink()
        names = [rows.domain for rows in domains]
        self._write_stats(columns, names, bounds)
        self._write_images(domains)
        spans = [{"name": name, "start": int(a), "stop": int(b)} for name, a, b in zip(names, bounds, bounds[1:], strict=False)]
        meta = {
            "format": FORMAT,
            "n": self.n,
            "m": self.m,
            "nonzeros": self.nonzeros,
            "value_scale": scale,
            "domains": spans,
        }
        text = json.dumps({**meta, **about}, indent=2, ensure_ascii=False)
        (self.folder / "meta.json").write_text(text, encoding="utf-8")

    def _postings(
        self, scale: float, tick: Callable[[int, int], None], chunk: int = 1_000_000
    ) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.integer[Any]], NDArray[np.float16]]]:
        """(rows, latents, values) in row order, a chunk at a time; writes val.npy on the way."""
        ptr = np.load(self.folder / "ptr.npy", mmap_mode="r")
        with (
            GrowingArray(self.folder / "val.npy", np.float16) as stored,
            (self.folder / "values.tmp").open("rb") as values,
        ):
            idx = np.load(self.folder / "idx.npy", mmap_mode="r")
            start = 0
            while start < self.n:
                stop = max(int(np.searchsorted(ptr, ptr[start] + chunk, side="right")) - 1, start + 1)
                counts = np.diff(ptr[start : stop + 1])
                codes = np.fromfile(values, dtype="<f4", count=int(counts.sum()))
                halves = np.maximum((codes / np.float32(scale)).astype(np.float16), SMALLEST)
                stored.append(halves)
                rows = np.repeat(np.arange(start, stop, dtype=np.uint32), counts)
                yield rows, np.asarray(idx[ptr[start] : ptr[stop]]), halves
                start = stop
                tick(int(ptr[stop]), self.nonzeros)

    def _write_stats(self, columns: Columns, names: Sequence[str], bounds: NDArray[np.int64]) -> None:
        count = columns.count.sum(axis=0)
        total = columns.total.sum(axis=0)
        table = {
            "latent": np.arange(self.m, dtype=np.int64),
            "count": count,
            "rate": count / max(self.n, 1),
            "max": columns.maximum.max(axis=0).astype(np.float32),
            "mean": np.divide(total, count, out=np.zeros(self.m), where=count > 0),
            "sum": total,
        }
        for d, name in enumerate(names):
            table[f"{name}.count"] = columns.count[d]
            table[f"{name}.rate"] = columns.count[d] / max(int(bounds[d + 1] - bounds[d]), 1)
            table[f"{name}.max"] = columns.maximum[d].astype(np.float32)
        pd.DataFrame(table).to_parquet(self.folder / "stats.parquet", index=False, compression="zstd")

    def _write_images(self, domains: Sequence[Rows]) -> None:
        groups = _distinct_groups(domains)
        table = pa.table(
            {
                "row": np.arange(self.n, dtype=np.int64),
                "domain": _categories([np.full(len(rows.image), rows.domain) for rows in domains]),
                "image": _joined([rows.image for rows in domains]),
                "split": _categories([rows.split for rows in domains]),
                "label": _joined([rows.label for rows in domains]),
                "group": groups,
            }
        )
        # Ids climb by one: their differences pack into almost nothing, plain int64 would be 8 bytes each.
        packed = dict.fromkeys(("row", "image", "label", "group"), "DELTA_BINARY_PACKED")
        pq.write_table(
            table,
            self.folder / "images.parquet",
            compression="zstd",
            use_dictionary=["domain", "split"],
            column_encoding=packed,
        )


def _joined(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.asarray(part, dtype=np.int64) for part in parts]) if parts else np.zeros(0, dtype=np.int64)


def _categories(parts: Sequence[NDArray[np.str_]]) -> pa.DictionaryArray:
    joined = np.concatenate(parts) if parts else np.zeros(0, dtype="U1")
    return pa.array(joined.astype(object), type=pa.string()).dictionary_encode()


def _distinct_groups(domains: Sequence[Rows]) -> NDArray[np.int64]:
    """Near-duplicate groups numbered over all domains: two domains' groups are never the same group."""
    offset, parts = 0, []
    for rows in domains:
        _, codes = np.unique(rows.group, return_inverse=True)
        parts.append(codes.astype(np.int64) + offset)
        offset += int(codes.max(initial=-1)) + 1
    return _joined(parts)
