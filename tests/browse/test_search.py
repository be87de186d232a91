"""Latents by a text: a latent made of a word's direction is found by the word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sae_core.browse.search import MAX_TEXT, ordinary_words, text_likeness, unread_words
from sae_core.clip.prompts import class_directions
from sae_core.clip.words import builtin_words
from sae_core.config import TopK
from sae_core.errors import InputError
from sae_core.sae.architectures import SAE

D = 24
WORDS = ("spiral", "parallel lines", "house")


class Tower:
    """Texts as random directions about a common one, as CLIP's are."""

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [4 + np.random.default_rng(list(text.encode())).standard_normal(D) for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), D)


def dictionary(decoder: NDArray[np.float32], scale: float = 1.0) -> SAE:
    rows = torch.tensor(decoder, dtype=torch.float32)
    weights = {"W_enc": rows, "b_enc": torch.zeros(len(rows)), "W_dec": rows, "b_dec": torch.zeros(D)}
    return SAE(TopK(k=1), weights, scale=scale)


@pytest.fixture(scope="module")
def ordinary() -> NDArray[np.float32]:
    return ordinary_words(Tower(), ("a {}",))


def test_ordinary_is_the_mean_of_the_shipped_words(ordinary: NDArray[np.float32]) -> None:
    every = np.stack([class_directions(Tower(), [word], ("a {}",))[0] for word in builtin_words()])
    np.testing.assert_allclose(ordinary, every.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("said", WORDS)
def test_a_word_finds_its_latent(said: str, ordinary: NDArray[np.float32]) -> None:
    decoder = class_directions(Tower(), list(WORDS), ("a {}",)) - ordinary
    decoder = np.concatenate([decoder * [[0.1], [1], [10]], np.zeros((1, D))]).astype(np.float32)
    found = text_likeness(dictionary(decoder, scale=3), said, Tower(), ("a {}",), ordinary)
    assert found.dtype == np.float32
    assert int(np.argmax(found)) == WORDS.index(said)
    assert found.max() == pytest.approx(1, abs=1e-5)
    assert found[3] == 0, "a direction of length 0 is like nothing"
    assert np.abs(found).max() <= 1 + 1e-6
    np.testing.assert_allclose(
        found, text_likeness(dictionary(decoder), f"  {said.replace(' ', '   ')} ", Tower(), ("a {}",)), atol=1e-5
    )


@pytest.mark.parametrize("text", ["", "  \n", "x" * (MAX_TEXT + 1)])
def test_no_text_and_a_long_one_are_refused(text: str, ordinary: NDArray[np.float32]) -> None:
    with pytest.raises(InputError, match="give 1 to 200"):
        text_likeness(dictionary(np.eye(D, dtype=np.float32)), text, Tower(), ("a {}",), ordinary)


def test_another_clips_texts_are_refused() -> None:
    class Wide(Tower):
        def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return np.tile(super().texts(texts), 2)

    with pytest.raises(InputError, match="48 wide, the dictionary 24"):
        text_likeness(dictionary(np.eye(D, dtype=np.float32)), "house", Wide(), ("a {}",))


def test_the_demo_model_says_which_words_it_never_read() -> None:
    assert unread_words("bundled/v1", "parallel Lines") == ()
    assert unread_words("bundled/v1", "a quantum spiral") == ("quantum",)
    assert unread_words("ViT-B-32/openai", "a quantum spiral") == ()
