"""Many drawings at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sae_core.errors import InputError

from .compose import scene
from .model import PRIMITIVES, Scene
from .rasterise import check, render


@dataclass(frozen=True)
class Drawn:
    """A batch of drawings in one rendering.

    Attributes:
        images: uint8 [n, size, size] for sketches, [n, size, size, 3] for photos.
        labels: int64 [n], indices into `CLASSES`.
        counts: int32 [n, 7], in the order of `PRIMITIVES`.
        captions: n sentences.
        scenes: n scenes, or none when they were not to be kept.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int32]
    captions: list[str]
    scenes: list[Scene]


def draw(
    n: int, seed: int, rendering: str = "sketch", start: int = 0, size: int | None = None, keep_scenes: bool = True
) -> Drawn:
    """Return the items `start` to `start + n` of the series `seed`; any partition gives the same bytes.

    Args:
        n: how many, at least 1.
        seed: the series.
        rendering: "sketch" or "photo".
        start: the first item.
        size: width and height in pixels, by default 64 for a sketch and 32 for a photo.
        keep_scenes: whether the scenes are kept, some 10 kB each.

    Raises:
        InputError: an unknown rendering, or a number out of range.
    """
    if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
        raise InputError(f"n is {n!r}: ask for at least one drawing")
    pixels = check(rendering, size)
    images = np.empty((n, pixels, pixels) if rendering == "sketch" else (n, pixels, pixels, 3), dtype=np.uint8)
    labels = np.empty(n, dtype=np.int64)
    counts = np.empty((n, len(PRIMITIVES)), dtype=np.int32)
    captions: list[str] = []
    scenes: list[Scene] = []
    for i in range(n):
        item = scene(seed, start + i)
        images[i] = render(item, rendering, pixels)
        labels[i] = item.label
        counts[i] = [item.counts[name] for name in PRIMITIVES]
        captions.append(item.caption(rendering))
        if keep_scenes:
            scenes.append(item)
    return Drawn(images, labels, counts, captions, scenes)
