"""From any picture to its ink: which pixels of a fixed working size were drawn on.

A drawing may be dark on light or light on dark, have a transparent ground, be a thumbnail or a scan of a whole page. A photo has
no ink, so its edges stand for it.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from sae_core.data.images import to_rgb
from sae_core.errors import InputError

SIDE = 256
"""Longer side at which everything is measured, pixels: a pen of 1.5 % of the picture is 3 pixels wide."""
LEAST_CONTRAST = 10.0
"""Grey levels (of 255) between paper and ink below which a picture counts as empty."""
FAINTEST = 0.2
"""A stroke is seen when it has at least this share of the picture's whole contrast."""
SOFTEN = 0.7
"""Pixels of blur after making a picture smaller."""
WINDOW = 15
"""Side of the square, pixels, in which ink is told from paper halfway between the two."""
SPECK = 8
"""Ink, and holes in ink, of fewer pixels than this are noise."""

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


def ink_of(image: Image.Image | npt.NDArray[Any], rendering: str = "sketch") -> Bools:
    """Where the ink is, bool [h, w] with max(h, w) = `SIDE`; all False when the picture shows nothing.

    Args:
        image: a PIL image of any mode, or an array [h, w], [h, w, 3] or [h, w, 4]: uint8 0..255, floats 0..1, or bool.
        rendering: "sketch", or "photo" to take the picture's edges (Canny) as its ink.

    Raises: InputError on an unknown rendering, or an array that is no picture.
    """
    if rendering not in ("sketch", "photo"):
        raise InputError(f"rendering is {rendering!r}: choose sketch or photo")
    grey = _resized(_grey(image))
    return _edges(grey) if rendering == "photo" else _drawn(grey)


def _grey(image: Image.Image | npt.NDArray[Any]) -> Floats:
    """Lightness 0..255, float32 [h, w]; transparent ground becomes paper that the ink stands out from."""
    picture = image if isinstance(image, Image.Image) else _from_array(image)
    if not picture.has_transparency_data:
        return np.asarray(to_rgb(picture).convert("L"), dtype=np.float32)
    layer = np.asarray(picture.convert("RGBA"), dtype=np.float32)
    light = layer[..., :3] @ np.array((0.299, 0.587, 0.114), dtype=np.float32)
    alpha = layer[..., 3] / 255.0
    seen = float((light * alpha).sum() / max(float(alpha.sum()), 1e-6))
    return np.asarray(light * alpha + (255.0 if seen < 128.0 else 0.0) * (1.0 - alpha), dtype=np.float32)


def _from_array(values: npt.NDArray[Any]) -> Image.Image:
    array = np.asarray(values)
    good = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not good or 0 in array.shape:
        raise InputError(f"an array of shape {array.shape} is no picture; give [h, w], [h, w, 3] or [h, w, 4]")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0.0 or array.max() > 1.0:
            raise InputError("a picture of floats must hold finite values from 0 to 1; divide by its largest value")
        array = np.rint(array * 255.0).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise InputError(f"a picture of {array.dtype} is not read; give uint8 0..255 or floats 0..1")
    return Image.fromarray(array)


def _resized(grey: Floats) -> Floats:
    height, width = grey.shape
    factor = SIDE / max(height, width)
    if factor == 1.0:
        return grey
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if factor > 1.0:
        return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC))
    # a line of one pixel fades where it falls between two pixels of the smaller picture: blurred, it is as dark everywhere
    return np.asarray(cv2.GaussianBlur(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), (0, 0), SOFTEN))


def _drawn(grey: Floats) -> Bools:
    """Ink told from paper halfway between the darkest and the lightest nearby, which finds a stroke's full width at half
    maximum whether it is bold, faint or blurred; where nothing nearby differs, by Otsu's threshold for the whole picture.
    """
    from skimage.filters import threshold_otsu

    low, high = float(grey.min()), float(grey.max())
    if high - low < LEAST_CONTRAST:
        return np.zeros(grey.shape, dtype=np.bool_)
    middle = float(threshold_otsu(grey))
    paper_is_light = bool((grey > middle).mean() >= 0.5)
    dark = high - grey if paper_is_light else grey - low
    middle = high - middle if paper_is_light else middle - low
    box = np.ones((WINDOW, WINDOW), dtype=np.uint8)
    most, least = cv2.dilate(dark, box), cv2.erode(dark, box)
    contrast = most - least
    varied = contrast > FAINTEST * (high - low)
    ink = np.where(varied, dark > least + 0.5 * contrast, dark > middle)
    thin = varied & (dark > least + 0.25 * contrast) & (_ridge(dark) > 0.15 * contrast)
    return _cleaned(ink | thin)


def _ridge(dark: Floats) -> Floats:
    """How far a pixel rises above what lies two pixels to either side of it, in the best of four directions.

    A line of one pixel fades where resizing puts it between two pixels; it is still a ridge there, as no blurred rim is.
    """
    far = np.pad(dark, 2, mode="edge")
    height, width = dark.shape

    def at(dy: int, dx: int) -> Floats:
        return far[2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width]

    beside = [np.maximum(at(dy, dx), at(-dy, -dx)) for dy, dx in ((0, 2), (2, 0), (2, 2), (2, -2))]
    return np.asarray(dark - np.minimum.reduce(beside))


def _edges(grey: Floats) -> Bools:
    """Canny edges; a gradient is strong when it is in the picture's top tenth and at least a fifth of its largest."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.4)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    steepness = np.abs(across) + np.abs(down)
    strong = max(float(np.quantile(steepness, 0.9)), 0.2 * float(steepness.max()))
    if strong < LEAST_CONTRAST:
        return np.zeros(grey.shape, dtype=np.bool_)
    edges = cv2.Canny(across.astype(np.int16), down.astype(np.int16), 0.4 * strong, strong)
    return _cleaned(edges > 0, speck=2 * SPECK)


def _cleaned(ink: Bools, speck: int = SPECK) -> Bools:
    """Without specks of ink and pinholes in it."""
    out = ink.copy()
    for value, connectivity in ((True, 8), (False, 4)):
        mask = (out == value).astype(np.uint8)
        _, label, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=connectivity)
        small = stats[:, cv2.CC_STAT_AREA] < (speck if value else SPECK)
        small[0] = False
        out[small[label]] = not value
    return out
