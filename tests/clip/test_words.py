"""The shipped words, and which of them a CLIP can know."""

from __future__ import annotations

import pytest

from sae_core.clip import words
from sae_core.data.drawn import CLASSES
from sae_core.errors import InputError
from sae_core.interpret.vocabulary import MAX_WORD_CHARS


def test_the_shipped_words_cover_primitives_objects_and_every_drawn_class() -> None:
    shipped = words.builtin_words()
    assert len(shipped) == len(set(shipped)) >= 300
    assert set(CLASSES) <= set(shipped)
    assert not set(words.PRIMITIVES) & set(words.OBJECTS)
    for asked in ("lines", "curves", "corners", "spiral", "grid", "parallel lines", "hatching", "dots", "circle"):
        assert asked in words.PRIMITIVES
    assert all(word == word.strip() and 0 < len(word) <= MAX_WORD_CHARS for word in shipped)


def test_the_bundled_model_is_only_asked_for_words_it_has_read() -> None:
    everything = words.builtin_words()
    kept, note = words.read_by("bundled/v1", everything)
    assert set(kept) == set(words.drawn_words())
    assert {"house", "spiral", "straight lines", "hatching", "dots"} <= set(kept)
    assert f"{len(everything) - len(kept)} words" in note
    assert words.read_by("ViT-B-32/openai", everything) == (everything, "")
    assert words.read_by("bundled/v1", ["House", "harpsichord", "key"])[0] == ("House", "key")
    with pytest.raises(InputError, match="has read 1"):
        words.read_by("bundled/v1", ["house", "harpsichord"])


def test_imagenet_words_are_distinct() -> None:
    names = words.imagenet_words()
    assert len(names) == len(set(names)) > 990
    assert "tench" in names
