"""From the skeleton's graph to strokes as a hand drew them, and from strokes to straight pieces, curves and corners.

Where strokes meet, the two branches that run on most smoothly are one stroke. A stroke is cut at its corners; what lies between
two corners is a straight line when it hardly leaves its chord, else a curve.
"""

from __future__ import annotations

import cmath
import math
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sae_core.data.strokes.graph import Graph, direction, length_of

Points = npt.NDArray[np.complex128]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

STEP = 2.0
"""Pixels between the points of a resampled stroke."""
SMOOTH = 2.3
"""Pixels over which a stroke is smoothed along itself."""
STRAIGHT_ON = 30.0
"""Degrees a stroke may turn where it runs through a meeting."""
CORNER = 35.0
"""Degrees the pen turns in a corner (the drawn world's own definition)."""
SHARP, SOFT = 60.0, 20.0
"""Degrees of turn within a short reach that are a corner whatever lies beside it, and that may be one."""
BEND, AT_ONCE = 30.0, 0.7
"""Two straight pieces meet when they differ by more than `BEND` degrees, and at least `AT_ONCE` of it lies where they meet."""
WAVER, SAGITTA = 1.3, 0.065
"""A straight piece keeps within `WAVER` pixels plus `SAGITTA` times its length of its chord."""
WORN = 0.15
"""Share of a piece at either end that does not tell its direction."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A stretch between corners or ends: its points, x + iy, `STEP` pixels apart, and whether it is straight."""

    points: Points
    straight: bool
    closed: bool = False

    @cached_property
    def length(self) -> float:
        """Pixels."""
        return length_of(self.points)

    @property
    def ends(self) -> tuple[complex, complex]:
        """The ends of the straight line through its middle: where it meets others, ink and thinning bend it."""
        n = len(self.points)
        worn = round(WORN * (n - 1))
        a, b = complex(self.points[worn]), complex(self.points[n - 1 - worn])
        more = (b - a) * worn / max(1, n - 1 - 2 * worn)
        return a - more, b + more


def strokes_of(graph: Graph) -> list[tuple[Points, bool]]:
    """The strokes as pixels x + iy, each with whether it is closed (its first point is then its last)."""
    follow = _pairs(graph)
    left = set(range(len(graph.edges)))
    # open strokes begin at an edge end that nothing leads into; what is then left are rings
    starts = [(n, side) for n in range(len(graph.edges)) for side in (0, 1) if (n, side) not in follow]
    starts += [(n, 0) for n in range(len(graph.edges))]
    return [_walk(graph, follow, left, start) for start in starts if start[0] in left]


def _walk(
    graph: Graph, follow: dict[tuple[int, int], tuple[int, int]], left: set[int], start: tuple[int, int]
) -> tuple[Points, bool]:
    parts = []
    number, side = start
    ring = False
    while number in left:
        left.discard(number)
        edge = graph.edges[number]
        points = edge.points if side == 0 else edge.points[::-1]
        out = (number, 1 - side)
        node = edge.b if side == 0 else edge.a
        entered = edge.a if side == 0 else edge.b
        parts.append(_trimmed(graph, points, entered if (number, side) in follow else -1, node if out in follow else -1))
        ring = node == -1
        if out not in follow:
            break
        number, side = follow[out]
        ring = (number, side) == start
    stroke = np.concatenate(parts)
    if ring and stroke[0] != stroke[-1]:
        stroke = np.append(stroke, stroke[0])
    return stroke, ring


