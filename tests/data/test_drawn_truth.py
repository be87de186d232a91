"""The ground truth: counts of drawings whose counts are known by hand, and of pictures measured independently."""

import dataclasses
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sae_core.data import drawn
from sae_core.data.drawn import CLASSES, PRIMITIVES, Scene, truth
from sae_core.data.drawn.geometry import Pen, bezier, polar

N = len(CLASSES)


def counts(draw, scale: float = 0.4, turn: float = 0.0) -> dict[str, int]:
    """Counts of what `draw` draws with a pen, scaled into the frame and turned."""
    pen = Pen(np.random.default_rng(0))
    draw(pen)
    points = np.concatenate([piece.points for trace in pen.traces for piece in trace.pieces])
    return truth.count(pen.traces, points * scale * np.exp(1j * turn) + (0.5 + 0.5j))


def expect(**numbers: int) -> dict[str, int]:
    return dict.fromkeys(PRIMITIVES, 0) | numbers


def square(pen: Pen) -> None:
    pen.polyline([-1 - 1j, 1 - 1j, 1 + 1j, -1 + 1j])


def square_of_four_strokes(pen: Pen) -> None:
    for i in range(4):
        pen.line(polar(1, 90 * i), polar(1, 90 * i + 90))


def square_with_diagonals(pen: Pen) -> None:
    square(pen)
    pen.line(-1 - 1j, 1 + 1j)
    pen.line(1 - 1j, -1 + 1j)


def cross(pen: Pen) -> None:
    pen.line(-1, 1)
    pen.line(-1j, 1j)


def tee(pen: Pen) -> None:
    pen.line(-1, 1)
    pen.line(0, 1j)


def why(pen: Pen) -> None:
    for i in range(3):
        pen.line(0, polar(1, 120 * i))


def asterisk(pen: Pen) -> None:
    for i in range(3):
        pen.line(polar(1, 60 * i), polar(-1, 60 * i))


def circle(pen: Pen) -> None:
    pen.ellipse(0, 1)


def needle(pen: Pen) -> None:
    pen.ellipse(0, 1, 0.2)


def two_rings(pen: Pen) -> None:
    pen.ellipse(-0.5, 0.7)
    pen.ellipse(0.5, 0.7)


def apart(pen: Pen) -> None:
    pen.ellipse(-0.5, 0.3)
    pen.ellipse(0.5, 0.3)


def half_moon(pen: Pen) -> None:
    pen.arc(0, 1, 0, 180)
    pen.line(-1, 1)


def smooth_chain(pen: Pen) -> None:
    pen.path(-1, (-1 + 1j, 1j), (1 + 1j, 1), closed=False)


def cusp(pen: Pen) -> None:
    pen.path(-1, (-0.5 + 1j, 0), (0.5 + 1j, 1), closed=False)


def figure_eight(pen: Pen) -> None:
    t = np.linspace(0.6, 2 * np.pi + 0.4, 81)  # through the origin at pi and 2 pi; one lobe is left open
    pen.sampled(np.sin(t) + 0.5j * np.sin(2 * t))


def ladder(pen: Pen) -> None:
    pen.line(-0.5 - 1j, -0.5 + 1j)
    pen.line(0.5 - 1j, 0.5 + 1j)
    for i in range(5):
        y = -0.6 + 0.3 * i
        pen.line(complex(-0.5, y), complex(0.5, y))


def comb(pen: Pen) -> None:
    pen.line(-1, 1)
    for i in range(7):
        x = -0.9 + 0.3 * i
        pen.line(x, complex(x, 0.8))


def uneven(pen: Pen) -> None:
    for x in (-1, -0.6, 0.6):
        pen.line(complex(x, -1), complex(x, 1))


def face(pen: Pen) -> None:
    pen.ellipse(0, 1)
    pen.dot(-0.4 - 0.3j)
    pen.dot(0.4 - 0.3j)
    pen.path(-0.4 + 0.4j, (0.7j, 0.4 + 0.4j))
    pen.fill([-1, 1, 1j], part=3)


KNOWN = [
    (square, expect(lines=4, corners=4, loops=1)),
    (square_of_four_strokes, expect(lines=4, corners=4, loops=1)),
    (square_with_diagonals, expect(lines=6, junctions=5, loops=4)),
    (cross, expect(lines=2, junctions=1)),
    (tee, expect(lines=2, junctions=1)),
    (why, expect(lines=3, junctions=1)),
    (asterisk, expect(lines=3, junctions=1)),
    (circle, expect(curves=1, loops=1)),
    (needle, expect(curves=1, loops=1)),
    (two_rings, expect(curves=2, junctions=2, loops=3)),
    (apart, expect(curves=2, loops=2)),
    (half_moon, expect(lines=1, curves=1, corners=2, loops=1)),
    (smooth_chain, expect(curves=1)),
    (cusp, expect(curves=2, corners=1)),
    (figure_eight, expect(curves=1, junctions=1, loops=1)),
    (ladder, expect(lines=7, junctions=10, loops=4, hatching=5)),
    (comb, expect(lines=8, junctions=7, hatching=7)),
    (uneven, expect(lines=3)),
    (face, expect(curves=2, loops=1, dots=2)),
]


@pytest.mark.parametrize(("draw", "expected"), KNOWN, ids=[draw.__name__ for draw, _ in KNOWN])
@pytest.mark.parametrize("turn", [0.0, 0.4, 2.0])
def test_counts_known_by_hand(draw, expected: dict[str, int], turn: float) -> None:
    assert counts(draw, turn=turn) == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 12), st.floats(0, 6.28))
