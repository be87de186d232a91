"""The stroke measures of one drawing: what its ink is made of, in numbers that do not depend on the picture's size.

    picture -> ink -> dots and lines -> skeleton and its graph -> strokes -> straight pieces, curves, corners

Counts follow the drawn world's definitions (`data/drawn/truth.py`), so that they can be held against its ground truth.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from sae_core.data.drawn.truth import VISIBLE
from sae_core.data.strokes.graph import Graph, graph_of
from sae_core.data.strokes.hatching import hatched
from sae_core.data.strokes.ink import SIDE, ink_of
from sae_core.data.strokes.trace import STEP, Piece, cut, smoothed, strokes_of

Bools = npt.NDArray[np.bool_]
Points = npt.NDArray[np.complex128]

BINS = 8
REACH = 0.042
"""How far on either side a turn is judged, as a share of the picture's longer side; at least the width of the pen."""
CHORD = 12.0
"""Pixels over which curvature is judged."""
LARGEST_DOT = 0.2
"""Diameter of the largest dot, as a share of the picture's longer side; a larger disc is an area."""


@dataclass(frozen=True)
class Strokes:
    """What a drawing is made of. Lengths are in units of its size, the longer side of the box around its ink.

    Attributes:
        lines, curves: straight and curved pieces between corners and ends (one stroke that runs through a crossing is one piece).
        straight_share: share of the strokes' length that is straight, 0..1.
        curvature: mean absolute curvature along the strokes, corners left out, 1/size; a circle has 2.
        corners: where one stroke turns by more than 35 degrees.
        endpoints: loose ends of strokes.
        t_junctions, x_junctions: where three branches meet, where four or more do.
        loops: areas closed in by ink.
        hatching: straight pieces in runs of at least three parallel, equally and closely spaced ones.
        hatching_share: their share of the strokes' length, 0..1.
        dots: filled spots about as wide as they are long, that touch nothing else.
        orientation: share of the strokes' length in each of 8 directions, counter-clockwise from horizontal, 22.5 degrees apart.
        stroke_width: median width of the pen's line, in units of size; of a photo's edges it says nothing.
        stroke_width_variation: standard deviation of the width along the strokes over its mean.
        ink_density: share of the picture that is ink, 0..1.
        symmetry: how far the drawing equals its mirror image left to right about its best upright axis, 0..1.
    """

    lines: int
    curves: int
    straight_share: float
    curvature: float
    corners: int
    endpoints: int
    t_junctions: int
    x_junctions: int
    loops: int
    hatching: int
    hatching_share: float
    dots: int
    orientation: tuple[float, ...]
    stroke_width: float
    stroke_width_variation: float
    ink_density: float
    symmetry: float

    @property
    def junctions(self) -> int:
        """T and X junctions together."""
        return self.t_junctions + self.x_junctions

    def row(self) -> dict[str, float]:
        """Every measure as one flat row; the histogram as `orientation_0` to `orientation_7`."""
        out: dict[str, float] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "orientation":
                out |= {f"orientation_{i}": share for i, share in enumerate(value)}
            else:
                out[field.name] = value
        return out


