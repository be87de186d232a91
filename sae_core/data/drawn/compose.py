"""From a class to a scene: draw the object, pose it in the frame, count its primitives, let the hand tremble."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from sae_core.errors import InputError

from . import truth
from .geometry import Pen, Points, Trace
from .model import Scene, Stroke
from .objects import OBJECTS

CLASSES: tuple[str, ...] = tuple(kind.name for kind in OBJECTS)

_MARGIN = 0.045
_TREMOR_LENGTH = 4096
_UINT64 = 2**64


def generator(seed: int, index: int, stream: int) -> np.random.Generator:
    """Return the random numbers of one item: a counter-based generator whose key is (seed, index).

    Args:
        seed, index: 0 <= both < 2^64.
        stream: which of the item's independent streams (0 geometry, 1 photo-like picture, 2 caption).

    Raises:
        InputError: seed or index is negative, too large or no integer.
    """
    for name, value in (("seed", seed), ("index", index)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not 0 <= value < _UINT64:
            raise InputError(f"{name} is {value!r}: drawings need an integer from 0 to 2^64 - 1")
    key = np.array([seed, index], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(counter=np.array([0, 0, 0, stream], dtype=np.uint64), key=key))


def scene(seed: int, index: int, label: int | None = None) -> Scene:
    """Return drawing number `index` of the endless series `seed`; it depends on nothing else.

    Args:
        seed: the series.
        index: the item.
        label: the class; by default the classes take turns, `index % len(CLASSES)`.

    Raises:
        InputError: a seed or an index out of range, or a label that is no class.
    """
    chance = generator(seed, index, 0)
    if label is None:
        label = int(index) % len(OBJECTS)
    elif not isinstance(label, int | np.integer) or not 0 <= label < len(OBJECTS):
        raise InputError(f"label is {label!r}: the drawn world has the labels 0 to {len(OBJECTS) - 1}")
    kind = OBJECTS[label]
    pen = Pen(chance)
    kind.draw(pen)
    strokes, counts = place(pen, kind.tilt, kind.ink)
    return Scene(int(label), kind.name, strokes, counts, int(seed), int(index))


def place(pen: Pen, tilt: float, ink: float = 1.0) -> tuple[tuple[Stroke, ...], dict[str, int]]:
    """Turn what the pen drew into strokes in the frame, and count its primitives.

    The counts are those of the drawing before wobble: wobble is one smooth displacement of the whole plane, so it moves
    strokes that meet together, and the trembling on top of it is finer than the ink.

    Args:
        pen: the drawing in object coordinates.
        tilt: largest rotation to either side, degrees.
        ink: thickness of the pen relative to the usual one.
    """
    u = pen.u
    z = np.concatenate([piece.points for trace in pen.traces for piece in trace.pieces])
    stretch = math.exp(u(-0.16, 0.16))
    mirror = -1.0 if pen.chance(0.5) else 1.0
    turn = cmath.rect(1.0, math.radians(u(-tilt, tilt)))
    x, y = z.real, z.imag
    z = (x * (mirror * stretch) + y * complex(u(-0.1, 0.1), 1.0 / stretch)) * turn
    x, y = z.real, z.imag
    left, right, top, bottom = float(x.min()), float(x.max()), float(y.min()), float(y.max())
    scale = u(0.76, 1.0) * (1.0 - 2 * _MARGIN) / max(right - left, bottom - top)
    spare_x = 1.0 - 2 * _MARGIN - (right - left) * scale
    spare_y = 1.0 - 2 * _MARGIN - (bottom - top) * scale
    corner = complex(_MARGIN + spare_x * u(0.15, 0.85), _MARGIN + spare_y * u(0.15, 0.85))
    z = z * scale + (corner - complex(left, top) * scale)
    counts = truth.count(pen.traces, z)
    return _strokes(pen.traces, _wobble(z, pen), ink * u(0.016, 0.034), pen), counts


def _wobble(z: Points, pen: Pen) -> Points:
    """Displace the plane smoothly by three plane waves, and let the hand tremble by a tenth of the ink or so."""
    u = pen.u
    strength = u(0.2, 1.0)
    phase = np.empty((3, len(z)))
    amplitude = np.empty(3, dtype=np.complex128)
    for k in range(3):
        wave = cmath.rect(2 * math.pi / u(0.45, 1.2), u(0.0, 2 * math.pi))
        phase[k] = z.real * wave.real + z.imag * wave.imag + u(0.0, 2 * math.pi)
        amplitude[k] = cmath.rect(0.011 * strength, u(0.0, 2 * math.pi))
    start = int(u() * (_TREMOR_LENGTH - len(z)))
    tremor = _tremor()[start : start + len(z)]
    moved = z + amplitude @ np.sin(phase, out=phase) + (0.0035 * u(0.1, 1.0)) * tremor
    return np.asarray(moved)


@lru_cache(maxsize=1)
def _tremor() -> Points:
    """Smooth complex noise of unit variance: the trembling of a hand, the same bank for every drawing."""
    noise = np.random.Generator(np.random.Philox(key=20)).standard_normal((2, _TREMOR_LENGTH))
    spectrum = np.fft.fft(noise[0] + 1j * noise[1]) * np.exp(-0.5 * np.square(np.fft.fftfreq(_TREMOR_LENGTH) * 9))
    smooth = np.fft.ifft(spectrum)
    return np.asarray(smooth / smooth.std())


def _strokes(traces: Sequence[Trace], z: Points, ink: float, pen: Pen) -> tuple[Stroke, ...]:
    xy = z.view(np.float64).reshape(-1, 2).astype(np.float32)
    np.clip(xy, 0.0, 1.0, out=xy)
    xy.flags.writeable = False
    strokes = []
    offset = 0
    for trace in traces:
        stop = offset + sum([len(piece.points) for piece in trace.pieces])
        width = ink * trace.weight * pen.u(0.85, 1.15)
        strokes.append(Stroke(xy[offset:stop], width, trace.kind, trace.closed, trace.part, trace.filled))
        offset = stop
    return tuple(strokes)