def _trimmed(graph: Graph, points: Points, first: int, last: int) -> Points:
    """Without the points inside a meeting that the stroke runs through: thinning bends them towards the other strokes."""
    keep = np.ones(len(points), dtype=np.bool_)
    for node in (first, last):
        if node >= 0:
            keep &= np.abs(points - graph.places[node]) > graph.radii[node]
    return points[keep] if keep.any() else points[len(points) // 2 : len(points) // 2 + 1]


def _pairs(graph: Graph) -> dict[tuple[int, int], tuple[int, int]]:
    """For an end of an edge (number, 0 or 1) the end of another that goes on from there."""
    at: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, edge in enumerate(graph.edges):
        if edge.a >= 0:
            at[edge.a].append((number, 0))
            at[edge.b].append((number, 1))
    follow: dict[tuple[int, int], tuple[int, int]] = {}
    for node, ends in at.items():
        if len(ends) < 2:
            continue
        ways = [direction(graph.edges[n], side == 0, graph.places[node], graph.radii[node]) for n, side in ends]
        turns = sorted(
            (180.0 - abs(math.degrees(cmath.phase(ways[i] * ways[j].conjugate()))), i, j)
            for i in range(len(ends))
            for j in range(i)
        )
        used: set[int] = set()
        for turn, i, j in turns:
            if turn < STRAIGHT_ON and i not in used and j not in used:
                used |= {i, j}
                follow[ends[i]], follow[ends[j]] = ends[j], ends[i]
    return follow


def smoothed(points: Points, closed: bool) -> Points:
    """The stroke resampled every `STEP` pixels and smoothed along itself by a Gaussian of `SMOOTH` pixels; its ends stay."""
    at = np.zeros(len(points))
    np.cumsum(np.abs(points[1:] - points[:-1]), out=at[1:])
    n = max(2, round(at[-1] / STEP) + 1)
    even = np.linspace(0.0, at[-1], n)
    z = np.interp(even, at, points.real) + 1j * np.interp(even, at, points.imag)
    if n < 4:
        return np.asarray(z)
    bell = _bell()
    pad = len(bell) // 2
    around = np.arange(-pad, n + pad)
    if closed:
        return np.asarray(np.convolve(z[around % (n - 1)], bell, "valid"))
    # beyond an end the stroke goes on as it came, turned by half a turn about the end
    far = np.abs(around)
    far = (n - 1) - np.abs((n - 1) - np.minimum(far, 2 * (n - 1)))
    padded = z[far]
    padded[:pad] = 2 * z[0] - padded[:pad]
    padded[n + pad :] = 2 * z[-1] - padded[n + pad :]
    return np.asarray(np.convolve(padded, bell, "valid"))


@lru_cache(maxsize=1)
def _bell() -> Floats:
    """A Gaussian of `SMOOTH` pixels at every `STEP`, cut at three of its widths; sums to 1."""
    half = math.ceil(3 * SMOOTH / STEP)
    bell = np.exp(-0.5 * (np.arange(-half, half + 1) * STEP / SMOOTH) ** 2)
    return np.asarray(bell / bell.sum())


def cut(z: Points, closed: bool, reach: float) -> tuple[list[Piece], list[complex]]:
    """Cut a stroke at its corners.

    A sharp turn is a corner. A softer one parts two pieces when what lies on both sides of it is straight, for hands and scanners
    round corners off, but a bend of a curve has no straight sides; it is a corner when the two meet at more than `CORNER`.

    Args:
        z: the stroke's points, `STEP` pixels apart; the first again at the end when `closed`.
        reach: pixels on either side over which a turn is judged.

    Returns: the pieces, and the corners' places.
    """
    turns = _turns(z, closed, reach)
    if not turns:
        return [Piece(z, not closed and is_straight(z), closed)], []
    if closed:  # begin at the sharpest turn, so that what follows is an open stroke; both its ends are then that turn
        first = max(turns, key=lambda turn: (turn.sharp, turn.degrees))
        z = np.concatenate([z[first.at : -1], z[: first.at + 1]])
        turns = [replace(turn, at=(turn.at - first.at) % (len(z) - 1)) for turn in turns if turn is not first]
    cuts = sorted([0, *(turn.at for turn in turns), len(z) - 1])
    corners = []
    for turn in sorted(turns, key=lambda turn: turn.degrees):
        i = cuts.index(turn.at)
        angle = _angle(z[cuts[i - 1] : turn.at + 1], z[turn.at : cuts[i + 1] + 1], turn)
        if angle == 0.0:
            del cuts[i]
        elif angle > CORNER:
            corners.append(complex(z[turn.at]))
    parts = [z[a : b + 1] for a, b in pairwise(cuts)]
    if closed:
        angle = _angle(parts[-1], parts[0], first)
        if angle > CORNER:
            corners.append(complex(z[0]))
        elif angle == 0.0 and len(parts) == 1:
            return [Piece(z, False, True)], corners
        elif angle == 0.0:
            parts = [np.concatenate([parts[-1], parts[0][1:]]), *parts[1:-1]]
    return [Piece(part, is_straight(part)) for part in parts], corners


def _angle(before: Points, after: Points, turn: _Turn) -> float:
    """By how many degrees two pieces meet at a turn, 0 when they are one piece there."""
    if turn.sharp:
        return 180.0
    if len(before) < 3 or len(after) < 3 or not (is_straight(before) and is_straight(after)):
        return 0.0
    whole = abs(math.degrees(cmath.phase(complex(after[-1] - after[0]) * complex(before[-1] - before[0]).conjugate())))
    return whole if whole > BEND and turn.degrees > AT_ONCE * whole else 0.0


@dataclass(frozen=True)
class _Turn:
    """A turn of a stroke: at which of its points, by how many degrees, and whether it is a corner for sure."""

    at: int
    degrees: float
    sharp: bool


def _turns(z: Points, closed: bool, reach: float) -> list[_Turn]:
    """Where a stroke may have corners, in order.

    The turn at a point is the angle between the chords before and after it, `reach` pixels each. A curve turns as much beside the
    point as at it; a corner does not.
    """
    k = max(2, round(reach / STEP))
    ring = z[:-1] if closed else z
    n = len(ring)
    if n < 2 * k + 1:
        return []
    inner = max(1, k // 4)
    wound = np.concatenate([ring[-k:], ring, ring[:k]])  # wound[k + i] is point i, round the ring
    before = wound[k - inner : k - inner + n] - wound[:n]
    after = wound[2 * k :] - wound[k + inner : k + inner + n]
    turn = np.degrees(np.angle(after * before.conj()))
    if not closed:
        turn[:k] = turn[-k:] = 0.0
    size = np.abs(turn)
    if size.max() <= SOFT:
        return []
    wound = np.concatenate([turn[-k:], turn, turn[:k]])
    flanks = np.maximum(np.array([wound[:n], wound[2 * k :]]) * np.sign(turn), 0.0)
    if not closed:  # nothing is known of the turn near an end: the other side tells alone
        flanks[0, : 2 * k] = flanks[1, -2 * k :] = np.inf
    beside = flanks.min(0)
    beside[np.isinf(beside)] = 0.0
    width = max(1, k // 2)
    peak = np.max([np.abs(wound[k + shift : k + shift + n]) for shift in range(-width, width + 1)], axis=0)
    calm = size - beside
    found = np.flatnonzero((size >= peak) & (size > SOFT) & (calm > 0.35 * size))
    if len(found) > 1:  # a plateau is one turn
        found = found[np.concatenate([[True], np.diff(found) > width])]
    return [_Turn(int(i), float(size[i]), bool(size[i] > SHARP and calm[i] > 0.5 * size[i])) for i in found]


def is_straight(z: Points) -> bool:
    """Whether a stretch hardly leaves its chord (`WAVER`, `SAGITTA`)."""
    chord = complex(z[-1] - z[0])
    span = abs(chord)
    if span == 0.0 or span < 0.7 * STEP * (len(z) - 1):
        return False
    off = np.abs(((z - z[0]) * chord.conjugate()).imag).max() / span
    return bool(off <= WAVER + SAGITTA * span)
