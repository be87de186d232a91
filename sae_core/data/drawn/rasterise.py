"""From a scene to pixels: ink on white, or a coloured, lit, textured picture as small as CIFAR's.

Both draw without antialiasing on a canvas several times as large and average it down: that is faster than antialiased
drawing and gives finer steps of width.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from sae_core.errors import InputError

from .compose import generator
from .model import RENDERINGS, Scene, Stroke

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

DEFAULT_SIZE = {"sketch": 64, "photo": 32}
SMALLEST = {"sketch": 64, "photo": 16}
LARGEST = 1024

_SHIFT = 4  # fractional bits of the coordinates handed to OpenCV
_PARTS = 10
_DETAIL, _EDGE = 10, 20  # added to a part's number in the map of parts: lines on it, and its outline


def check(rendering: str, size: int | None) -> int:
    """Return the picture's size in pixels, the default one for None.

    Raises:
        InputError: an unknown rendering, or a size out of range.
    """
    if rendering not in RENDERINGS:
        raise InputError(f"rendering is {rendering!r}: choose one of {', '.join(RENDERINGS)}")
    if size is None:
        return DEFAULT_SIZE[rendering]
    if not isinstance(size, int | np.integer) or not SMALLEST[rendering] <= size <= LARGEST:
        raise InputError(f"size is {size!r}: a {rendering} can be {SMALLEST[rendering]} to {LARGEST} pixels wide")
    return int(size)


def render(
    scene: Scene, rendering: str = "sketch", size: int | None = None, seed: int | None = None, index: int | None = None
) -> Image:
    """Return the picture of a scene.

    Args:
        scene: what to draw.
        rendering: "sketch" (ink on white) or "photo" (coloured, lit, textured, on a background).
        size: width and height in pixels, by default 64 for a sketch and 32 for a photo.
        seed, index: where a photo's colours, light and background come from; by default the scene's own.

    Returns:
        uint8 [size, size] for a sketch, uint8 [size, size, 3] (RGB) for a photo.

    Raises:
        InputError: an unknown rendering, or a size, seed or index out of range.
    """
    pixels = check(rendering, size)
    if rendering == "sketch":
        return _sketch(scene, pixels)
    chance = generator(scene.seed if seed is None else seed, scene.index if index is None else index, 1)
    return _photo(scene, pixels, chance)


def _fixed(stroke: Stroke, canvas: int) -> npt.NDArray[np.int32]:
    """Return the points in OpenCV's fixed-point pixel coordinates, where the centre of the first pixel is 0."""
    return np.asarray(stroke.points * (canvas << _SHIFT) - (1 << _SHIFT) * 0.5 + 0.5).astype(np.int32)


def _factor(size: int) -> int:
    return 4 if size <= 96 else 3 if size <= 160 else 2