def test_a_polygon_has_as_many_corners_as_lines(n: int, turn: float) -> None:
    """Regular polygons turn by 360/n degrees at each vertex: corners up to n = 10, where that is 36 degrees."""
    found = counts(lambda pen: pen.polyline([polar(1, 360 * i / n) for i in range(n)]), turn=turn)
    assert found["lines"] == n
    assert found["corners"] == (n if 360 / n > truth.CORNER_DEGREES else 0)
    assert (found["loops"], found["junctions"], found["curves"]) == (1, 0, 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5))
def test_a_grid_obeys_euler(columns: int, rows: int) -> None:
    def draw(pen: Pen) -> None:
        for i in range(columns):
            pen.line(complex(i / 5 - 0.5, -0.6), complex(i / 5 - 0.5, 0.6))
        for j in range(rows):
            pen.line(complex(-0.6, j / 5 - 0.5), complex(0.6, j / 5 - 0.5))

    found = counts(draw, scale=0.7)
    assert found["lines"] == columns + rows
    assert found["junctions"] == columns * rows
    assert found["loops"] == (columns - 1) * (rows - 1)
    assert found["hatching"] == columns * (columns >= 3) + rows * (rows >= 3)


def test_a_bezier_point_lies_on_the_curve_that_is_drawn() -> None:
    control = (0j, 1 - 1j, 2 + 1j, 3 + 0j)
    t = 0.3
    expected = sum(math.comb(3, k) * t**k * (1 - t) ** (3 - k) * c for k, c in enumerate(control))
    assert bezier(t, *control) == pytest.approx(expected)


def thin(scene: Scene) -> Scene:
    """The scene in ink so thin that only strokes that meet in the geometry meet in the picture."""
    strokes = tuple(dataclasses.replace(s, width=0.006 if s.width > 0 else 0.0) for s in scene.strokes)
    return dataclasses.replace(scene, strokes=strokes)


def white_areas(picture: np.ndarray) -> int:
    """Areas of paper closed in by ink, specks apart; measured on the picture alone."""
    paper = (picture > 127).astype(np.uint8)
    _, _, table, _ = cv2.connectedComponentsWithStats(paper, connectivity=4)
    return int((table[1:, cv2.CC_STAT_AREA] > 2e-4 * picture.size).sum()) - 1


def test_loops_are_the_white_areas_of_the_picture() -> None:
    scenes = [drawn.scene(21, i) for i in range(6 * N)]
    measured = np.array([white_areas(drawn.render(thin(s), "sketch", 448)) for s in scenes])
    true = np.array([s.counts["loops"] for s in scenes])
    assert (measured == true).mean() > 0.96
    for label in range(N):
        assert np.abs((measured - true)[label::N]).mean() <= 0.5, CLASSES[label]


def test_counts_follow_what_a_picture_of_64_pixels_shows() -> None:
    scenes = [drawn.scene(22, i) for i in range(6 * N)]
    shown = [white_areas(drawn.render(s, "sketch", 64)) for s in scenes]
    assert stats.spearmanr(shown, [s.counts["loops"] for s in scenes]).statistic > 0.9


def test_dots_are_the_blobs_of_a_dot_pattern() -> None:
    label = CLASSES.index("dot pattern")
    for index in range(20):
        scene = drawn.scene(23, index, label)
        blobs = cv2.connectedComponents((drawn.render(scene, "sketch", 256) < 128).astype(np.uint8))[0] - 1
        assert blobs == scene.counts["dots"] == sum(s.kind == "dot" for s in scene.strokes)


PLANTED = {
    "line": ({"lines"}, {"lines": {1}}),
    "curve": ({"curves"}, {"curves": {1}}),
    "corner": ({"lines", "corners"}, {"lines": {2}, "corners": {1}}),
    "junction": ({"lines", "junctions"}, {"lines": {2, 3}, "junctions": {1}}),
    "loop": ({"curves", "loops"}, {"curves": {1}, "loops": {1}}),
    "hatching": ({"lines", "hatching"}, {"hatching": {5, 6, 7, 8, 9}}),
    "dots": ({"dots"}, {"dots": set(range(3, 10))}),
    "spiral": ({"curves"}, {"curves": {1}}),
    "wave": ({"curves"}, {"curves": {1}}),
    "zigzag": ({"lines", "corners", "hatching"}, {"corners": {2, 3, 4, 5}}),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_primitive_stands_alone(kind: str) -> None:
    allowed, exact = PLANTED[kind]
    for index in range(60):
        scene = drawn.primitive(kind, 1, index)
        assert (scene.label, scene.name) == (-1, kind)
        assert {name for name, n in scene.counts.items() if n} <= allowed
        for name, values in exact.items():
            assert scene.counts[name] in values
    a, b = drawn.primitive(kind, 1, 0), drawn.primitive(kind, 1, 1)
    assert not np.array_equal(drawn.render(a, "sketch"), drawn.render(b, "sketch"))
    assert drawn.render(a, "photo").shape == (32, 32, 3)
    assert np.array_equal(drawn.render(a, "sketch"), drawn.render(drawn.primitive(kind, 1, 0), "sketch"))


@pytest.mark.parametrize("name", PRIMITIVES)
def test_every_primitive_can_be_planted_by_its_own_name(name: str) -> None:
    assert drawn.primitive(name, 0, 0).counts[name] > 0