NOTHING = Strokes(0, 0, 0.0, 0.0, 0, 0, 0, 0, 0, 0, 0.0, 0, (0.0,) * BINS, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Traced:
    """A drawing taken apart, at the working size: for the measures, and to look at."""

    ink: Bools
    dots: tuple[complex, ...]
    graph: Graph
    pieces: tuple[Piece, ...]
    corners: tuple[complex, ...]


def trace(image: Image.Image | npt.NDArray[Any], rendering: str = "sketch") -> Traced:
    """Take a drawing apart; arguments and errors as `measure`."""
    ink = ink_of(image, rendering)
    dots, lines = _take_dots(ink)
    graph = graph_of(lines)
    width = float(np.median(graph.thickness)) if len(graph.thickness) else 1.0
    pieces: list[Piece] = []
    corners: list[complex] = []
    for points, closed in strokes_of(graph):
        if len(points) < 2:
            continue
        z = smoothed(points, closed)
        found, places = cut(z, closed, max(width, REACH * SIDE))
        pieces += found
        corners += places
    return Traced(ink, tuple(dots), graph, tuple(pieces), tuple(corners))


def measure(image: Image.Image | npt.NDArray[Any], rendering: str = "sketch") -> Strokes:
    """Measure one drawing, or the edges of one photo.

    Args:
        image: a PIL image of any mode, or an array [h, w], [h, w, 3] or [h, w, 4], uint8 0..255 or floats 0..1; dark on light,
            light on dark, or on a transparent ground.
        rendering: "sketch", or "photo" to measure the picture's edges.

    Returns: the measures; all zero for a picture that shows nothing.
    Raises: InputError on an unknown rendering, or an array that is no picture.
    """
    found = trace(image, rendering)
    if not found.ink.any():
        return NOTHING
    y, x = np.nonzero(found.ink)
    size = float(max(np.ptp(y), np.ptp(x)) + 1)
    seen = [piece for piece in found.pieces if piece.length >= VISIBLE * SIDE]
    straight = [piece for piece in seen if piece.straight]
    lengths = np.array([piece.length for piece in straight])
    total = sum(piece.length for piece in found.pieces)
    ends = np.array([piece.ends for piece in straight], dtype=np.complex128).reshape(-1, 2) / SIDE
    in_run = hatched(ends[:, 0], ends[:, 1])
    degrees = found.graph.degrees()
    thick = found.graph.thickness
    return Strokes(
        lines=len(straight),
        curves=len(seen) - len(straight),
        straight_share=float(lengths.sum() / total) if total else 0.0,
        curvature=_curvature(found.pieces) * size,
        corners=len(found.corners),
        endpoints=int((degrees == 1).sum()),
        t_junctions=int((degrees == 3).sum()),
        x_junctions=int((degrees >= 4).sum()),
        loops=_holes(found.ink),
        hatching=int(in_run.sum()),
        hatching_share=float(lengths[in_run].sum() / total) if total else 0.0,
        dots=len(found.dots),
        orientation=_orientation(found.pieces),
        stroke_width=float(np.median(thick)) / size if len(thick) else 0.0,
        stroke_width_variation=float(thick.std() / thick.mean()) if len(thick) else 0.0,
        ink_density=float(found.ink.mean()),
        symmetry=_symmetry(found.ink),
    )


def _take_dots(ink: Bools) -> tuple[list[complex], Bools]:
    """The centres of filled spots, and the ink without them."""
    lines = ink.copy()
    count, label, stats, centres = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    dots = []
    for i in range(1, count):
        x, y, w, h, area = stats[i]
        if max(w, h) > LARGEST_DOT * SIDE or max(w, h) > 2.0 * min(w, h):
            continue
        if _compact(label[y : y + h, x : x + w] == i, int(area)):
            dots.append(complex(*centres[i]))
            lines[label == i] = False
    return dots, lines


def _compact(spot: Bools, area: int) -> bool:
    """Whether a spot fills the ellipse of its own moments, and that is hardly longer than wide."""
    m = cv2.moments(spot.astype(np.uint8), binaryImage=True)
    xx, yy, xy = m["mu20"] / area + 1 / 12, m["mu02"] / area + 1 / 12, m["mu11"] / area
    middle, swing = (xx + yy) / 2, float(np.hypot((xx - yy) / 2, xy))
    long, short = np.sqrt(middle + swing), np.sqrt(max(middle - swing, 1e-9))
    return bool(long <= 1.6 * short and area >= 0.85 * 4 * np.pi * long * short)


def _holes(ink: Bools) -> int:
    count, _ = cv2.connectedComponents(np.pad(~ink, 1, constant_values=True).astype(np.uint8), connectivity=4)
    return int(count) - 2


def _curvature(pieces: tuple[Piece, ...]) -> float:
    """Mean |turn| per pixel over all pieces, 1/pixel: between chords of `CHORD` pixels, over which the pixels' steps even out."""
    turned = length = 0.0
    for piece in pieces:
        z = piece.points
        m = min(round(CHORD / STEP), (len(z) - 1) // 2)
        if m < 1:
            continue
        if piece.closed:
            z = np.concatenate([z[:-1], z[: 2 * m]])
        chord = z[m:] - z[:-m]
        turn = np.abs(np.angle(chord[m:] * chord[:-m].conj()))
        turned += float(turn.mean()) / (m * STEP) * piece.length
        length += piece.length
    return turned / length if length else 0.0


def _orientation(pieces: tuple[Piece, ...]) -> tuple[float, ...]:
    if not pieces:
        return (0.0,) * BINS
    step = np.concatenate([np.diff(piece.points) for piece in pieces])
    way = np.mod(np.round(np.angle(step.conj()) / np.pi * BINS).astype(np.int64), BINS)
    share = np.bincount(way, np.abs(step), BINS)
    return tuple((share / max(float(share.sum()), 1e-12)).tolist())


def _symmetry(ink: Bools) -> float:
    """max over axes c of sum_yx I(y, x) I(y, 2c - x) / sum I^2, I the ink blurred by 2 % of the picture's longer side."""
    soft = cv2.GaussianBlur(ink.astype(np.float32), (0, 0), 0.02 * SIDE)[::2, ::2]
    n = 2 * soft.shape[1]
    wave = np.fft.rfft(soft, n, axis=1)
    overlap = np.fft.irfft((wave * wave).sum(0), n)
    return float(min(1.0, overlap.max() / (soft * soft).sum()))
