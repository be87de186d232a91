"""Latents by a text: how much each latent's decoder direction points at what the text adds to ordinary words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sae_core.clip.prompts import TextTower, class_directions
from sae_core.clip.words import builtin_words, drawn_words
from sae_core.errors import InputError
from sae_core.evaluate.metrics import unit
from sae_core.sae.architectures import SAE

MAX_TEXT = 200
"""Characters of a search; CLIP itself reads 77 tokens."""
LITTLE = ("a", "an", "the", "of", "and", "with", "in", "on")
"""Words of the captions that the bundled model read, beside those for things."""


def text_likeness(
    sae: SAE, text: str, tower: TextTower, templates: str | Sequence[str], ordinary: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """How much each latent points at a text: cos(decoder row, t - o), with t the text's direction and o that of ordinary words.

    What all texts share (the modality gap, "a drawing of") is in o, and says nothing about a latent.

    Args:
        sae: the dictionary.
        text: a word or a few, such as "parallel lines".
        tower: the text tower of the CLIP whose embeddings the dictionary was trained on.
        templates: template strings with `{}` for the text, or a set's name.
        ordinary: float32 [d], see `ordinary_words`; made here (a second or so) where None.

    Returns: float32 [m] in [-1, 1]; 0 for a decoder row of length 0.

    Raises:
        InputError: no text, a text above 200 characters, a bad template, or a tower of another width.
    """
    said = " ".join(text.split())
    if not 0 < len(said) <= MAX_TEXT:
        raise InputError(f"a search text of {len(said)} characters: give 1 to {MAX_TEXT}, such as parallel lines")
    base = ordinary_words(tower, templates) if ordinary is None else ordinary
    direction = class_directions(tower, [said], templates)[0] - base
    if direction.shape != (sae.d,):
        raise InputError(f"texts are {len(direction)} wide, the dictionary {sae.d}; search with the CLIP it was trained on")
    rows = np.asarray(sae.decoder_raw.detach().cpu().numpy(), dtype=np.float32)
    return np.asarray(rows @ unit(direction[None])[0] / np.maximum(np.linalg.norm(rows, axis=1), 1e-12), dtype=np.float32)


def ordinary_words(tower: TextTower, templates: str | Sequence[str]) -> NDArray[np.float32]:
    """The mean direction of the shipped words through the same templates, float32 [d]; made once for a tower, then handed on."""
    return np.asarray(class_directions(tower, builtin_words(), templates).mean(axis=0, dtype=np.float64), dtype=np.float32)


def unread_words(encoder_id: str, text: str) -> tuple[str, ...]:
    """The words of a text that the bundled demo model never read: their directions are arbitrary. () for any other CLIP."""
    if not encoder_id.startswith("bundled/"):
        return ()
    known = {*LITTLE, *(word for phrase in drawn_words() for word in _words(phrase))}
    return tuple(dict.fromkeys(word for word in _words(text) if word not in known))


def _words(text: str) -> list[str]:
    return text.lower().replace("-", " ").split()
