"""Scenes that hold one kind of primitive and nothing else, to check what a latent really fires on."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sae_core.errors import InputError

from .compose import generator, place
from .geometry import Pen, polar
from .model import Scene


def _line(pen: Pen) -> None:
    pen.line(polar(1, 0), polar(1, 180))


def _curve(pen: Pen) -> None:
    if pen.chance(0.5):
        pen.arc(0j, 1.0, 0, pen.u(100, 250))
    else:
        pen.curve([complex(-1, pen.u(-0.3, 0.3)), complex(-0.35, -pen.u(0.2, 0.6)), complex(0.35, pen.u(0.2, 0.6)), 1 + 0j])


def _corner(pen: Pen) -> None:
    pen.polyline([polar(pen.u(0.7, 1.2), 0), 0j, polar(pen.u(0.7, 1.2), pen.u(40, 130))], closed=False, filled=False)


def _junction(pen: Pen) -> None:
    shape = pen.integer(0, 2)
    if shape == 0:  # X
        angle = pen.u(50, 130)
        pen.line(-1 + 0j, 1 + 0j)
        pen.line(polar(pen.u(0.6, 1), angle), polar(pen.u(0.6, 1), angle + 180))
    elif shape == 1:  # T
        pen.line(-1 + 0j, 1 + 0j)
        foot = complex(pen.u(-0.35, 0.35), 0)
        pen.line(foot, foot + polar(pen.u(0.7, 1.2), pen.u(55, 125)))
    else:  # Y
        for i in range(3):
            pen.line(0j, polar(pen.u(0.7, 1), 120 * i + pen.u(-20, 20)))


def _loop(pen: Pen) -> None:
    if pen.chance(0.4):
        pen.ellipse(0j, 1.0, pen.u(0.6, 1.0))
    else:
        pen.curve([polar(pen.u(0.75, 1.1), 60 * i) for i in range(6)], closed=True)


def _hatching(pen: Pen) -> None:
    n, slant = pen.integer(5, 9), pen.u(-0.3, 0.3)
    for i in range(n):
        x = -0.7 + 1.4 * i / (n - 1)
        pen.line(complex(x - slant, -0.8 + pen.u(-0.08, 0.08)), complex(x + slant, 0.8 + pen.u(-0.08, 0.08)))


def _dots(pen: Pen) -> None:
    places: list[complex] = []
    wanted = pen.integer(3, 9)
    while len(places) < wanted:
        spot = complex(pen.u(-1, 1), pen.u(-1, 1))
        if all(abs(spot - other) > 0.42 for other in places):
            places.append(spot)
    for spot in places:
        pen.dot(spot, pen.u(0.08, 0.14), part=0)


def _spiral(pen: Pen) -> None:
    angle = np.linspace(0.35, pen.u(2.2, 3.4) * 2 * math.pi, 81)
    pen.sampled(angle / angle[-1] * np.exp(1j * angle))


def _wave(pen: Pen) -> None:
    x = np.linspace(-1, 1, 61)
    pen.sampled(x + 1j * pen.u(0.2, 0.4) * np.sin(pen.u(1.5, 3) * math.pi * (x + 1)))


def _zigzag(pen: Pen) -> None:
    n, height = pen.integer(3, 6), pen.u(0.3, 0.6)
    pen.polyline([complex(-1 + 2 * i / n, height * (1 if i % 2 else -1)) for i in range(n + 1)], False, False)


_DRAW: dict[str, Callable[[Pen], None]] = {
    "line": _line,
    "curve": _curve,
    "corner": _corner,
    "junction": _junction,
    "loop": _loop,
    "hatching": _hatching,
    "dots": _dots,
    "spiral": _spiral,
    "wave": _wave,
    "zigzag": _zigzag,
}
_PLURALS = {"lines": "line", "curves": "curve", "corners": "corner", "junctions": "junction", "loops": "loop"}


def primitive(kind: str, seed: int, index: int) -> Scene:
    """Return a scene that shows one primitive only, at a random place, size and angle; its label is -1.

    Args:
        kind: one of `PRIMITIVES`, its singular, or "spiral", "wave" or "zigzag".
        seed, index: what it depends on, and nothing else.

    Raises:
        InputError: an unknown kind, or a seed or an index out of range.
    """
    name = _PLURALS.get(kind, kind)
    if name not in _DRAW:
        raise InputError(f"primitive is {kind!r}: choose one of {', '.join(_DRAW)}")
    pen = Pen(generator(seed, index, 3 + list(_DRAW).index(name)))
    _DRAW[name](pen)
    strokes, counts = place(pen, 180.0)
    return Scene(-1, name, strokes, counts, int(seed), int(index))
