"""On how many rows two latents fire together: two exact ways of counting, each fast where the other is slow."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sae_core.activations.files import ranges

ROW_CHUNK = 262_144
"""Rows whose codes are gathered at once, which bounds memory for a latent that fires almost everywhere."""
DENSE = 0.1
"""Share of the rows above which the latents that fire with one are counted in their own postings instead of in its rows."""


def by_row(rows: NDArray[np.uint32], m: int, ptr: NDArray[np.int64], idx: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.int64]:
    """On how many of the rows each latent fires, int64 [m], by reading those rows' codes (`ptr`, `idx` of the store)."""
    both = np.zeros(m, dtype=np.int64)
    ordered = np.sort(rows).astype(np.int64)
    for start in range(0, len(ordered), ROW_CHUNK):
        chunk = ordered[start : start + ROW_CHUNK]
        counts = ptr[chunk + 1] - ptr[chunk]
        both += np.bincount(idx[ranges(ptr[chunk], counts)], minlength=m)
    return both


def by_column(
    j: int, rows: NDArray[np.uint32], count: int, n: int, col_ptr: NDArray[np.int64], col_rows: NDArray[np.uint32]
) -> NDArray[np.int64]:
    """The same, exact for the `count` latents of largest Jaccard index and 0 for those that cannot be among them.

    |A and B| / |A or B| <= min(|A|, |B|) / max(|A|, |B|), so latents are counted by falling bound until it is below what the
    best have: a latent that fires almost everywhere has few peers of its size.

    Args:
        j: the latent, which fires on `rows`.
        count: how many of the others are wanted.
        n: rows of the store; `col_ptr` and `col_rows` are its columns.
    """
    fires, fired = np.zeros(n, dtype=bool), np.diff(col_ptr)
    both = np.zeros(len(fired), dtype=np.int64)
    fires[rows] = True
    bound = np.minimum(fired, len(rows)) / np.maximum(fired, len(rows))
    bound[j] = 0
    best: list[float] = []
    for b in np.argsort(-bound, kind="stable")[: np.count_nonzero(bound)]:
        if len(best) >= max(count, 1) and bound[b] < best[0]:
            break
        both[b] = np.count_nonzero(fires.take(col_rows[col_ptr[b] : col_ptr[b + 1]]))
        keep = heapq.heappush if len(best) < count else heapq.heappushpop
        keep(best, float(both[b] / (fired[b] + len(rows) - both[b])))
    return both
