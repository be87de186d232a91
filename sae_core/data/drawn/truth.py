"""The ground truth: how many primitives a drawing shows, derived from its geometry.

All lengths are fractions of the frame. Every piece (a straight line or one smooth curve) is an edge between its two
ends. Ends closer than `TOUCH` are one node; a node closer than `TOUCH` to the inside of another piece lies on it; two
pieces that cross make a node. The branches of a node are the ends that meet in it, plus two for every piece that runs
through it.

    lines      straight pieces between corners or ends, at least `VISIBLE` long
    curves     maximal curved pieces: arcs and free curves, joined where one runs smoothly into the next
    corners    nodes of two branches, both of them ends, where the direction turns by more than `CORNER_DEGREES`
    junctions  nodes of three branches or more: T, X and Y
    loops      areas closed in by ink, E - V + C of the graph of nodes and branches (Euler); filled dots are no loops
    hatching   straight pieces that belong to a run of at least three parallel, equally spaced ones, closely spaced
    dots       filled dots
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .geometry import Points, Trace

TOUCH = 0.012
VISIBLE = 0.03
CORNER_DEGREES = 35.0
HATCH_DEGREES = 9.0
HATCH_SPACING = 0.2

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]


class _Pieces:
    """The inked pieces of a drawing as flat arrays: ends, directions and a chain of segments each."""

    def __init__(self, traces: Sequence[Trace], points: Points) -> None:
        self.points = points
        self.dots = 0
        first: list[int] = []
        last: list[int] = []
        straight: list[bool] = []
        self.strokes: list[tuple[int, int, bool]] = []  # first piece, one past the last, closed
        a: list[int] = []
        b: list[int] = []
        self.segment_start: list[int] = []
        offset = 0
        for trace in traces:
            if trace.weight <= 0 or trace.kind == "dot":
                self.dots += trace.kind == "dot"
                offset += sum(len(piece.points) for piece in trace.pieces)
                continue
            before = len(first)
            for piece in trace.pieces:
                end = offset + len(piece.points) - 1
                first.append(offset)
                last.append(end)
                straight.append(piece.straight)
                self.segment_start.append(len(a))
                if piece.straight:
                    a.append(offset)
                    b.append(end)
                else:  # a long curve is followed in double steps: half the segments, and still far finer than the ink
                    knots = list(range(offset, end, 2 if end - offset > 15 else 1))
                    a += knots
                    b += [*knots[1:], end]
                offset = end + 1
            self.strokes.append((before, len(first), trace.closed))
        self.count = len(first)
        self.straight = straight
        self.first, self.last = np.array(first, dtype=np.intp), np.array(last, dtype=np.intp)
        self.a, self.b = points[a], points[b]
        sizes = np.diff([*self.segment_start, len(a)])
        self.segment_piece = np.repeat(np.arange(self.count), sizes)
        # both ends of every piece: where they are, and the direction in which the piece leaves them
        self.ends = np.concatenate([points[self.first], points[self.last]])
        self.leaving = np.concatenate([points[self.first + 1] - points[self.first], points[self.last - 1] - points[self.last]])
        self.length = np.add.reduceat(np.abs(self.b - self.a), self.segment_start) if self.count else np.zeros(0)


def count(traces: Sequence[Trace], points: Points | None = None) -> dict[str, int]:
    """Return the number of each primitive that the drawing shows, in the order of `PRIMITIVES`.

    Args:
        traces: the strokes.
        points: complex [n], the points of all pieces of all strokes one after the other, placed in the frame; by
            default those of the traces themselves.
    """
    if points is None:
        points = np.concatenate([piece.points for trace in traces for piece in trace.pieces])
    p = _Pieces(traces, points)
    if p.count == 0:
        return dict.fromkeys(("lines", "curves", "corners", "junctions", "loops", "hatching"), 0) | {"dots": p.dots}
    node_of_end, nodes = _cluster(p.ends)
    n = len(nodes)
    through = _passes(nodes, p)
    piece = np.arange(p.count)
    through[node_of_end[: p.count], piece] = False
    through[node_of_end[p.count :], piece] = False
    ends_here = np.bincount(node_of_end, minlength=n)
    branches = ends_here + 2 * through.sum(1)

    joined: list[list[int]] = [[] for _ in range(n)]
    for node, i in zip(node_of_end.tolist(), [*range(p.count)] * 2, strict=True):
        joined[node].append(i)
    for node, i in zip(*(axis.tolist() for axis in through.nonzero()), strict=True):
        joined[node].append(i)
    crossings = _crossings(nodes, p)
    joined += crossings
    edges = (int(branches.sum()) + sum([max(4, 2 * len(group)) for group in crossings])) // 2
    loops = edges - (n + len(crossings)) + _components(p.count, joined)

    straight = np.array(p.straight)
    lines = straight & (p.length >= VISIBLE)
    return {
        "lines": int(lines.sum()),
        "curves": _curves(p),
        "corners": _corners(node_of_end, branches, ends_here, p),
        "junctions": int((branches >= 3).sum()) + len(crossings),
        "loops": loops,
        "hatching": parallel_run(p.ends[: p.count][lines], p.ends[p.count :][lines]),
        "dots": p.dots,
    }


def _cluster(z: Points) -> tuple[Ints, Points]:
    """Return for every point its cluster, and for every cluster the place of its first point."""
    near = _close(z, z)
    leader = near.argmax(1)
    leader = leader[leader]
    is_leader = np.zeros(len(z), dtype=np.intp)
    is_leader[leader] = 1
    return (np.cumsum(is_leader) - 1)[leader], z[is_leader.nonzero()[0]]


def _close(z: Points, other: Points) -> Bools:
    """Return [len(z), len(other)]: whether two points are closer than `TOUCH`."""
    dx, dy = z.real[:, None] - other.real, z.imag[:, None] - other.imag
    dx *= dx
    dy *= dy
    dx += dy
    return dx < TOUCH * TOUCH


def _passes(nodes: Points, p: _Pieces) -> Bools:
    """Return [nodes, pieces]: whether the piece passes within `TOUCH` of the node.

    A node lies beside a segment a..b when 0 <= (n - a) . d <= d . d, at the distance |d x (n - a)| / |d|; both products
    are matrix products of the node and the segment coordinates.
    """
    d = p.b - p.a
    dx, dy, ax, ay = d.real, d.imag, p.a.real, p.a.imag
    xy = _columns(nodes)
    squared = dx * dx + dy * dy
    length = np.sqrt(squared)
    slack = 0.3 * TOUCH * length  # the blunt gap on the outer side of a bend between two segments
    along = xy @ np.array((dx, dy))
    along -= dx * ax + dy * ay + 0.5 * squared  # from the middle of the segment, times its length
    across = xy @ np.array((-dy, dx))
    across -= dx * ay - dy * ax
    hit = np.abs(across, out=across) < TOUCH * length
    hit &= np.abs(along, out=along) < 0.5 * squared + slack
    return np.logical_or.reduceat(hit, p.segment_start, axis=1)


def _columns(z: Points) -> npt.NDArray[np.float64]:
    """Return complex [n] as real [n, 2]."""
    return np.ascontiguousarray(z).view(np.float64).reshape(-1, 2)


def _crossings(nodes: Points, p: _Pieces) -> list[list[int]]:
    """Return for every crossing of pieces away from the nodes the pieces that cross there.

    Two segments cross when the ends of each lie on different sides of the other, told by the sign of a cross product.
    """
    d = p.b - p.a
    normal = np.array((-d.imag, d.real))
    own = d.real * p.a.imag - d.imag * p.a.real
    side_a = _columns(p.a) @ normal
    side_a -= own
    side_b = _columns(p.b) @ normal
    side_b -= own
    apart = side_a * side_b < -1e-13  # not 0: rounding would let collinear segments cross
    apart &= apart.T
    first, second = apart.nonzero()
    # each pair once; neighbours along one curve share a point, which rounding can make look like a crossing
    once = (second > first + 1) | ((second == first + 1) & (p.segment_piece[first] != p.segment_piece[second]))
    first, second = first[once], second[once]
    if not len(first):
        return []
    before, after = side_a[first, second], side_b[first, second]
    place = p.a[first] + d[first] * (before / (before - after))
    far = ~_close(place, nodes).any(1)
    if not far.any():
        return []
    member, places = _cluster(place[far])
    pieces: list[set[int]] = [set() for _ in places]
    for group, i, j in zip(member.tolist(), first[far].tolist(), second[far].tolist(), strict=True):
        pieces[group] |= {int(p.segment_piece[i]), int(p.segment_piece[j])}
    return [sorted(group) for group in pieces]


def _components(n: int, joined: list[list[int]]) -> int:
    """Return into how many connected components n pieces fall when every list joins its members."""
    root = list(range(n))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    left = n
    for group in joined:
        for other in group[1:]:
            x, y = find(group[0]), find(other)
            if x != y:
                root[x] = y
                left -= 1
    return left


def _turn(leaving: complex, other: complex) -> float:
    """Return by how many degrees the pen turns where two pieces meet, given the directions that leave the meeting."""
    dot = leaving.real * other.real + leaving.imag * other.imag
    cross = leaving.real * other.imag - leaving.imag * other.real
    return 180.0 - math.degrees(abs(math.atan2(cross, dot)))


def _corners(node_of_end: Ints, branches: Ints, ends_here: Ints, p: _Pieces) -> int:
    order = np.argsort(node_of_end, kind="stable")
    start = np.concatenate([[0], np.cumsum(ends_here)[:-1]])
    plain = ((branches == 2) & (ends_here == 2)).nonzero()[0]
    one, two = p.leaving[order[start[plain]]], p.leaving[order[start[plain] + 1]]
    turn = 180.0 - np.degrees(np.abs(np.angle(one * two.conj())))
    return int((turn > CORNER_DEGREES).sum())


def _curves(p: _Pieces) -> int:
    """Count curved pieces, those of one stroke that run smoothly into each other as one."""
    total = 0
    for start, stop, closed in p.strokes:
        bends = [not p.straight[i] and bool(p.length[i] >= VISIBLE) for i in range(start, stop)]
        n = len(bends)
        total += sum(bends)
        if n < 2 or not any(bends):
            continue
        merged = 0
        for i in range(n if closed else n - 1):
            after = (i + 1) % n
            if bends[i] and bends[after]:
                arriving = complex(p.leaving[p.count + start + i])
                merged += _turn(arriving, complex(p.leaving[start + after])) <= CORNER_DEGREES
        total -= min(merged, n - 1)  # a ring of smooth pieces is one curve, not none
    return total


def parallel_run(start: Points, end: Points) -> int:
    """Return how many straight lines belong to runs of at least three parallel, equally and closely spaced ones.

    Lines are parallel within `HATCH_DEGREES`, closer than `HATCH_SPACING` and than they are long, lie side by side, and
    their gaps differ from the middle gap by less than half of it.

    Args:
        start, end: complex [n], the ends of the lines, in fractions of the frame.
    """
    n = len(start)
    if n < 3:
        return 0
    d = end - start
    length = np.abs(d)
    back = (d / length).conj()[:, None]
    alike = np.abs((back * back.T.conj()).imag) < math.sin(math.radians(HATCH_DEGREES))
    long, short = np.maximum(length[:, None], length), np.minimum(length[:, None], length)
    alike &= long < 2.0 * short
    middle = (start + end) * 0.5
    away = back * (middle - middle[:, None])  # along the line of the row, and across it
    alike &= np.abs(away.real) < 0.5 * (long + short)
    marked: set[int] = set()
    for seed in (alike.sum(1) >= 3).nonzero()[0].tolist():
        if seed in marked:
            continue
        members = alike[seed].nonzero()[0]
        across = away.imag[seed, members]
        order = across.argsort(kind="stable")
        limit = min(HATCH_SPACING, float(length[seed]))
        members = members[order]
        for run in _runs(across[order].tolist(), limit):
            marked.update(members[run].tolist())
    return len(marked)


def _runs(offsets: list[float], limit: float) -> list[list[int]]:
    """Return runs of at least three rows with equal gaps below `limit`; offsets are sorted, equal ones share a row."""
    rows: list[list[int]] = []
    level = -math.inf
    for i, offset in enumerate(offsets):
        if offset - level < 0.012 and rows:
            rows[-1].append(i)
        else:
            rows.append([i])
            level = offset
    runs: list[list[int]] = []
    gaps = [offsets[b[0]] - offsets[a[0]] for a, b in pairwise(rows)]
    at = 0
    while at < len(gaps):
        stop = at
        while stop < len(gaps) and gaps[stop] <= limit and 0.6 <= gaps[stop] / gaps[at] <= 1.6:
            stop += 1
        if stop - at >= 2:
            runs.append([i for row in rows[at : stop + 1] for i in row])
        at = max(stop, at + 1)
    return runs
