"""Codes of many rows for the metrics: the activation store or a sparse matrix, read a block of latents at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sae_core.activations.index import Activations
from sae_core.errors import InputError

Codes: TypeAlias = Activations | scipy.sparse.spmatrix | scipy.sparse.sparray | NDArray[Any]
"""z [n, m]: a collect artifact, any scipy sparse matrix, or (for a control such as the raw dimensions) a dense array."""

POSTINGS = 4_000_000
"""Codes held in memory at once (48 MB as float64 with 32-bit rows)."""


def shape(codes: Codes) -> tuple[int, int]:
    """Rows and latents."""
    if isinstance(codes, Activations):
        return codes.n, codes.m
    n, m = codes.shape
    return int(n), int(m)


def columns(
    codes: Codes, rows: NDArray[np.integer[Any]] | None = None, size: int = POSTINGS, width: int | None = None
) -> Iterator[tuple[int, scipy.sparse.csc_matrix]]:
    """The codes in blocks of latents, each a scipy CSC matrix, float64 [rows, width], without stored zeros.

    Args:
        codes: z [n, m].
        rows: which rows, in the order wanted, each at most once; None: all of them.
        size: codes a block may hold; one latent with more has a block of its own.
        width: latents a block may hold; None: any number.

    Yields: the block's first latent, and the block.
    Raises: InputError when a row is out of range or comes twice.
    """
    n, _ = shape(codes)
    place = None if rows is None else _places(rows, n)
    if isinstance(codes, Activations):
        counts = codes.stats["count"].to_numpy(np.int64)
    elif isinstance(codes, np.ndarray):
        counts = np.full(codes.shape[1], n, dtype=np.int64)
    else:
        codes = scipy.sparse.csc_matrix(codes)
        counts = np.diff(codes.indptr).astype(np.int64)
    height = n if rows is None else len(rows)
    for start, stop in _cuts(counts, size, width or len(counts)):
        if isinstance(codes, Activations):
            yield start, _stored(codes, start, stop, place, height)
        else:
            part = codes[:, start:stop]
            block = scipy.sparse.csc_matrix(part if rows is None else part[rows], dtype=np.float64)
            block.eliminate_zeros()
            yield start, block


def _places(rows: NDArray[np.integer[Any]], n: int) -> NDArray[np.int64]:
    """Where each of n rows stands among `rows`, -1 for one left out."""
    if len(rows) and not 0 <= rows.min() <= rows.max() < n:
        raise InputError(f"rows {rows.min()} to {rows.max()} of codes that have rows 0 to {n - 1}; take rows of these codes")
    place = np.full(n, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    if np.count_nonzero(place >= 0) != len(rows):
        raise InputError(f"{len(rows)} rows are asked for and some of them twice; give each row once")
    return place


def _cuts(counts: NDArray[np.int64], size: int, width: int) -> list[tuple[int, int]]:
    bounds, held = [0], 0
    for j, count in enumerate(counts.tolist()):
        if (held and held + count > size) or j - bounds[-1] >= width:
            bounds.append(j)
            held = 0
        held += count
    bounds.append(len(counts))
    return [(a, b) for a, b in pairwise(bounds) if b > a]


def _stored(acts: Activations, start: int, stop: int, place: NDArray[np.int64] | None, height: int) -> scipy.sparse.csc_matrix:
    found, values, ends = [], [], [0]
    for j in range(start, stop):
        at, value = acts.postings(j)
        if place is not None:
            at = place[at]
            value, at = value[at >= 0], at[at >= 0]
        found.append(at)
        values.append(value)
        ends.append(ends[-1] + len(at))
    matrix = scipy.sparse.csc_matrix(
        (np.concatenate(values).astype(np.float64), np.concatenate(found).astype(np.int32), np.asarray(ends, dtype=np.int64)),
        shape=(height, stop - start),
    )
    matrix.sort_indices()
    return matrix