def _sketch(scene: Scene, size: int) -> Image:
    canvas = size * _factor(size)
    paper = np.full((canvas, canvas), 255, dtype=np.uint8)
    for stroke in scene.strokes:
        if stroke.width <= 0:
            continue
        points = _fixed(stroke, canvas)
        if stroke.kind == "dot":
            cv2.fillPoly(paper, [points], 0, cv2.LINE_8, _SHIFT)
        else:
            thickness = max(1, round(stroke.width * canvas))
            cv2.polylines(paper, [points], stroke.closed, 0, thickness, cv2.LINE_8, _SHIFT)
    return np.asarray(cv2.resize(paper, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8)


# ---- the photo-like picture ---------------------------------------------------------------------------------------

_BANK = 48
_CHROMA = np.eye(3) - 1 / 3  # takes the mean away: what is left is colour without lightness
_FIELD = 96


@lru_cache(maxsize=1)
def _fields() -> Floats:
    """Cloud-like fields [bank, 96, 96], mean 0, largest magnitude 1, periodic, of many degrees of roughness."""
    chance = np.random.Generator(np.random.Philox(key=21))
    frequency = np.hypot(np.fft.fftfreq(_FIELD)[:, None], np.fft.fftfreq(_FIELD)[None]) * _FIELD
    fields = np.empty((_BANK, _FIELD, _FIELD), dtype=np.float32)
    for i in range(_BANK):
        power = 0.8 + 1.6 * i / (_BANK - 1)
        spectrum = np.fft.fft2(chance.standard_normal((_FIELD, _FIELD)))
        spectrum *= np.where(frequency > 0, np.maximum(frequency, 1.0) ** -power, 0.0)
        field = np.fft.ifft2(spectrum).real
        fields[i] = field / np.abs(field).max()
    return fields


@lru_cache(maxsize=1)
def _grain() -> Floats:
    """White noise [512, 512, 3] of unit variance."""
    return np.random.Generator(np.random.Philox(key=22)).standard_normal((512, 512, 3), dtype=np.float32)


@lru_cache(maxsize=8)
def _ramp(size: int) -> Floats:
    return np.linspace(-1.0, 1.0, size, dtype=np.float32)


def _field(u: list[float], size: int) -> Floats:
    """Return a random window [size, size] of a random cloud field; uses up three random numbers."""
    field = _fields()[int(u.pop() * _BANK)]
    width = min(size, _FIELD // 2)
    y, x = int(u.pop() * (_FIELD - width)), int(u.pop() * (_FIELD - width))
    window = field[y : y + width, x : x + width]
    return window if width == size else np.asarray(cv2.resize(window, (size, size), interpolation=cv2.INTER_CUBIC))


def _rgb(grey: Floats) -> Floats:
    """Return a grey field [size, size] as three equal channels; plain products are far faster than broadcast ones."""
    return np.asarray(cv2.merge((grey, grey, grey)))


def _background(u: list[float], tone: float, colour: Floats, size: int) -> Floats:
    """Return a cluttered, blurred background [size, size, 3]: two colours, a gradient, clouds, blobs and lines."""
    other = colour + (np.array([u.pop(), u.pop(), u.pop()], dtype=np.float32) - 0.5) * 0.55
    mix = 0.5 + 0.35 * (_ramp(size) * (u.pop() - 0.5) + _ramp(size)[:, None] * (u.pop() - 0.5)) + 0.45 * _field(u, size)
    ground = np.ascontiguousarray(colour + (other - colour) * _rgb(mix))
    for _ in range(int(u.pop() * 6)):
        shade = (tone - 0.5) * 0.2
        paint = [float(c) + (u.pop() - 0.5) * 0.4 - shade for c in colour]
        centre = (int(u.pop() * size * 16), int(u.pop() * size * 16))
        if u.pop() < 0.6:
            axes = (int((0.05 + 0.25 * u.pop()) * size * 16), int((0.05 + 0.25 * u.pop()) * size * 16))
            cv2.ellipse(ground, centre, axes, u.pop() * 180, 0, 360, paint, -1, cv2.LINE_8, 4)
        else:
            end = (int(u.pop() * size * 16), int(u.pop() * size * 16))
            cv2.line(ground, centre, end, paint, max(1, round(size * (0.02 + 0.06 * u.pop()))), cv2.LINE_8, 4)
    reach = 2 * max(1, round(size * (0.03 + 0.05 * u.pop()))) + 1
    return np.asarray(cv2.blur(ground, (reach, reach)))


def _palette(u: list[float], random: npt.NDArray[np.float64], tone: float) -> npt.NDArray[np.uint32]:
    """Return RGBA, packed in 32 bits, by number in the map of parts: every part stands out from the background's tone.

    No colour depends on the class. Number 0 is the background and transparent.
    """
    lighter = u.pop() < 0.5 if 0.4 < tone < 0.6 else tone < 0.5
    low, high = (tone + 0.3, 1.0) if lighter else (0.0, tone - 0.3)
    # neighbours alternate between the near and the far half of the room that is left, so that they differ
    level = low + (high - low) * ((u.pop() + np.tile((0.0, 0.5), _PARTS // 2) + 0.25 * random[:, 3]) % 1.0)
    rgb = level[:, None] + random[:, :3] @ _CHROMA * 0.65
    dark = level[:, None] < 0.3
    table = np.zeros((_EDGE + _PARTS + 1, 4))
    table[1 : 1 + _PARTS, :3] = rgb
    table[1 + _DETAIL : 1 + _DETAIL + _PARTS, :3] = np.where(dark, rgb + 0.35, rgb * 0.5)
    table[1 + _EDGE : 1 + _EDGE + _PARTS, :3] = np.where(dark, rgb + 0.18, rgb * 0.72)
    table[1:, 3] = 1.0
    return np.asarray(np.clip(table * 255.0, 0, 255)).astype(np.uint8).view(np.uint32).ravel()


def _parts(scene: Scene, canvas: int, edges: bool) -> Image:
    """Return the map of parts [canvas, canvas]: 1 + part where a part's area or bar is, plus `_DETAIL` or `_EDGE`."""
    number = np.zeros((canvas, canvas), dtype=np.uint8)
    solid = {stroke.part for stroke in scene.strokes if stroke.filled}
    for stroke in scene.strokes:
        points = _fixed(stroke, canvas)
        part = 1 + stroke.part
        if stroke.filled:
            cv2.fillPoly(number, [points], part, cv2.LINE_8, _SHIFT)
            if edges and stroke.width > 0 and stroke.kind != "dot":
                width = max(1, round(stroke.width * canvas * 0.9))
                cv2.polylines(number, [points], stroke.closed, part + _EDGE, width, cv2.LINE_8, _SHIFT)
        elif stroke.part in solid:
            width = max(2, round(stroke.width * canvas * 1.3))
            cv2.polylines(number, [points], stroke.closed, part + _DETAIL, width, cv2.LINE_8, _SHIFT)
        else:
            width = max(3, round(stroke.width * canvas * 2.1))
            cv2.polylines(number, [points], stroke.closed, part, width, cv2.LINE_8, _SHIFT)
    return number


def _photo(scene: Scene, size: int, chance: np.random.Generator) -> Image:
    u: list[float] = chance.random(128).tolist()
    tone = 0.12 + 0.76 * u.pop()
    colour = (tone + np.array([u.pop(), u.pop(), u.pop()]) @ _CHROMA * 0.5).astype(np.float32)
    ground = _background(u, tone, colour, size)
    palette = _palette(u, chance.random((_PARTS, 4)), tone)
    number = _parts(scene, size * (3 if size <= 160 else 2), edges=u.pop() < 0.6)
    rgba = np.take(palette, number).view(np.uint8).reshape(*number.shape, 4)
    painted = cv2.resize(rgba, (size, size), interpolation=cv2.INTER_AREA)
    body = painted.astype(np.float32) * np.float32(1 / 255)
    alpha = body[..., 3]
    # light: a ramp across the frame, the roundness of a thing (dark towards its rim), a rough surface, a cast shadow
    reach = 2 * max(1, round(size * 0.12)) + 1
    round_off = cv2.blur(alpha, (reach, reach))
    ramp = _ramp(size) * ((u.pop() - 0.5) * 0.5) + _ramp(size)[:, None] * ((u.pop() - 0.5) * 0.5)
    light: Floats = 0.78 + 0.32 * round_off * u.pop() + ramp + (0.1 + 0.35 * u.pop()) * _field(u, size)
    shadow = np.zeros_like(alpha)
    dx, dy = round(size * 0.12 * (u.pop() - 0.5)), round(size * 0.1 * u.pop())
    shadow[dy:, max(dx, 0) : size + min(dx, 0)] = round_off[: size - dy, max(-dx, 0) : size + min(-dx, 0)]
    clear = (1.0 - alpha) * (1.0 - 0.45 * u.pop() * shadow)
    picture = ground * _rgb(clear) + cv2.cvtColor(body, cv2.COLOR_RGBA2RGB) * _rgb(light)
    if u.pop() < 0.7:
        sigma = size / 32 * (0.3 + 0.35 * u.pop())
        picture = cv2.GaussianBlur(picture, (0, 0) if size > 64 else (3, 3), sigma)
    y, x = int(u.pop() * 256), int(u.pop() * 256)
    noise = _grain() if size <= 256 else np.tile(_grain(), (3, 3, 1))
    grain = noise[y : y + size, x : x + size]
    picture = picture * (255.0 * (0.85 + 0.3 * u.pop())) + grain * (2.0 + 7.0 * u.pop())
    return np.asarray(np.clip(picture, 0, 255)).astype(np.uint8)
