"""Stroke measures of shapes whose numbers are known."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sae_core.data.strokes import Strokes, measure
from sae_core.data.strokes.hatching import hatched
from sae_core.data.strokes.measures import NOTHING
from sae_core.errors import InputError

SIZE = 256
Shape = list[tuple[complex, ...]]


def draw(shape: Shape, size: int = SIZE, width: float = 0.02, dots: tuple[complex, ...] = ()) -> np.ndarray:
    """Ink on white: polylines and dots in the unit square, x + iy, y down, antialiased."""
    canvas = np.full((4 * size, 4 * size), 255, dtype=np.uint8)
    for stroke in shape:
        points = np.array([(z.real, z.imag) for z in stroke]) * 4 * size
        cv2.polylines(canvas, [np.rint(points).astype(np.int32)], False, 0, max(1, round(width * 4 * size)))
    for z in dots:
        cv2.circle(canvas, (round(z.real * 4 * size), round(z.imag * 4 * size)), round(0.03 * 4 * size), 0, -1)
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)


def circle(centre: complex, radius: float) -> tuple[complex, ...]:
    return tuple(centre + radius * np.exp(1j * t) for t in np.linspace(0, 2 * math.pi, 181))


LINE: Shape = [(0.1 + 0.5j, 0.9 + 0.5j)]
SQUARE: Shape = [(0.2 + 0.2j, 0.8 + 0.2j, 0.8 + 0.8j, 0.2 + 0.8j, 0.2 + 0.2j)]
CROSS: Shape = [(0.1 + 0.5j, 0.9 + 0.5j), (0.5 + 0.1j, 0.5 + 0.9j)]
TEE: Shape = [(0.1 + 0.2j, 0.9 + 0.2j), (0.5 + 0.2j, 0.5 + 0.9j)]
HATCHING: Shape = [(0.2 + 0.1j * k, 0.8 + 0.1j * k) for k in range(2, 9)]
SPIRAL: Shape = [tuple(0.5 + 0.5j + 0.06 * (t / 2) * np.exp(1j * t) for t in np.linspace(1.5, 5 * math.pi, 300))]


def counts(found: Strokes) -> dict[str, int]:
    return {name: value for name, value in asdict(found).items() if isinstance(value, int) and value}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (LINE, {"lines": 1, "endpoints": 2}),
        (SQUARE, {"lines": 4, "corners": 4, "loops": 1}),
        (CROSS, {"lines": 2, "endpoints": 4, "x_junctions": 1}),
        (TEE, {"lines": 2, "endpoints": 3, "t_junctions": 1}),
        ([circle(0.5 + 0.5j, 0.35)], {"curves": 1, "loops": 1}),
        ([circle(0.27 + 0.5j, 0.2), circle(0.73 + 0.5j, 0.2)], {"curves": 2, "loops": 2}),
        (HATCHING, {"lines": 7, "endpoints": 14, "hatching": 7}),
        (SPIRAL, {"curves": 1, "endpoints": 2}),
    ],
    ids=["line", "square", "cross", "tee", "circle", "two circles", "hatching", "spiral"],
)
def test_counts_of_known_shapes(shape: Shape, expected: dict[str, int]) -> None:
    assert counts(measure(draw(shape))) == expected


def test_a_line_has_no_curvature_and_a_circle_has_two_over_its_size() -> None:
    assert measure(draw(LINE)).curvature < 0.1
    for radius in (0.15, 0.25, 0.4):
        assert measure(draw([circle(0.5 + 0.5j, radius)])).curvature == pytest.approx(2.0, rel=0.05)


def test_shares() -> None:
    square, ring = measure(draw(SQUARE)), measure(draw([circle(0.5 + 0.5j, 0.35)]))
    assert square.straight_share > 0.97
    assert ring.straight_share == 0.0
    assert measure(draw(HATCHING)).hatching_share > 0.97
    assert square.hatching_share == 0.0


def test_dots_are_no_lines_and_no_loops() -> None:
    assert counts(measure(draw([], dots=(0.2 + 0.3j, 0.5 + 0.6j, 0.8 + 0.2j)))) == {"dots": 3}
    assert counts(measure(draw(LINE, dots=(0.3 + 0.2j,)))) == {"lines": 1, "endpoints": 2, "dots": 1}


def test_orientation_is_counter_clockwise_from_horizontal() -> None:
    def main_direction(end: complex) -> int:
        return int(np.argmax(measure(draw([(0.5 + 0.5j - end, 0.5 + 0.5j + end)])).orientation))

    assert main_direction(0.4) == 0
    assert main_direction(0.3 - 0.3j) == 2  # y points down: this line rises to the right
    assert main_direction(0.4j) == 4
    assert main_direction(0.3 + 0.3j) == 6
    assert measure(draw(CROSS)).orientation == pytest.approx((0.5, 0, 0, 0, 0.5, 0, 0, 0), abs=0.02)


def test_stroke_width_is_in_units_of_the_drawing() -> None:
    thin, thick = (measure(draw([circle(0.5 + 0.5j, 0.35)], width=width)) for width in (0.012, 0.06))
    assert thin.stroke_width == pytest.approx(0.012 / 0.712, rel=0.35)
    assert thick.stroke_width == pytest.approx(0.06 / 0.76, rel=0.1)
    assert thick.ink_density == pytest.approx(2 * math.pi * 0.35 * 0.06, rel=0.05)
    uneven = np.minimum(draw([(0.1 + 0.3j, 0.9 + 0.3j)], width=0.015), draw([(0.1 + 0.7j, 0.9 + 0.7j)], width=0.06))
    assert measure(uneven).stroke_width_variation > 0.4 > 0.15 > measure(draw(LINE, width=0.04)).stroke_width_variation


def test_symmetry() -> None:
    assert measure(draw(TEE)).symmetry > 0.97
    assert measure(draw([(0.2 + 0.1j, 0.2 + 0.9j, 0.8 + 0.9j)])).symmetry < 0.8


@pytest.mark.parametrize("value", [0, 90, 128, 255])
def test_an_even_picture_is_all_zeros(value: int) -> None:
    for rendering in ("sketch", "photo"):
        assert measure(np.full((64, 48), value, dtype=np.uint8), rendering) == NOTHING


def test_extreme_sizes() -> None:
    for shape in ((1, 1), (1, 300), (300, 1), (2, 3)):
        picture = np.full(shape, 255, dtype=np.uint8)
        picture[0, 0] = 0
        assert all(np.isfinite(value) for value in measure(picture).row().values())
    assert counts(measure(draw(CROSS, size=2000, width=0.004))) == counts(measure(draw(CROSS)))
    assert counts(measure(draw(SQUARE, size=32, width=0.04))) == counts(measure(draw(SQUARE)))


def test_paper_may_be_dark_or_transparent() -> None:
    ink = draw(SQUARE)
    expected = measure(ink)
    assert measure(255 - ink) == expected
    for light in (0, 255):  # ink of that lightness on a transparent ground, whatever colour hides under it
        layers = np.full((*ink.shape, 4), light, dtype=np.uint8)
        layers[..., 3] = 255 - ink
        assert counts(measure(Image.fromarray(layers))) == counts(expected)
    assert counts(measure(Image.fromarray(ink).convert("RGB"))) == counts(expected)
    assert counts(measure(ink / 255.0)) == counts(expected)


def test_faint_ink_is_ink() -> None:
    ink = draw(CROSS)
    assert counts(measure((235 + ink // 16).astype(np.uint8))) == counts(measure(ink))


def test_a_photo_is_measured_by_its_edges() -> None:
    photo = np.full((120, 120), 200, dtype=np.uint8)
    photo[30:90, 30:90] = 60
    found = measure(photo, "photo")
    assert (found.loops, found.lines, found.corners) == (1, 4, 4)


@pytest.mark.parametrize(
    ("image", "rendering", "message"),
    [
        (np.zeros((4, 4)), "etching", "choose sketch or photo"),
        (np.zeros((4, 4, 2)), "sketch", "give \\[h, w\\]"),
        (np.zeros((0, 4)), "sketch", "is no picture"),
        (np.full((4, 4), np.nan), "sketch", "finite values from 0 to 1"),
        (np.full((4, 4), 300.0), "sketch", "finite values from 0 to 1"),
        (np.zeros((4, 4), dtype=np.int64), "sketch", "int64 is not read"),
    ],
)
def test_what_is_no_picture_is_refused(image: np.ndarray, rendering: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure(image, rendering)


# ---- invariances --------------------------------------------------------------------------------------------------

SHAPES = {"square": SQUARE, "cross": CROSS, "tee": TEE, "circle": [circle(0.5 + 0.5j, 0.35)], "hatching": HATCHING}


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(SHAPES)),
    scale=st.floats(0.55, 1.0),
    x=st.floats(0.0, 1.0),
    y=st.floats(0.0, 1.0),
    size=st.integers(96, 400),
)
def test_neither_place_nor_scale_nor_resolution_matter(name: str, scale: float, x: float, y: float, size: int) -> None:
    corner = complex(x, y) * (1.0 - scale)
    moved = [tuple(z * scale + corner for z in stroke) for stroke in SHAPES[name]]
    found, expected = measure(draw(moved, size, width=0.02)), measure(draw(SHAPES[name]))
    assert counts(found) == counts(expected)
    assert found.straight_share == pytest.approx(expected.straight_share, abs=0.05)
    assert found.curvature == pytest.approx(expected.curvature, abs=0.25)
    assert found.orientation == pytest.approx(expected.orientation, abs=0.1)


@settings(max_examples=15, deadline=None)
@given(name=st.sampled_from(sorted(SHAPES)), turns=st.integers(1, 3), angle=st.floats(-0.15, 0.15))
def test_a_quarter_turn_only_turns_the_directions(name: str, turns: int, angle: float) -> None:
    middle = 0.5 + 0.5j
    tilted = [tuple((z - middle) * 0.8 * np.exp(1j * angle) + middle for z in stroke) for stroke in SHAPES[name]]
    before, after = measure(draw(tilted)), measure(np.rot90(draw(tilted), turns).copy())
    assert counts(after) == counts(before)
    assert after.orientation == pytest.approx(np.roll(before.orientation, 4 * turns), abs=0.06)
    assert after.curvature == pytest.approx(before.curvature, abs=0.2)


# ---- hatching -----------------------------------------------------------------------------------------------------


def test_hatching_wants_three_parallel_even_close_lines() -> None:
    def run(*rows: float, length: float = 0.5) -> list[bool]:
        at = 1j * np.array(rows)
        return hatched(at, at + length).tolist()

    assert run(0.0, 0.1, 0.2) == [True] * 3
    assert run(0.0, 0.1) == [False] * 2
    assert run(0.0, 0.1, 0.35) == [False] * 3  # uneven
    assert run(0.0, 0.25, 0.5) == [False] * 3  # too far apart
    assert run(0.0, 0.1, 0.2, length=0.05) == [False] * 3  # farther apart than they are long
    assert run(0.0, 0.1, 0.2, 0.6) == [True] * 3 + [False]
    crossed = np.array([0.1j, 0.2j, 0.3j]), np.array([0.5 + 0.1j, 0.5 + 0.4j, 0.5 + 0.3j])
    assert hatched(*crossed).tolist() == [False] * 3  # the middle one is slanted
    assert hatched(np.zeros(0, complex), np.zeros(0, complex)).tolist() == []


# ---- real drawings ------------------------------------------------------------------------------------------------


def test_real_drawings_and_photos_have_finite_measures(shared_data: Path) -> None:
    patents = sorted((shared_data / "design-patents-2007" / "images").glob("*.png"))[::125]
    sketches = sorted((shared_data / "pacs-subset" / "sketch").glob("*/*"))[::40]
    photos = sorted((shared_data / "pacs-subset" / "photo").glob("*/*"))[::60]
    for rendering, files in (("sketch", patents + sketches), ("photo", photos)):
        for file in files:
            with Image.open(file) as picture:
                row = measure(picture, rendering).row()
            assert all(np.isfinite(value) and value >= 0 for value in row.values()), file
            assert row["lines"] + row["curves"] > 0, file
            assert sum(row[f"orientation_{i}"] for i in range(8)) == pytest.approx(1.0), file
