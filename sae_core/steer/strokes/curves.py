"""Strokes as chains of cubic Bezier curves: fitted to the drawn world's polylines, and turned back into them to be inked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sae_core.data import drawn

Floats = NDArray[np.float64]

CORNER_DEGREES = 30.0
"""A polyline that turns more than this from one chord to the next has a corner there, and no curve passes it."""
TOLERANCE = 0.006
"""How far, in frames, a fitted curve may pass from a point it stands for: 0.4 pixels of 64."""
MOST_PIECES = 12
RIDGE = 1e-4
SAMPLES = 12
"""Chords a curve is inked with."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One stroke of the pen: cubic Bezier curves end to end, or a dot.

    Attributes:
        points: float64 [k, 4, 2] control points of k curves in the frame [0, 1]^2, x to the right, y down; a dot has its
            centre in all of one curve's four.
        width: ink width as a fraction of the frame; a dot's radius.
        closed: whether it ends where it starts.
        dot: whether it is a solid disc.
    """

    points: Floats
    width: float
    closed: bool = False
    dot: bool = False


def fit(scene: drawn.Scene) -> list[Curve]:
    """The inked strokes of a scene as curves, in painter's order; nearest cubics, split at corners and until within tolerance."""
    curves = []
    for stroke in scene.strokes:
        if stroke.width <= 0:
            continue
        points = stroke.points.astype(np.float64)
        if stroke.kind == "dot":
            centre = points[:-1].mean(axis=0)
            radius = float(np.linalg.norm(points - centre, axis=1).mean())
            curves.append(Curve(np.broadcast_to(centre, (1, 4, 2)).copy(), radius, True, True))
            continue
        if stroke.closed and np.linalg.norm(points[0] - points[-1]) > 1e-6:
            points = np.concatenate([points, points[:1]])
        points = points[np.r_[True, np.linalg.norm(np.diff(points, axis=0), axis=1) > 1e-6]]
        if len(points) < 2:
            continue
        pieces = _pieces(points, 2 if stroke.closed else 1)
        if stroke.closed:
            pieces[-1, 3] = pieces[0, 0]
        curves.append(Curve(pieces, stroke.width, stroke.closed))
    return curves


def scene_of(curves: Sequence[Curve]) -> drawn.Scene:
    """Curves as a scene of the drawn world, for its own rasteriser to ink; it has no class, and its truth is not counted."""
    strokes = []
    for curve in curves:
        if curve.dot:
            angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            points = curve.points[0, 0] + curve.width * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        else:
            points = outline(curve)
        kind = "dot" if curve.dot else "curve"
        strokes.append(drawn.Stroke(points.astype(np.float32), curve.width, kind, curve.closed, 0, curve.dot))
    return drawn.Scene(-1, "generated drawing", tuple(strokes), dict.fromkeys(drawn.PRIMITIVES, 0))


def outline(curve: Curve, samples: int = SAMPLES) -> Floats:
    """Points [k samples + 1, 2] along a stroke's curves."""
    inner = np.einsum("tk,pkc->ptc", bernstein(np.linspace(0, 1, samples, endpoint=False)), curve.points).reshape(-1, 2)
    return np.concatenate([inner, curve.points[-1, 3:]])


def bernstein(t: Floats) -> Floats:
    """The four cubic Bernstein polynomials at t: [n, 4]."""
    s = 1 - t
    return np.stack([s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t], axis=1)


def _pieces(points: Floats, least: int) -> Floats:
    """Curves [k, 4, 2] through a polyline [n, 2], at least `least`."""
    chord = np.diff(points, axis=0)
    ahead, behind = chord[1:], chord[:-1]
    turn = np.abs(np.arctan2(behind[:, 0] * ahead[:, 1] - behind[:, 1] * ahead[:, 0], (behind * ahead).sum(axis=1)))
    ends = [0, *(np.flatnonzero(turn > np.radians(CORNER_DEGREES)) + 1), len(points) - 1]
    runs = [points[a : b + 1] for a, b in pairwise(ends)]
    return np.concatenate([_smooth(run, least if len(runs) == 1 else 1) for run in runs])


def _smooth(points: Floats, least: int) -> Floats:
    """As few curves as keep the tolerance, [k, 4, 2], of nearly equal length; the same number for like shapes."""
    along = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    found: list[Floats] = []
    for k in range(least, MOST_PIECES + 1):
        cuts = np.searchsorted(along, along[-1] * np.arange(1, k) / k)
        ends = np.unique(np.r_[0, cuts, len(points) - 1])
        fits = [_cubic(points[a : b + 1], along[a : b + 1]) for a, b in pairwise(ends)]
        found = [control for control, _ in fits]
        if max(error for _, error in fits) <= TOLERANCE or k >= len(points) - 1:
            break
    return np.stack(found)


def _cubic(points: Floats, along: Floats) -> tuple[Floats, float]:
    """Control points [4, 2] of the cubic through the ends that is nearest to the points at equal shares of the length.

    A touch of ridge draws the inner control points to the chord's thirds, which is where a straight line has them; without it,
    three points or fewer would leave them anywhere.
    """
    t = (along - along[0]) / (along[-1] - along[0])
    s = 1 - t
    first, second = 3 * s * s * t, 3 * s * t * t
    start, chord = points[0], points[-1] - points[0]
    # With the inner points on the thirds the curve is the chord at even speed; what is left is theirs to explain.
    rest = points - start - t[:, None] * chord
    p, q, r = first @ first + RIDGE, first @ second, second @ second + RIDGE
    a, b = first @ rest, second @ rest
    u, v = (r * a - q * b) / (p * r - q * q), (p * b - q * a) / (p * r - q * q)
    left = rest - first[:, None] * u - second[:, None] * v
    control = np.stack([start, start + chord / 3 + u, start + chord * (2 / 3) + v, points[-1]])
    return control, float(np.sqrt(np.max(left[:, 0] ** 2 + left[:, 1] ** 2)))
