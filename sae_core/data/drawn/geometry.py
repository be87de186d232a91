"""The pen: draws straight lines, arcs and free curves as complex-valued points, x + iy with y pointing down.

Objects are drawn in their own coordinates, roughly the square [-1, 1]^2; `compose` places them in the frame. A stroke
is a chain of pieces, and a piece is either straight or one smooth curve: that division is what the ground truth counts.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.complex128]
Step = complex | tuple[complex, complex] | tuple[complex, complex, complex]

LINE_POINTS = 7  # a straight piece keeps inner points so that wobble can bend it
_DRAWS = 192  # uniform numbers fetched at once: one numpy call serves a whole object

_LINE_T = np.linspace(0.0, 1.0, LINE_POINTS)


@dataclass(frozen=True, slots=True)
class Piece:
    """One straight line or one smooth curve of a stroke, `points` complex [n] from its start to its end."""

    straight: bool
    points: Points


@dataclass(frozen=True, slots=True)
class Trace:
    """A stroke in object coordinates: pieces end to end, with how it is to be inked (see `Stroke` for the fields)."""

    pieces: tuple[Piece, ...]
    kind: str
    closed: bool = False
    filled: bool = False
    part: int = 0
    weight: float = 1.0


@lru_cache(maxsize=64)
def _bernstein(degree: int, n: int) -> npt.NDArray[np.float64]:
    """Bernstein basis [n, degree + 1] on n even parameters."""
    t = np.linspace(0.0, 1.0, n)[:, None]
    k = np.arange(degree + 1)
    binomial = np.array([math.comb(degree, int(i)) for i in k], dtype=np.float64)
    return np.asarray(binomial * t**k * (1.0 - t) ** (degree - k))


@lru_cache(maxsize=64)
def _catmull_rom(n_knots: int, closed: bool, per_span: int) -> npt.NDArray[np.float64]:
    """Weights [n, n_knots] that turn knots into a uniform Catmull-Rom spline passing through every knot."""
    spans = n_knots if closed else n_knots - 1
    rows = [(span, step / per_span) for span in range(spans) for step in range(per_span)]
    rows.append((spans - 1, 1.0))
    weights = np.zeros((len(rows), n_knots))
    for row, (span, t) in enumerate(rows):
        basis = (
            0.5 * (-t + 2 * t * t - t**3),
            0.5 * (2 - 5 * t * t + 3 * t**3),
            0.5 * (t + 4 * t * t - 3 * t**3),
            0.5 * (-t * t + t**3),
        )
        for offset, weight in zip((-1, 0, 1, 2), basis, strict=True):
            knot = span + offset
            if closed:
                weights[row, knot % n_knots] += weight
            elif 0 <= knot < n_knots:
                weights[row, knot] += weight
            else:  # reflect past the ends, so that the end tangent is the chord of the end span
                edge, inner = (0, 1) if knot < 0 else (n_knots - 1, n_knots - 2)
                weights[row, edge] += 2 * weight
                weights[row, inner] -= weight
    return weights


@lru_cache(maxsize=64)
def _unit(n: int) -> npt.NDArray[np.float64]:
    return np.linspace(0.0, 1.0, n)


def _arc_samples(radius: float, sweep: float) -> int:
    """Odd number of points for an arc: chords stay shorter than the ink is wide."""
    n = int(abs(sweep) / (2 * math.pi) * (14 + 26 * min(radius, 1.0))) + 5
    return n | 1


def polar(radius: float, degrees: float, centre: complex = 0j) -> complex:
    """Return `centre + radius * exp(i * degrees)`; 0 degrees points right, 90 degrees points down."""
    return centre + cmath.rect(radius, math.radians(degrees))


def bezier(t: float, *control: complex) -> complex:
    """Return the point at parameter t of a Bezier curve, so that another stroke can start exactly on it."""
    points = list(control)
    while len(points) > 1:
        points = [a + (b - a) * t for a, b in pairwise(points)]
    return points[0]


class Pen:
    """Collects strokes while an object is drawn, and hands out the random numbers that vary it."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._numbers: list[float] = generator.random(_DRAWS).tolist()
        self._next = 0
        self.traces: list[Trace] = []

    # ---- chance ------------------------------------------------------------------------------------------------

    def u(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a uniform number in [low, high)."""
        if self._next == len(self._numbers):
            self._numbers = self._generator.random(_DRAWS).tolist()
            self._next = 0
        number = self._numbers[self._next]
        self._next += 1
        return low + (high - low) * number

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.u() < probability

    def integer(self, low: int, high: int) -> int:
        """Return an integer in [low, high], both ends included."""
        return low + int(self.u() * (high - low + 1))

    # ---- strokes -----------------------------------------------------------------------------------------------

    def line(self, start: complex, end: complex, part: int = 0, weight: float = 1.0) -> None:
        """Draw one straight line."""
        self.traces.append(Trace((_line(start, end),), "line", part=part, weight=weight))

    def polyline(
        self,
        corners: Sequence[complex],
        closed: bool = True,
        filled: bool = True,
        part: int = 0,
        weight: float = 1.0,
    ) -> None:
        """Draw straight lines through `corners`; `filled` without `closed` fills as if closed, less one line."""
        ends = [*corners[1:], corners[0]] if closed else corners[1:]
        pieces = tuple(_line(a, b) for a, b in zip(corners, ends, strict=False))
        self.traces.append(Trace(pieces, "polyline", closed, filled, part, weight))

    def ellipse(
        self,
        centre: complex,
        rx: float,
        ry: float | None = None,
        tilt: float = 0.0,
        filled: bool = True,
        part: int = 0,
        weight: float = 1.0,
    ) -> None:
        """Draw a closed ellipse (a circle without `ry`), `tilt` in degrees."""
        # It starts where the curvature is least, so that the seam between the last and the first chord turns least.
        start = 90.0 if ry is None or rx >= ry else 0.0
        piece = _arc(centre, rx, rx if ry is None else ry, start, start + 360.0, tilt)
        self.traces.append(Trace((piece,), "arc", True, filled, part, weight))

    def arc(
        self,
        centre: complex,
        rx: float,
        start: float,
        end: float,
        ry: float | None = None,
        tilt: float = 0.0,
        filled: bool = False,
        part: int = 0,
        weight: float = 1.0,
    ) -> None:
        """Draw an open elliptic arc from `start` to `end` degrees (clockwise on screen when end > start)."""
        piece = _arc(centre, rx, rx if ry is None else ry, start, end, tilt)
        self.traces.append(Trace((piece,), "arc", False, filled, part, weight))

    def curve(
        self,
        knots: Sequence[complex],
        closed: bool = False,
        filled: bool = False,
        part: int = 0,
        weight: float = 1.0,
    ) -> None:
        """Draw one smooth free curve through every knot (Catmull-Rom)."""
        weights = _catmull_rom(len(knots), closed, 6 if len(knots) < 8 else 4)
        points = np.asarray(weights @ np.array(knots, dtype=np.complex128), dtype=np.complex128)
        self.traces.append(Trace((Piece(False, points),), "curve", closed, filled, part, weight))

    def sampled(self, points: Points, part: int = 0, weight: float = 1.0) -> None:
        """Draw one open smooth curve given by its points, complex [n], such as a spiral or a wave."""
        self.traces.append(Trace((Piece(False, points),), "curve", False, False, part, weight))

    def path(
        self,
        start: complex,
        *steps: Step,
        closed: bool = False,
        filled: bool = False,
        part: int = 0,
        weight: float = 1.0,
    ) -> None:
        """Draw a chain of pieces from `start`.

        A step is an end point (a straight line), (control, end) (a quadratic Bezier curve) or (control, control, end)
        (a cubic one). A closed path must come back to `start` by itself.
        """
        here = start
        pieces = []
        for step in steps:
            if isinstance(step, tuple):
                control = np.array((here, *step), dtype=np.complex128)
                pieces.append(Piece(False, np.asarray(_bernstein(len(step), 13) @ control)))
                here = step[-1]
            else:
                pieces.append(_line(here, step))
                here = step
        assert not closed or abs(here - start) < 1e-9, "a closed path must end where it starts"
        straight = all(piece.straight for piece in pieces)
        kind = ("line" if len(pieces) == 1 else "polyline") if straight else "curve"
        self.traces.append(Trace(tuple(pieces), kind, closed, filled, part, weight))

    def fill(self, corners: Sequence[complex], part: int) -> None:
        """Colour a polygon without any ink: it shows in the photo-like picture only, and counts as nothing."""
        pieces = tuple(_line(a, b) for a, b in zip(corners, [*corners[1:], corners[0]], strict=True))
        self.traces.append(Trace(pieces, "polyline", True, True, part, 0.0))

    def dot(self, centre: complex, radius: float = 0.06, part: int = 9) -> None:
        """Draw a filled dot."""
        self.traces.append(Trace((_arc(centre, radius, radius, 0.0, 360.0, 0.0, 9),), "dot", True, True, part))


def _line(start: complex, end: complex) -> Piece:
    return Piece(True, np.asarray(start + (end - start) * _LINE_T, dtype=np.complex128))


def _arc(centre: complex, rx: float, ry: float, start: float, end: float, tilt: float, n: int | None = None) -> Piece:
    first, last = math.radians(start), math.radians(end)
    angle = first + (last - first) * _unit(n or _arc_samples(max(rx, ry), last - first))
    if rx == ry:
        points = centre + rx * np.exp(1j * angle)
    else:
        turned = cmath.rect(1.0, math.radians(tilt))
        points = centre + (rx * turned) * np.cos(angle) + (1j * ry * turned) * np.sin(angle)
    return Piece(False, np.asarray(points, dtype=np.complex128))
