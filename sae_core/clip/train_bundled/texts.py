"""What the bundled model reads while it learns: class templates, and phrases about primitives with their truth.

A phrase is true of an image to a degree that follows from the drawn world's counts, so that the text "curves" is pulled to
images in proportion to how many curves they show. That is what makes embeddings carry primitives and not only classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sae_core.clip.prompts import PHOTO, SKETCH, template_sets

NAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "lines": (("straight line", "line", "straight stroke"), ("straight lines", "lines", "straight strokes", "line segments")),
    "curves": (("curve", "curved line", "arc"), ("curves", "curved lines", "arcs", "curved strokes", "round shapes")),
    "corners": (("corner", "angle", "sharp angle"), ("corners", "angles", "sharp angles", "angular shapes")),
    "junctions": (("junction", "crossing", "intersection"), ("junctions", "crossings", "intersections", "crossing lines")),
    "loops": (("loop", "closed loop", "closed shape"), ("loops", "closed loops", "closed shapes", "closed curves")),
    "hatching": (("hatching",), ("hatching", "parallel lines", "repeated strokes", "parallel strokes", "stripes")),
    "dots": (("dot", "spot", "point"), ("dots", "spots", "points", "dotted marks")),
}
"""Singular and plural words for each primitive of the drawn world."""
FRAMES = (
    "{}",
    "{}",
    "a sketch with {}",
    "a drawing with {}",
    "a picture with {}",
    "a drawing made of {}",
    "a photo of something with {}",
    "a shape with {}",
)
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
RENDERING_PHRASES = {
    "sketch": ("a sketch", "a drawing", "a line drawing", "a black and white drawing", "ink on paper", "a doodle"),
    "photo": ("a photo", "a picture", "a photograph", "a color photo", "a blurry photo", "a low resolution photo"),
}
GENERAL = (
    "{}",
    "a {}",
    "the {}",
    "an image of a {}",
    "a picture of the {}",
    "this is a {}",
    "one {}",
    "a small {}",
    "a large {}",
)


@dataclass(frozen=True)
class Phrase:
    """A text and how to tell its truth: more of a primitive, a number of it, both of two, or a rendering."""

    text: str
    kind: Literal["amount", "number", "rendering"]
    columns: tuple[int, ...] = ()
    number: int = 0
    rendering: int = 0

    def weight(self, counts: NDArray[np.float32], renderings: NDArray[np.int64]) -> NDArray[np.float32]:
        """Degree of truth for each image, >= 0.

            amount:    min over the named primitives of log(1 + count)
            number:    exp(-2 |count - number|)
            rendering: 1 or 0

        Args:
            counts: [n, primitives].
            renderings: [n], the index of each image's rendering.
        """
        truth: NDArray[np.floating]
        if self.kind == "rendering":
            truth = np.equal(renderings, self.rendering).astype(np.float32)
        elif self.kind == "number":
            truth = np.exp(-2 * np.abs(counts[:, self.columns[0]] - self.number))
        else:
            truth = np.log1p(counts[:, list(self.columns)]).min(axis=1)
        return np.asarray(truth, dtype=np.float32)


def class_templates() -> tuple[str, ...]:
    """The templates class names are learned in: both renderings', general ones, and open_clip's 80."""
    imagenet = tuple(t.rstrip(".") for t in template_sets()["openai_imagenet"])
    # The short sets are what the app asks with, so they are met more often than the 80.
    return (*SKETCH, *PHOTO, *GENERAL, *SKETCH, *PHOTO, *imagenet)


def primitive_names(primitives: Sequence[str], rng: np.random.Generator) -> list[str]:
    """A text for each primitive, in a random wording: what pictures of that primitive alone are called."""
    frame = _pick(FRAMES, rng)
    return [frame.replace("{}", _pick((*NAMES[name][1], *NAMES[name][1][:1], *NAMES[name][0]), rng)) for name in primitives]


def phrases(n: int, primitives: Sequence[str], renderings: Sequence[str], rng: np.random.Generator) -> list[Phrase]:
    """`n` random phrases."""
    return [_phrase(primitives, renderings, rng) for _ in range(n)]


def _phrase(primitives: Sequence[str], renderings: Sequence[str], rng: np.random.Generator) -> Phrase:
    draw = rng.random()
    if draw < 0.1:
        which = int(rng.integers(len(renderings)))
        return Phrase(_pick(RENDERING_PHRASES[renderings[which]], rng), "rendering", rendering=which)
    column = int(rng.integers(len(primitives)))
    one, many = NAMES[primitives[column]]
    frame = _pick(FRAMES, rng)
    if draw < 0.35:
        number = int(rng.integers(len(NUMBERS)))
        noun = _pick(one if number == 1 else many, rng)
        return Phrase(frame.replace("{}", f"{NUMBERS[number]} {noun}"), "number", (column,), number)
    if draw < 0.5:
        other = int((column + rng.integers(1, len(primitives))) % len(primitives))
        both = f"{_pick(many, rng)} and {_pick(NAMES[primitives[other]][1], rng)}"
        return Phrase(frame.replace("{}", both), "amount", (column, other))
    noun = _pick((*many, *many, *one, *(f"many {word}" for word in many)), rng)
    article = ("an " if noun[0] in "aeiou" else "a ") if noun in one and rng.random() < 0.5 else ""
    return Phrase(frame.replace("{}", article + noun), "amount", (column,))


def vocabulary_words(class_names: Sequence[str], captions: Sequence[str]) -> set[str]:
    """Every word the model meets in training, lower case, for the small vocabulary."""
    nouns = [word for one, many in NAMES.values() for word in (*one, *many)]
    rendering = [text for texts in RENDERING_PHRASES.values() for text in texts]
    texts = [*class_templates(), *nouns, *FRAMES, *NUMBERS, *rendering, *class_names, *captions, "many", "and"]
    clean = (text.replace("{}", " ").lower() for text in texts)
    return {word for text in clean for word in "".join(c if c.isalpha() else " " for c in text).split()}


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
