"""The column-major half of the activation store: every latent's postings, strongest first, built out of core.

Two passes of a counting sort. The first sends each posting to the bucket of its latent (a range of latents whose postings fit
in memory); the second sorts one bucket at a time. Memory is bounded by the bucket, reading and writing are sequential.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sae_core.activations.growing import GrowingArray

MAX_BUCKETS = 1024
SPAN = 65_536
"""Latents a bucket may cover, so that a posting's sort key fits 64 bits: 16 latent, 16 value, 32 row."""

Chunk = tuple[NDArray[np.uint32], NDArray[np.integer[Any]], NDArray[np.float16]]


@dataclass(frozen=True)
class Columns:
    """What each latent does in each domain, float64 or int64 [domains, m], computed from the values as stored."""

    count: NDArray[np.int64]
    maximum: NDArray[np.float64]
    total: NDArray[np.float64]


def buckets(counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """First latent of each bucket, and m at the end: about `size` postings and at most SPAN latents a bucket.

    Args:
        counts: int64 [m], postings of each latent.
        size: postings a bucket should hold; one latent with more has a bucket of its own size.
    """
    m = len(counts)
    size = max(size, -(-int(counts.sum()) // MAX_BUCKETS))
    before = np.cumsum(counts) - counts
    part = (before // size) * (m // SPAN + 1) + np.arange(m) // SPAN
    starts = np.flatnonzero(np.diff(part, prepend=-1))
    return np.append(starts, m).astype(np.int64)


def write_columns(
    folder: Path,
    counts: NDArray[np.int64],
    bounds: NDArray[np.int64],
    chunks: Iterable[Chunk],
    scale: float,
    bucket: int,
) -> Columns:
    """Write col_ptr.npy, col_rows.npy and col_vals.npy from postings that come in row order.

    Args:
        folder: where the files go.
        counts: int64 [m], postings of each latent (known from writing the rows).
        bounds: int64 [domains + 1], the first row of each domain and n.
        chunks: (rows, latents, values) pieces, rows ascending.
        scale: what a stored value is multiplied by to be the activation.
        bucket: postings to sort in memory at once.

    Returns: the statistics of each latent in each domain.
    """
    pointers = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    with GrowingArray(folder / "col_ptr.npy", np.int64) as stored:
        stored.append(pointers)
    starts = buckets(counts, bucket)
    keys = folder / "postings.tmp"
    _partition(keys, chunks, starts, pointers[starts])
    columns = _sort(folder, keys, starts, pointers[starts], bounds, scale, len(counts))
    keys.unlink()
    return columns


def _partition(keys: Path, chunks: Iterable[Chunk], starts: NDArray[np.int64], offsets: NDArray[np.int64]) -> None:
    """Write each posting's 64-bit key into its bucket's stretch of one file: latent, then value descending, then row."""
    of_latent = np.repeat(np.arange(len(starts) - 1, dtype=np.uint16), np.diff(starts))
    heads = offsets[:-1].copy()
    with keys.open("wb") as file:
        for rows, latents, values in chunks:
            bucket = of_latent[latents]
            local = (latents.astype(np.int64) - starts[bucket]).astype(np.uint64)
            # Positive float16 sort as their bits do; the complement puts the strongest first.
            weak = (np.uint16(0xFFFF) - values.view(np.uint16)).astype(np.uint64)
            key = (local << np.uint64(48)) | (weak << np.uint64(32)) | rows
            order = np.argsort(bucket, kind="stable")
            sizes = np.bincount(bucket, minlength=len(heads))
            ends = np.cumsum(sizes)
            key = key[order]
            for b in np.flatnonzero(sizes):
                file.seek(int(heads[b]) * 8)
                file.write(key[ends[b] - sizes[b] : ends[b]].data)
            heads += sizes
    assert (heads == offsets[1:]).all(), "every bucket must be filled exactly"


def _sort(
    folder: Path,
    keys: Path,
    starts: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bounds: NDArray[np.int64],
    scale: float,
    m: int,
) -> Columns:
    domains = len(bounds) - 1
    columns = Columns(np.zeros((domains, m), dtype=np.int64), np.zeros((domains, m)), np.zeros((domains, m)))
    with (
        keys.open("rb") as file,
        GrowingArray(folder / "col_rows.npy", np.uint32) as col_rows,
        GrowingArray(folder / "col_vals.npy", np.float16) as col_vals,
    ):
        for first, last, size in zip(starts, starts[1:], np.diff(offsets), strict=False):
            key = np.fromfile(file, dtype=np.uint64, count=int(size))
            key.sort()
            rows = key.astype(np.uint32)  # the low 32 bits
            values = (np.uint16(0xFFFF) - (key >> np.uint64(32)).astype(np.uint16)).view(np.float16)
            col_rows.append(rows)
            col_vals.append(values)
            local = (key >> np.uint64(48)).astype(np.int64)
            _count(columns, slice(first, last), local, rows, values.astype(np.float64) * scale, bounds)
    return columns


def _count(
    columns: Columns,
    latents: slice,
    local: NDArray[np.int64],
    rows: NDArray[np.uint32],
    values: NDArray[np.float64],
    bounds: NDArray[np.int64],
) -> None:
    width = latents.stop - latents.start
    for d, (start, stop) in enumerate(pairwise(bounds)):
        inside = slice(None) if len(bounds) == 2 else (rows >= start) & (rows < stop)
        latent, value = local[inside], values[inside]
        columns.count[d, latents] = np.bincount(latent, minlength=width)
        columns.total[d, latents] = np.bincount(latent, weights=value, minlength=width)
        # Strongest first within a latent, so that its first posting is its maximum.
        heads = np.flatnonzero(np.diff(latent, prepend=-1))
        columns.maximum[d, latents.start + latent[heads]] = value[heads]
