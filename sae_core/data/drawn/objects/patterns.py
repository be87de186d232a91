"""Bare shapes and patterns: what remains when an object is nothing but one primitive or a few."""

from __future__ import annotations

import numpy as np

from ..geometry import Pen, polar


def arrow(pen: Pen) -> None:
    """Block arrow."""
    shaft, head, neck = pen.u(0.16, 0.28), pen.u(0.45, 0.7), pen.u(-0.05, 0.3)
    pen.polyline(
        [
            -1 - 1j * shaft,
            neck - 1j * shaft,
            neck - 1j * head,
            1 + 0j,
            neck + 1j * head,
            neck + 1j * shaft,
            -1 + 1j * shaft,
        ]
    )


def spiral(pen: Pen) -> None:
    """One spiral curve of two to three and a half turns."""
    turns = pen.u(2.2, 3.4)
    angle = np.linspace(0.35, turns * 2 * np.pi, 81)
    pen.sampled((angle / angle[-1]) ** pen.u(0.85, 1.1) * np.exp(1j * (angle + pen.u(0, 6.28))))


def grid(pen: Pen) -> None:
    """Lines crossing at right angles, sticking out at the ends."""
    columns, rows = pen.integer(3, 5), pen.integer(3, 5)
    overhang = pen.u(0.12, 0.25)
    for i in range(columns):
        x = -0.75 + 1.5 * i / (columns - 1)
        pen.line(complex(x, -0.75 - overhang), complex(x, 0.75 + overhang))
    for i in range(rows):
        y = -0.75 + 1.5 * i / (rows - 1)
        pen.line(complex(-0.75 - overhang, y), complex(0.75 + overhang, y))


def zigzag(pen: Pen) -> None:
    """One polyline that turns back and forth."""
    n, height = pen.integer(4, 7), pen.u(0.3, 0.6)
    pen.polyline([complex(-1 + 2 * i / n, height * (1 if i % 2 else -1)) for i in range(n + 1)], False, False)


def wave(pen: Pen) -> None:
    """One to three wavy lines, one under the other."""
    n, periods, phase = pen.integer(1, 3), pen.u(1.6, 2.8), pen.u(0, 6.28)
    x = np.linspace(-1, 1, 61)
    swing = pen.u(0.3, 0.42) / periods if n > 1 else pen.u(0.5, 0.7) / periods
    for i in range(n):
        y = 0.5 * (i - (n - 1) / 2) + swing * np.sin(periods * np.pi * (x + 1) + phase)
        pen.sampled(x + 1j * y)


def target(pen: Pen) -> None:
    """Concentric circles, each ring its own colour."""
    rings = pen.integer(2, 4)
    inner = pen.u(0.18, 0.28) if rings > 2 else pen.u(0.3, 0.45)
    for i in range(rings):
        pen.ellipse(0j, 1 - (1 - inner) * i / (rings - 1), part=i % 2)
    if rings == 2 or pen.chance(0.4):
        pen.dot(0j, 0.1)


def dot_pattern(pen: Pen) -> None:
    """Dots in rows, every second row shifted or not."""
    columns, rows = pen.integer(3, 5), pen.integer(3, 5)
    shifted, radius = pen.chance(0.5), pen.u(0.12, 0.16)
    for j in range(rows):
        shift = (1 / (columns - 1) if j % 2 else 0) if shifted else 0.0
        for i in range(columns):
            pen.dot(complex(-0.9 + 1.8 * i / (columns - 1) + shift, -0.9 + 1.8 * j / (rows - 1)), radius, part=0)


def triangle(pen: Pen) -> None:
    """One triangle, of any proportion that is not a needle."""
    pen.polyline([complex(pen.u(-0.6, 0.6), -0.9), complex(1, pen.u(0.5, 0.9)), complex(-1, pen.u(0.5, 0.9))])


def cube(pen: Pen) -> None:
    """Box seen from above: a front face, a top and a side."""
    depth = polar(pen.u(0.55, 0.85), pen.u(-55, -30))
    a, b, c, d = -0.9 - 0.4j, 0.4 - 0.4j, 0.4 + 0.9j, -0.9 + 0.9j
    pen.polyline([a, b, c, d], part=0)
    pen.fill([a, a + depth, b + depth, b], part=1)
    pen.fill([b, b + depth, c + depth, c], part=2)
    pen.polyline([a, a + depth, b + depth, c + depth, c], closed=False, filled=False, part=1)
    pen.line(b, b + depth, part=1)
    if pen.chance(0.3):
        for i in range(1, 6):
            edge = b + (c - b) * i / 6
            pen.line(edge + depth * 0.22, edge + depth * 0.78, part=2, weight=0.7)
