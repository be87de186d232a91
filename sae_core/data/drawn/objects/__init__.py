"""The object classes: what each is called, who draws it and how freely it may be turned.

The order of `OBJECTS` is the order of the labels; changing it changes every data set, so new classes go to the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..geometry import Pen
from . import animals, built, household, nature, patterns, things


@dataclass(frozen=True, slots=True)
class ObjectClass:
    """A class of drawings.

    Attributes:
        name: a singular noun.
        draw: draws one with a pen.
        tilt: the largest rotation to either side, degrees.
        ink: how thick the pen is, relative to the other classes; what has many close strokes needs a fine one.
    """

    name: str
    draw: Callable[[Pen], None]
    tilt: float = 15.0
    ink: float = 1.0


OBJECTS: tuple[ObjectClass, ...] = (
    ObjectClass("house", built.house, 8),
    ObjectClass("tree", nature.tree, 10),
    ObjectClass("pine", nature.pine, 10),
    ObjectClass("fish", animals.fish, 25),
    ObjectClass("sun", nature.sun, 180),
    ObjectClass("star", nature.star, 36),
    ObjectClass("flower", nature.flower, 15, 0.85),
    ObjectClass("car", built.car, 10),
    ObjectClass("sailboat", built.sailboat, 12),
    ObjectClass("ladder", built.ladder, 30, 0.9),
    ObjectClass("fence", built.fence, 8, 0.75),
    ObjectClass("window", built.window, 10),
    ObjectClass("cup", household.cup, 12),
    ObjectClass("key", things.key, 60),
    ObjectClass("umbrella", things.umbrella, 25, 0.85),
    ObjectClass("kite", things.kite, 30, 0.85),
    ObjectClass("clock", household.clock, 15),
    ObjectClass("face", animals.face, 15),
    ObjectClass("cat", animals.cat, 12, 0.9),
    ObjectClass("bird", animals.bird, 15),
    ObjectClass("butterfly", animals.butterfly, 30),
    ObjectClass("snail", animals.snail, 12),
    ObjectClass("mushroom", nature.mushroom, 15),
    ObjectClass("leaf", nature.leaf, 60),
    ObjectClass("chair", built.chair, 8),
    ObjectClass("table", built.table, 8),
    ObjectClass("lamp", household.lamp, 10),
    ObjectClass("bottle", household.bottle, 25),
    ObjectClass("guitar", things.guitar, 45),
    ObjectClass("comb", things.comb, 40, 0.75),
    ObjectClass("bicycle", built.bicycle, 10, 0.9),
    ObjectClass("arrow", patterns.arrow, 180),
    ObjectClass("envelope", things.envelope, 15),
    ObjectClass("book", things.book, 12, 0.85),
    ObjectClass("spiral", patterns.spiral, 180),
    ObjectClass("grid", patterns.grid, 20, 0.9),
    ObjectClass("zigzag", patterns.zigzag, 40),
    ObjectClass("wave", patterns.wave, 40),
    ObjectClass("target", patterns.target, 180),
    ObjectClass("dot pattern", patterns.dot_pattern, 40),
    ObjectClass("triangle", patterns.triangle, 180),
    ObjectClass("cube", patterns.cube, 10),
    ObjectClass("moon", nature.moon, 40),
    ObjectClass("heart", nature.heart, 20),
    ObjectClass("glasses", things.glasses, 15),
    ObjectClass("anchor", things.anchor, 20),
    ObjectClass("hourglass", household.hourglass, 15, 0.9),
    ObjectClass("spider web", nature.spider_web, 180, 0.65),
    ObjectClass("cactus", nature.cactus, 10),
    ObjectClass("spider", animals.spider, 30),
    ObjectClass("tent", built.tent, 8),
    ObjectClass("rocket", built.rocket, 35),
    ObjectClass("wheel", built.wheel, 180, 0.8),
    ObjectClass("ice cream", household.icecream, 20, 0.75),
)
