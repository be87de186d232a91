"""The drawn world: parametric objects made of primitives, each as an ink sketch and as a photo-like picture, with the
truth kept.

    >>> item = scene(seed=0, index=5)
    >>> item.name, item.counts["loops"]
    ('star', 1)
    >>> render(item, "sketch").shape, render(item, "photo").shape
    ((64, 64), (32, 32, 3))
"""

from __future__ import annotations

from .batch import Drawn, draw
from .compose import CLASSES, scene
from .model import PRIMITIVES, RENDERINGS, VERSION, Scene, Stroke
from .planted import primitive
from .rasterise import render

__all__ = [
    "CLASSES",
    "PRIMITIVES",
    "RENDERINGS",
    "VERSION",
    "Drawn",
    "Scene",
    "Stroke",
    "draw",
    "primitive",
    "render",
    "scene",
]
