"""Curves as tokens: one token a cubic, ten small integers each, so that drawing is choosing and a picture is never a blur.

A token is (pen, size, x0, y0, x3, y3, dx1, dy1, dx2, dy2). Ends are on a grid of the frame; the two inner control points are
offsets from the chord's thirds, where a straight line has them, so that "straight" is one and the same choice everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sae_core.steer.strokes.curves import Curve

Tokens = NDArray[np.int64]

END, NEW, GO, CLOSE, DOT = range(5)
"""What the pen does: stop; start a stroke; go on from where it is; go on to where the stroke started; make a dot."""
PENS = 5
ATTRIBUTES = ("pen", "size", "x0", "y0", "x3", "y3", "dx1", "dy1", "dx2", "dy2")
BINS = 128
"""Values a coordinate can take: half a pixel of 64."""
SIZES = 48
LARGEST_SIZE = 0.12
LONGEST = 64
"""Tokens of one drawing at most, the end not counted."""

CHOSEN = np.zeros((PENS, len(ATTRIBUTES)), dtype=bool)
"""By pen, which attributes are chosen; the others follow from what stands before and are not learned."""
CHOSEN[:, 0] = True
CHOSEN[NEW] = True
CHOSEN[GO, 4:] = True
CHOSEN[CLOSE, 6:] = True
CHOSEN[DOT, 1:4] = True
VOCABULARY = (PENS, SIZES, *[BINS] * 8)
_ZERO = BINS // 2
_THIRDS = np.array([1 / 3, 2 / 3])


def encode(curves: Sequence[Curve]) -> Tokens:
    """Curves as tokens, int64 [n, 10], the end not included; n can be more than `LONGEST`."""
    rows: list[list[int]] = []
    for curve in curves:
        size = int(np.clip(round(curve.width / LARGEST_SIZE * SIZES - 0.5), 0, SIZES - 1))
        if curve.dot:
            x, y = _cell(curve.points[0, 0])
            rows.append([DOT, size, x, y, x, y, *[_ZERO] * 4])
            continue
        start = here = _cell(curve.points[0, 0])
        for i, control in enumerate(curve.points):
            closes = curve.closed and i == len(curve.points) - 1 and i > 0
            end = start if closes else _cell(control[3])
            a, b = _place(here), _place(end)
            offset = control[1:3] - (a + (b - a) * _THIRDS[:, None])
            inner = np.clip(np.round(offset * BINS) + _ZERO, 0, BINS - 1).astype(int).ravel().tolist()
            rows.append([NEW if i == 0 else CLOSE if closes else GO, size, *here, *end, *inner])
            here = end
    return np.array(rows, dtype=np.int64).reshape(-1, len(ATTRIBUTES))


def decode(tokens: Tokens) -> list[Curve]:
    """Tokens [n, 10], up to the first end, as curves; a chain without a beginning starts one."""
    curves: list[Curve] = []
    chain: list[NDArray[np.float64]] = []
    width = 0.0

    def finish(closed: bool) -> None:
        if chain:
            curves.append(Curve(np.stack(chain), width, closed))
            chain.clear()

    for pen, size, *rest in tokens.tolist():
        if pen == END:
            break
        if pen in (NEW, DOT):
            finish(False)
            width = (size + 0.5) / SIZES * LARGEST_SIZE
        a, b = _place((rest[0], rest[1])), _place((rest[2], rest[3]))
        if pen == DOT:
            curves.append(Curve(np.broadcast_to(a, (1, 4, 2)).copy(), width, True, True))
            continue
        offset = (np.array(rest[4:], dtype=np.float64).reshape(2, 2) - _ZERO) / BINS
        chain.append(np.stack([a, *(a + (b - a) * _THIRDS[:, None] + offset), b]))
        if pen == CLOSE:
            finish(True)
    finish(False)
    return curves


def _cell(point: NDArray[np.float64]) -> tuple[int, int]:
    x, y = np.clip(np.floor(point * BINS), 0, BINS - 1).astype(int).tolist()
    return x, y


def _place(cell: tuple[int, int]) -> NDArray[np.float64]:
    """The middle of a cell of the grid."""
    return (np.array(cell, dtype=np.float64) + 0.5) / BINS
