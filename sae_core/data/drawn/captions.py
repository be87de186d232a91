"""Sentences that name the class of a drawing and some of its primitives."""

from __future__ import annotations

import numpy as np

from sae_core.errors import InputError

from .compose import generator
from .model import RENDERINGS, Scene

_MEDIA = {
    "sketch": (
        "a sketch of {}",
        "a drawing of {}",
        "a pencil sketch of {}",
        "a line drawing of {}",
        "an ink sketch of {}",
    ),
    "photo": ("a photo of {}", "a photograph of {}", "a picture of {}", "a blurry photo of {}", "a close-up of {}"),
}
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_PLANTED = {"line": "a straight line", "loop": "a closed loop", "hatching": "hatching", "dots": "dots"}
_WORDS = {
    "lines": ("straight line", "straight lines"),
    "curves": ("curve", "curves"),
    "corners": ("corner", "corners"),
    "junctions": ("junction", "junctions"),
    "loops": ("closed loop", "closed loops"),
    "hatching": ("parallel line", "parallel lines"),
    "dots": ("dot", "dots"),
}


def article(noun: str) -> str:
    """Return the noun with its indefinite article; "hourglass" has a silent h.

    >>> article("hourglass"), article("house")
    ('an hourglass', 'a house')
    """
    return f"{'an' if noun[0] in 'aeio' or noun.startswith(('umb', 'hour')) else 'a'} {noun}"


def in_words(name: str, n: int) -> str:
    """Return a count in words.

    >>> in_words("curves", 3), in_words("loops", 1), in_words("lines", 40)
    ('three curves', 'one closed loop', 'many straight lines')
    """
    number = _NUMBERS[n] if n < len(_NUMBERS) else "many"
    return f"{number} {_WORDS[name][0 if n == 1 else 1]}"


def caption(scene: Scene, rendering: str, chance: np.random.Generator | None = None) -> str:
    """Return a sentence naming the class and up to three of the primitives that the drawing has.

    Args:
        scene: what is drawn.
        rendering: "sketch" or "photo"; it decides how the sentence begins.
        chance: where the phrasing comes from; by default the scene's own seed and index, so that it never changes.

    Raises:
        InputError: an unknown rendering.
    """
    if rendering not in RENDERINGS:
        raise InputError(f"rendering is {rendering!r}: choose one of {', '.join(RENDERINGS)}")
    chance = chance or generator(scene.seed, scene.index, 2)
    u: list[float] = chance.random(16).tolist()
    media = _MEDIA[rendering]
    start = media[0] if u.pop() < 0.5 else media[int(u.pop() * len(media))]
    subject = start.format(_PLANTED.get(scene.name) or article(scene.name))
    if scene.label < 0:
        return subject
    present = [name for name, n in scene.counts.items() if n > 0]
    wanted = min(len(present), int(u.pop() * 4))
    if not wanted:
        return subject
    # the more there is of a primitive, the likelier it is named
    ranked = sorted(present, key=lambda name: u.pop() ** (1.0 / (1.0 + min(scene.counts[name], 12))), reverse=True)
    chosen = sorted(ranked[:wanted], key=list(_WORDS).index)
    phrases = []
    for name in chosen:
        if u.pop() < 0.3:
            phrases.append(in_words(name, scene.counts[name]))
        elif name == "hatching":
            phrases.append("hatching" if u.pop() < 0.5 else "parallel lines")
        else:
            phrases.append(("a " if scene.counts[name] == 1 else "") + _WORDS[name][0 if scene.counts[name] == 1 else 1])
    listing = phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
    joint = (" with ", " made of ", ", showing ")[min(int(u.pop() * 4), 2)] if rendering == "sketch" else " with "
    return subject + joint + listing
