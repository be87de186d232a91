"""From ink to the graph of its skeleton: nodes where strokes end or meet, edges of pixels between them.

skan finds the paths of the pixel skeleton (chosen over sknw, which is smaller and faster but has had no release since 2023).
What thinning does to thick ink is then mended: the two ends of a short bridge at a crossing are one node, and a whisker no
longer than the ink is thick is none.
"""

from __future__ import annotations

import cmath
import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Points = npt.NDArray[np.complex128]
Floats = npt.NDArray[np.float64]

ROUGH = 2.0
"""Pixels by which a rough rim makes a whisker longer than the ink alone would."""
REACH = 8.0
"""Pixels, at least, over which the direction of a branch is judged."""


@dataclass(frozen=True, eq=False)
class Edge:
    """A stretch of skeleton from node `a` to node `b`, its pixels as x + iy; a ring without a node has a = b = -1."""

    a: int
    b: int
    points: Points

    @cached_property
    def length(self) -> float:
        """Pixels."""
        return length_of(self.points)


@dataclass(frozen=True, eq=False)
class Graph:
    """The mended skeleton.

    Attributes:
        edges: the stretches; more than one may join the same two nodes.
        places: complex [n], where the nodes are, pixels.
        radii: [n], half the ink's thickness there, pixels.
        thickness: the ink's thickness at every pixel of the skeleton, pixels.
    """

    edges: tuple[Edge, ...]
    places: Points
    radii: Floats
    thickness: Floats

    def degrees(self) -> npt.NDArray[np.int64]:
        """How many branches leave each node, int64 [n]."""
        return _degrees(list(self.edges), len(self.places))


EMPTY = Graph((), np.zeros(0, dtype=np.complex128), np.zeros(0), np.zeros(0))


def length_of(points: Points) -> float:
    """The length of a polyline."""
    return float(np.abs(points[1:] - points[:-1]).sum())


