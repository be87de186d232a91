"""Which straight pieces are hatching: runs of parallel, evenly and closely spaced lines that lie side by side.

The drawn world counts hatching by the same words (`parallel_run` in `data/drawn/truth.py`) on exact geometry. Lines traced from
pixels need more room: their ends are worn off, and a hand neither spaces nor turns them exactly.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.complex128]
Bools = npt.NDArray[np.bool_]

PARALLEL = 11.0
"""Degrees."""
SPACING = 0.2
"""Largest gap between neighbours, as a share of the picture's longer side; it is also less than they are long."""
LENGTHS = 2.0
"""Largest ratio of two lines' lengths."""
EVEN = 1.7
"""Largest ratio of two neighbouring gaps."""
SAME = 0.012
"""Lines closer than this side by side are one line drawn in two, as a share of the picture's longer side."""
LEAST = 3
"""Rows that make a run."""


def hatched(start: Points, end: Points) -> Bools:
    """Which lines belong to a run, bool [n].

    Args:
        start, end: complex [n], the ends of the lines, in units of the picture's longer side.
    """
    n = len(start)
    marked = np.zeros(n, dtype=np.bool_)
    if n < LEAST:
        return marked
    d = end - start
    length = np.abs(d)
    back = (d / length).conj()[:, None]
    alike = np.abs((back * back.T.conj()).imag) < math.sin(math.radians(PARALLEL))
    long, short = np.maximum(length[:, None], length), np.minimum(length[:, None], length)
    alike &= long < LENGTHS * short
    middle = (start + end) / 2
    away = back * (middle - middle[:, None])  # from the row's line to the column's: along it, and across it
    alike &= np.abs(away.real) < (long + short) / 2
    for seed in np.flatnonzero(alike.sum(1) >= LEAST):
        if marked[seed]:
            continue
        members = np.flatnonzero(alike[seed])
        across = away.imag[seed, members]
        order = np.argsort(across, kind="stable")
        for run in _runs(across[order], min(SPACING, float(length[seed]))):
            marked[members[order][run]] = True
    return marked


def _runs(across: npt.NDArray[np.float64], limit: float) -> list[slice]:
    """Runs of at least `LEAST` rows with even gaps below `limit`; `across` ascends, and lines at one place are one row."""
    row = np.cumsum(np.concatenate([[0], np.diff(across) >= SAME]))
    first = np.searchsorted(row, np.arange(row[-1] + 2))
    gaps = np.diff(across[first[:-1]])
    runs = []
    at = 0
    while at < len(gaps):
        stop = at
        while stop < len(gaps) and gaps[stop] <= limit and 1 / EVEN <= gaps[stop] / gaps[max(stop - 1, at)] <= EVEN:
            stop += 1
        if stop - at >= LEAST - 1:
            runs.append(slice(int(first[at]), int(first[stop + 1])))
        at = max(stop, at + 1)
    return runs
