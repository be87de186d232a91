"""Animals and the human face."""

from __future__ import annotations

import numpy as np

from ..geometry import Pen, bezier, polar


def fish(pen: Pen) -> None:
    """Lens-shaped body, tail, eye, sometimes gills and a fin."""
    fat, tail = pen.u(0.6, 0.95), pen.u(0.3, 0.5)
    nose, joint = -1 + 0j, 0.5 + 0j
    back = (nose, complex(-0.55, -fat), complex(0.1, -fat), joint)
    pen.polyline([joint, complex(1.0, -tail), complex(1.0 - pen.u(0, 0.15), 0), complex(1.0, tail)], part=1)
    pen.path(nose, back[1:], (complex(0.1, fat), complex(-0.55, fat), nose), closed=True, filled=True)
    pen.dot(-0.68 - 0.1j, 0.075, part=2)
    for i in range(pen.integer(0, 3)):
        x = -0.42 + 0.26 * i
        pen.path(complex(x, -0.25), (complex(x + 0.2, 0), complex(x, 0.25)), weight=0.8)
    if pen.chance(0.5):
        a, b = bezier(0.35, *back), bezier(0.72, *back)
        pen.path(a, (a + complex(0.15, -0.4), b + complex(0.0, -0.4)), b, filled=True, part=1)


def face(pen: Pen) -> None:
    """Round face with eyes, nose, mouth, sometimes hair and ears."""
    wide, mood = pen.u(0.75, 0.95), pen.u(-0.12, 0.3)
    pen.ellipse(0j, wide, 1.0)
    eye, y = pen.u(0.28, 0.36), -pen.u(0.18, 0.3)
    for side in (-1, 1):
        if pen.chance(0.6):
            pen.dot(complex(side * eye, y), 0.09, part=1)
        else:
            pen.arc(complex(side * eye, y + 0.06), 0.15, 190, 350, part=1)
    pen.path(
        complex(-0.4, 0.48 - mood / 3),
        (complex(0, 0.48 + mood * 1.4), complex(0.4, 0.48 - mood / 3)),
        part=2,
        weight=1.1,
    )
    if pen.chance(0.7):
        pen.line(0.0 - 0.1j, complex(pen.u(-0.1, 0.1), 0.2), weight=0.9)
    if pen.chance(0.4):
        for i in range(5):
            root = complex(wide * np.cos(np.radians(-130 + 20 * i)), np.sin(np.radians(-130 + 20 * i)))
            pen.line(root, root * 1.28, part=3)


def cat(pen: Pen) -> None:
    """Head with pointed ears, whiskers and a small nose."""
    ear, tilt = pen.u(1.0, 1.2), pen.u(-6, 6)
    left, right = polar(0.8, -150 + tilt), polar(0.8, -30 + tilt)
    left_in, right_in = polar(0.8, -112 + tilt), polar(0.8, -68 + tilt)
    pen.fill([polar(0.8, a) for a in range(0, 360, 20)], part=0)
    pen.path(
        right,
        polar(ear, -48 + tilt) * 1.1,
        right_in,
        (polar(0.83, -90 + tilt), left_in),
        polar(ear, -132 + tilt) * 1.1,
        left,
        (polar(1.15, 172), polar(1.22, 130), polar(0.8, 90)),
        (polar(1.22, 50), polar(1.15, 8), right),
        closed=True,
        filled=True,
    )
    for side in (-1, 1):
        pen.dot(complex(side * 0.32, -0.18), 0.1, part=1)
        for i in range(pen.integer(2, 3)):
            pen.line(complex(side * 0.3, 0.22 + 0.12 * i), complex(side * 1.1, 0.1 + 0.24 * i), weight=0.7)
    pen.polyline([-0.09 + 0.12j, 0.09 + 0.12j, 0.24j], part=3)
    pen.path(-0.2 + 0.5j, (-0.05 + 0.6j, 0.24j), (0.05 + 0.6j, 0.2 + 0.5j), weight=0.8, part=3)