def graph_of(ink: Bools) -> Graph:
    """The graph of the ink's skeleton; empty without ink."""
    from skan.csr import PathGraph
    from skimage.morphology import skeletonize

    depth = cv2.distanceTransform(np.pad(ink, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    skeleton = np.asarray(skeletonize(ink), dtype=np.bool_)
    y, x = np.nonzero(skeleton)
    adjacent = _adjacent(skeleton)
    if adjacent.nnz == 0:
        return EMPTY
    paths = PathGraph.from_graph(adj=adjacent, node_coordinates=np.stack([y, x], axis=1)).paths
    pixel = x + 1j * y
    radius = depth[y, x].astype(np.float64)
    node_of, places, radii = _nodes(adjacent, pixel, radius)
    starts, stops = paths.indptr[:-1], paths.indptr[1:]
    along = pixel[paths.indices]
    first, last = node_of[paths.indices[starts]].tolist(), node_of[paths.indices[stops - 1]].tolist()
    edges = [
        Edge(a, b, along[start:stop])
        for a, b, start, stop in zip(first, last, starts.tolist(), stops.tolist(), strict=True)
        if a != b or a < 0 or stop - start > 4  # else the pixels of one node, or a triangle of them
    ]
    edges, places, radii = _merge_bridges(edges, places, radii)
    edges = _prune(edges, places, radii)
    return Graph(tuple(edges), places, radii, np.maximum(2.0 * radius - 1.0, 1.0))


def _adjacent(skeleton: Bools) -> Any:
    """Which pixels of a skeleton are neighbours, a symmetric sparse [n, n], pixels in reading order.

    Two that touch by a corner are none when a third pixel joins them by its sides: without such short cuts few pixels along the
    way have three neighbours.
    """
    from scipy.sparse import csr_array

    h, w = skeleton.shape
    there = np.pad(skeleton, 1)
    number = np.cumsum(there, dtype=np.int32).reshape(there.shape) - 1

    def at(values: npt.NDArray[Any], dy: int, dx: int) -> npt.NDArray[Any]:
        return values[1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w]

    one, two = [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        both = skeleton & at(there, dy, dx)
        if dy and dx:
            both &= ~(at(there, dy, 0) | at(there, 0, dx))
        one.append(at(number, 0, 0)[both])
        two.append(at(number, dy, dx)[both])
    a, b = np.concatenate(one), np.concatenate(two)
    n = int(number[-1, -1]) + 1
    return csr_array((np.ones(2 * len(a)), (np.concatenate([a, b]), np.concatenate([b, a]))), shape=(n, n))


def _nodes(adjacent: Any, pixel: Points, radius: Floats) -> tuple[npt.NDArray[np.int64], Points, Floats]:
    """Number the nodes: every end, and every clump of pixels with three neighbours or more; -1 for pixels along the way."""
    from scipy.sparse import csgraph

    degree = np.diff(adjacent.indptr)
    node = np.full(len(pixel), -1, dtype=np.int64)
    meeting = np.flatnonzero(degree >= 3)
    count = 0
    if len(meeting):
        count, node[meeting] = csgraph.connected_components(adjacent[meeting][:, meeting], directed=False)
    ends = np.flatnonzero(degree == 1)
    node[ends] = count + np.arange(len(ends))
    held = np.concatenate([meeting, ends])
    n = int(count) + len(ends)
    return node, _means(node[held], pixel[held], n), _largest(node[held], radius[held], n)


def _means(group: npt.NDArray[np.int64], z: Points, n: int) -> Points:
    """The mean of the points of each of n groups."""
    size = np.maximum(np.bincount(group, minlength=n), 1)
    return np.asarray((np.bincount(group, z.real, n) + 1j * np.bincount(group, z.imag, n)) / size, dtype=np.complex128)


def _largest(group: npt.NDArray[np.int64], values: Floats, n: int) -> Floats:
    """The largest value of each of n groups, at least 0."""
    out = np.zeros(n)
    np.maximum.at(out, group, values)
    return out


def _merge_bridges(edges: list[Edge], places: Points, radii: Floats) -> tuple[list[Edge], Points, Floats]:
    """Make one node of two meetings whose ink overlaps: thinning splits a slanted crossing into two forks and a bridge."""
    from scipy.sparse import coo_array, csgraph

    degree = _degrees(edges, len(places))
    kept: list[Edge] = []
    bridges: list[Edge] = []
    for edge in edges:
        inner = edge.a >= 0 and min(degree[edge.a], degree[edge.b]) >= 3
        short = inner and edge.length <= radii[edge.a] + radii[edge.b]
        (bridges if short else kept).append(edge)
    if not bridges:
        return edges, places, radii
    pairs = np.array([(e.a, e.b) for e in bridges], dtype=np.int64).T
    joined = coo_array((np.ones(len(bridges)), (pairs[0], pairs[1])), shape=(len(places), len(places)))
    n, group = csgraph.connected_components(joined, directed=False)
    to = group.tolist()
    moved = [Edge(to[e.a], to[e.b], e.points) if e.a >= 0 else e for e in kept]
    return moved, _means(group, places, n), _largest(group, radii, n)


def _degrees(edges: list[Edge], n: int) -> npt.NDArray[np.int64]:
    ends = [node for edge in edges for node in (edge.a, edge.b) if node >= 0]
    return np.bincount(np.array(ends, dtype=np.int64), minlength=n)


def _prune(edges: list[Edge], places: Points, radii: Floats) -> list[Edge]:
    """Drop whiskers, shortest first, and join the two stretches that a node of two branches holds together."""
    branches: dict[int, list[int]] = defaultdict(list)
    for number, edge in enumerate(edges):
        if edge.a >= 0:
            branches[edge.a].append(number)
            branches[edge.b].append(number)
    lengths = [edge.length for edge in edges]
    dropped = set()
    for number in np.argsort(lengths, kind="stable").tolist():
        edge = edges[number]
        loose = [node for node in (edge.a, edge.b) if node >= 0 and len(branches[node]) == 1]
        meeting = edge.b if loose == [edge.a] else edge.a
        if len(loose) != 1 or len(branches[meeting]) < 3 or lengths[number] > 4.0 * radii[meeting] + ROUGH:
            continue
        others = [edges[n] for n in branches[meeting] if n != number]
        if lengths[number] <= _overlap(others, meeting, complex(places[meeting]), float(radii[meeting])) + ROUGH:
            dropped.add(number)
            branches[meeting].remove(number)
            branches[loose[0]].clear()
    return _join([edge for number, edge in enumerate(edges) if number not in dropped])


def _overlap(others: list[Edge], node: int, place: complex, radius: float) -> float:
    """How far from a meeting its ink reaches: two strokes of half thickness r that leave a point at an angle t overlap up to
    r / sin(t / 2), and thinning draws a whisker along their overlap."""
    if len(others) != 2 or others[0] is others[1]:
        return radius
    one, two = (direction(edge, edge.a == node, place, radius) for edge in others)
    return radius / max(math.sin(abs(cmath.phase(one * two.conjugate())) / 2), 0.25)


def direction(edge: Edge, forwards: bool, place: complex, radius: float) -> complex:
    """In which direction an edge leaves a node at `place`, judged just outside the ink of the meeting."""
    points = edge.points if forwards else edge.points[::-1]
    reach = round(max(2.0 * radius, REACH))
    outside = np.abs(points[: 2 * reach] - place) > radius
    near = int(outside.argmax())  # 0 when all of it is inside
    way = complex(points[min(near + reach, len(points) - 1)] - points[near])
    return way or complex(points[-1] - place) or 1 + 0j


def _join(edges: list[Edge]) -> list[Edge]:
    at: dict[int, list[int]] = defaultdict(list)
    living: dict[int, Edge] = dict(enumerate(edges))
    for number, edge in living.items():
        if edge.a >= 0:
            at[edge.a].append(number)
            at[edge.b].append(number)
    for node, held in at.items():
        if len(held) != 2:
            continue
        first, second = held
        if first == second:  # a ring that came back to where it began
            living[first] = Edge(-1, -1, living[first].points)
            continue
        one, two = living[first], living.pop(second)
        head = one.points if one.b == node else one.points[::-1]
        tail = two.points if two.a == node else two.points[::-1]
        a = one.a if one.b == node else one.b
        b = two.b if two.a == node else two.a
        living[first] = Edge(a, b, np.concatenate([head, tail[1:] if head[-1] == tail[0] else tail]))
        at[b] = [first if number == second else number for number in at[b]]
    return list(living.values())
