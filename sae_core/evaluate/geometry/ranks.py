"""Ranks of sparse codes within strata: exact, with ties averaged, at the cost of the codes that are not zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.stats import rankdata


@dataclass(frozen=True)
class Ranks:
    """Centred ranks of w latents over n rows, cut into strata of n_c rows; a rank is divided by n_c.

    All silent rows of a stratum share one rank. `above` holds what a firing row's rank has over it, so that for any vector s that
    sums to 0 in every stratum, Σ_i rank_ij s_i = Σ_i above_ji s_i: a sparse product gives an exact rank statistic.

    Attributes:
        above: CSR [w, n], rank - the silent rows' rank.
        energy: float64 [w, C], Σ over the stratum of the centred rank squared.
        ceiling: float64 [w], the largest Σ_i rank_ij s_i for s the centred ranks of an untied measure.
    """

    above: scipy.sparse.csr_matrix
    energy: NDArray[np.float64]
    ceiling: NDArray[np.float64]


def code_ranks(block: scipy.sparse.csc_matrix, strata: NDArray[np.int64], count: int) -> Ranks:
    """Rank each latent within each stratum; negative codes stand below the silent rows.

    Args:
        block: CSC [n, w], without stored zeros.
        strata: int64 [n] in 0..count-1.
        count: number of strata C.
    """
    n, width = block.shape
    latent = np.repeat(np.arange(width), np.diff(block.indptr))
    cell = latent * count + strata[block.indices]  # (latent, stratum)
    order = np.lexsort((block.data, cell))
    cell, values, rows = cell[order], block.data[order], block.indices[order]
    size = np.bincount(strata, minlength=count)
    fired = np.bincount(cell, minlength=width * count)
    below = np.bincount(cell[values < 0], minlength=width * count)
    silent = np.tile(size, width) - fired
    middle = (np.tile(size, width) + 1) / 2
    resting = below + (silent + 1) / 2  # the silent rows' rank
    begins = np.cumsum(fired) - fired
    rank = _tied(cell, values) - begins[cell] + 1 + np.where(values > 0, silent[cell], 0)
    scale = np.tile(1.0 / np.maximum(size, 1), width)
    energy = np.bincount(cell, weights=(rank - middle[cell]) ** 2, minlength=width * count) + silent * (resting - middle) ** 2
    untied = np.arange(len(cell)) - begins[cell] + 1 + np.where(values > 0, silent[cell], 0)  # the best partner of each row
    reach = np.bincount(cell, weights=(rank - resting[cell]) * (untied - middle[cell]), minlength=width * count)
    above = scipy.sparse.csr_matrix(((rank - resting[cell]) * scale[cell], (cell // count, rows)), shape=(width, n))
    return Ranks(above, (energy * scale**2).reshape(width, count), (reach * scale**2).reshape(width, count).sum(axis=1))


def _tied(cell: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Position of each entry in a sorted list, from 0; equal entries share their mean position."""
    if not len(cell):
        return np.zeros(0)
    fresh = np.ones(len(cell), dtype=bool)
    fresh[1:] = (cell[1:] != cell[:-1]) | (values[1:] != values[:-1])
    starts = np.flatnonzero(fresh)
    lengths = np.diff(np.append(starts, len(cell)))
    return np.repeat(starts + (lengths - 1) / 2, lengths)


def measure_ranks(measures: NDArray[np.float64], strata: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Centred ranks of measures [n, q] within strata, ties averaged, divided by the stratum's size; float64 [n, q]."""
    out = np.zeros_like(measures)
    for c in range(count):
        rows = strata == c
        size = int(rows.sum())
        if size:
            out[rows] = (rankdata(measures[rows], axis=0) - (size + 1) / 2) / size
    return out


def untied_energy(sizes: NDArray[np.integer[Any]]) -> float:
    """Σ over strata of the centred, scaled ranks squared of a measure without ties: Σ_c (n_c² - 1) / (12 n_c)."""
    held = sizes[sizes > 0].astype(np.float64)
    return float(np.sum((held**2 - 1) / (12 * held)))