def bird(pen: Pen) -> None:
    """Side view: round body, wing, beak, tail and legs."""
    plump, nape = pen.u(0.42, 0.55), complex(-0.72, -0.45)
    belly = (complex(0.4, plump * 0.3), complex(0.2, plump + 0.25), complex(-0.6, plump + 0.2), complex(-0.6, -0.1))
    throat = (belly[3], complex(-0.6, -0.2), complex(-0.72, -0.32), nape)
    head = (nape, complex(-0.72, -0.85), complex(-0.15, -0.85), complex(-0.15, -0.4))
    for t in (0.42, 0.68):
        hip = bezier(t, *belly)
        pen.path(hip, complex(hip.real, 1.0), complex(hip.real - 0.2, 1.0), part=1)
    pen.path(
        complex(0.95, -0.25),
        belly[0],
        belly[1:],
        throat[1:],
        head[1:],
        (complex(-0.1, -0.2), complex(0.5, -0.2), complex(0.95, -0.25)),
        closed=True,
        filled=True,
    )
    pen.path(bezier(0.15, *head), complex(-1.1, -0.42), bezier(0.75, *throat), filled=True, part=1)
    pen.dot(-0.46 - 0.52j, 0.075, part=2)
    droop = pen.u(-0.05, 0.08)
    pen.path(
        complex(-0.3, 0.0),
        (complex(-0.1, 0.38), complex(0.2, 0.2 + droop)),
        (complex(0.15, -0.05), complex(-0.3, 0.0)),
        closed=True,
        filled=True,
        part=3,
    )


def butterfly(pen: Pen) -> None:
    """Four wings, body, two feelers."""
    upper, lower = pen.u(0.85, 1.1), pen.u(0.6, 0.85)
    spots = pen.chance(0.6)
    for side in (-1, 1):
        pen.path(
            complex(side * 0.08, -0.1),
            (complex(side * 0.35, -1.2), complex(side * upper * 1.25, -1.0), complex(side * upper * 0.95, -0.2)),
            (complex(side * upper * 0.7, 0.08), complex(side * 0.3, 0.1), complex(side * 0.08, 0.1)),
            filled=True,
        )
        pen.path(
            complex(side * 0.08, 0.12),
            (complex(side * 0.6, 0.05), complex(side * lower * 1.2, 0.4), complex(side * lower * 0.75, 0.85)),
            (complex(side * lower * 0.4, 1.0), complex(side * 0.12, 0.6), complex(side * 0.08, 0.35)),
            filled=True,
            part=1,
        )
        if spots:
            pen.dot(complex(side * upper * 0.62, -0.45), 0.1, part=3)
        pen.path(complex(side * 0.03, -0.33), (complex(side * 0.08, -0.8), complex(side * 0.35, -0.95)), part=2, weight=0.8)
    pen.ellipse(0.1j, 0.09, 0.45, part=2)


def snail(pen: Pen) -> None:
    """Spiral shell on a flat body with two feelers."""
    turns, size = pen.u(1.6, 2.3), pen.u(0.55, 0.65)
    centre = complex(0.2, 0.65 - size)
    angle = np.linspace(0.6, turns * 2 * np.pi, 61)
    end_turn = np.pi / 2 - angle[-1]
    spiral = centre + size * (angle / angle[-1]) * np.exp(1j * (angle + end_turn))
    pen.fill([polar(size * 0.93, a, centre) for a in range(0, 360, 24)], part=0)
    pen.path(
        complex(0.2, 0.65),
        complex(1.05, 0.85),
        complex(-0.75, 0.85),
        (complex(-1.15, 0.85), complex(-1.1, 0.0), complex(-0.8, 0.0)),
        (complex(-0.55, 0.05), complex(-0.75, 0.6), complex(-0.35, 0.63)),
        complex(0.2, 0.65),
        closed=True,
        filled=True,
        part=1,
    )
    pen.sampled(spiral, part=0)
    pen.line(-0.87 + 0.02j, complex(-1.0 - pen.u(0, 0.15), -0.42), part=1)
    pen.line(-0.75 + 0.02j, complex(-0.62 + pen.u(-0.1, 0.1), -0.42), part=1)


def spider(pen: Pen) -> None:
    """Round body, head, eight bent legs."""
    body, knee = pen.u(0.34, 0.42), pen.u(12, 20)
    for side in (-1, 1):
        for i in range(4):
            angle = -38 + 31 * i
            root = polar(body, angle)
            bend = root + polar(0.45, angle - knee if i < 2 else angle + knee)
            tip = bend + polar(0.4, angle + 45 if i < 2 else angle + 5)
            pen.polyline([complex(side * z.real, z.imag) for z in (root, bend, tip)], False, False, part=1)
    pen.ellipse(0j, body)
    left, right = polar(body, -120), polar(body, -60)
    pen.path(left, (left - 0.05 - 0.38j, right + 0.05 - 0.38j, right), filled=True)
