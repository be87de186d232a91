"""Naming: SoftWPMI against a naive implementation, planted directions, abstention on random ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_core.errors import InputError
from sae_core.evaluate.metrics import unit
from sae_core.interpret import naming
from sae_core.interpret.vocabulary import Vocabulary


def make_vocabulary(rng: np.random.Generator, v: int, d: int, shared: float = 1.0) -> Vocabulary:
    """Words that share a large component, as CLIP's texts do."""
    texts = unit(rng.standard_normal((v, d)) / np.sqrt(d) + shared * unit(rng.standard_normal((1, d))))
    return Vocabulary("file", tuple(f"word {i}" for i in range(v)), texts, texts.mean(axis=0), "their mean")


def naive_likelihood(x: np.ndarray, texts: np.ndarray, tops: list[np.ndarray]) -> np.ndarray:
    """CLIP-Dissect's formula, a loop an image, in float64."""
    out = np.zeros((len(tops), len(texts)))
    for j, rows in enumerate(tops):
        for rank, row in enumerate(rows[:100]):
            logits = 10.0 * (texts.astype(np.float64) @ x[row].astype(np.float64))
            p_word = np.exp(logits) / np.exp(logits).sum()
            p_in = 0.998 - rank / 100 * (0.998 - 0.97)
            out[j] += np.log(1 + p_in * (p_word - 1) + 1e-7)
        out[j] *= 100 / min(len(rows), 100)
    return out


def test_likelihood_and_soft_wpmi_equal_a_naive_implementation() -> None:
    rng = np.random.default_rng(0)
    x, texts = unit(rng.standard_normal((300, 16))), unit(rng.standard_normal((40, 16)))
    tops = [rng.permutation(300)[:count] for count in (150, 100, 37, 1)]
    fit = naming.log_likelihood(x, texts, tops)
    expected = naive_likelihood(x, texts, tops)
    np.testing.assert_allclose(fit, expected, rtol=2e-4)
    np.testing.assert_allclose(naming.soft_wpmi(fit, fit[:2]), expected - expected[:2].mean(axis=0), rtol=1e-3, atol=0.05)


def test_likelihood_does_not_depend_on_how_latents_are_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    x, texts = unit(rng.standard_normal((200, 8))), unit(rng.standard_normal((10, 8)))
    tops = [rng.permutation(200)[: rng.integers(0, 120)] for _ in range(30)]
    whole = naming.log_likelihood(x, texts, tops)
    monkeypatch.setattr(naming, "BLOCK", 100 * 10 * 3)
    np.testing.assert_allclose(naming.log_likelihood(x, texts, tops), whole, rtol=1e-5)


def test_a_word_that_fits_every_latent_is_no_better_than_one_that_fits_none() -> None:
    # Columns: fits all alike, fits none alike, fits the first latent only.
    fit = np.array([[-1.0, -90.0, -5.0], [-1.0, -90.0, -60.0], [-1.0, -90.0, -60.0]], dtype=np.float32)
    wpmi = naming.soft_wpmi(fit, fit)
    np.testing.assert_allclose(wpmi[:, :2], 0, atol=1e-6)
    assert wpmi[0].argmax() == 2


def test_a_single_latent_explains_nothing_beyond_itself() -> None:
    fit = np.array([[-3.0, -1.0, -7.0]], dtype=np.float32)
    np.testing.assert_array_equal(naming.soft_wpmi(fit, fit), np.zeros((1, 3)))


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_fusing_only_depends_on_the_order_of_the_second_cue(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cosine = rng.uniform(-1, 1, (3, 12)).astype(np.float32)
    wpmi = rng.standard_normal((3, 12)).astype(np.float32)
    np.testing.assert_array_equal(naming.fuse(cosine, wpmi), naming.fuse(cosine, np.exp(wpmi)))
    agreed = naming.fuse(cosine, 5 * cosine)
    np.testing.assert_array_equal(agreed.argmin(axis=1), cosine.argmax(axis=1))


def test_when_the_cues_tie_the_cosine_decides() -> None:
    # Ranks (1, 2) and (2, 1) have equal means.
    fused = naming.fuse(np.array([[0.5, 0.4, -0.9]], np.float32), np.array([[1.0, 2.0, 0.0]], np.float32))
    assert fused.argmin() == 0


def test_a_planted_text_direction_gets_its_word_and_random_directions_get_none() -> None:
    rng = np.random.default_rng(2)
    d, v = 64, 200
    vocabulary = make_vocabulary(rng, v, d)
    x = (rng.standard_normal((2000, 12)) @ rng.standard_normal((12, d))).astype(np.float32) + 3
    planted = vocabulary.directions[:50] * rng.uniform(0.1, 9, (50, 1)).astype(np.float32)
    found = naming.name_latents(planted, vocabulary, x, [np.empty(0, np.int64)] * 50, rng)
    np.testing.assert_array_equal(found.words[:, 0], np.arange(50))
    np.testing.assert_allclose(found.cosines[:, 0], 1, atol=1e-5)
    assert found.named.all()
    directions = naming.random_directions("isotropic", 2000, x, rng)
    controls = naming.name_latents(directions, vocabulary, x, [np.empty(0, np.int64)] * 2000, rng)
    assert 1 - controls.named.mean() >= 0.95
    rates = naming.abstention_rate(vocabulary, x, found.threshold, rng, 2000)
    assert rates["isotropic"] >= 0.95


def test_images_break_the_tie_between_two_equal_words() -> None:
    # Two words are equally near to the latent; the images that fire it contain the second.
    texts = unit(np.array([[1.0, 1, 0, 0], [1.0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    vocabulary = Vocabulary("file", ("a", "b", "c", "d"), texts, np.zeros(4, np.float32), "nothing")
    rng = np.random.default_rng(3)
    x = np.concatenate([texts[[1]] + 0.05 * rng.standard_normal((60, 4)), rng.standard_normal((200, 4))]).astype(np.float32)
    latent = (vocabulary.directions[0] + vocabulary.directions[1])[None]
    tops = [np.arange(60), 60 + rng.permutation(200)[:60]]
    found = naming.name_latents(np.repeat(latent, 2, axis=0), vocabulary, x, tops, rng)
    assert vocabulary.words[found.words[0, 0]] == "b"


def test_a_name_does_not_depend_on_which_latents_are_asked_for() -> None:
    rng = np.random.default_rng(4)
    vocabulary = make_vocabulary(rng, 30, 16)
    x = rng.standard_normal((400, 16)).astype(np.float32)
    directions = unit(rng.standard_normal((20, 16)))
    tops = [rng.permutation(400)[:50] for _ in range(20)]
    together = naming.name_latents(directions, vocabulary, x, tops, rng)
    alone = naming.name_latents(directions[7:8], vocabulary, x, tops[7:8], rng, reference=tops)
    np.testing.assert_array_equal(together.words[7], alone.words[0])


def test_random_directions_have_the_covariance_of_the_data() -> None:
    rng = np.random.default_rng(5)
    spread = np.array([3.0, 1.0, 0.1])
    x = (rng.standard_normal((5000, 3)) * spread + 50).astype(np.float32)
    directions = naming.random_directions("data", 20_000, x, rng)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-5)
    axes = np.median(np.abs(directions), axis=0)
    assert axes[0] > axes[1] > axes[2]
    assert axes[0] / axes[2] > 15
    even = naming.random_directions("isotropic", 20_000, x, rng)
    np.testing.assert_allclose((even**2).mean(axis=0), 1 / 3, atol=0.01)


def test_more_words_raise_the_threshold() -> None:
    rng = np.random.default_rng(6)
    few, many = make_vocabulary(rng, 10, 32), make_vocabulary(rng, 1000, 32)
    low = naming.abstention_threshold(few, np.random.default_rng(0), 99, 500)
    assert 0 < low < naming.abstention_threshold(many, np.random.default_rng(0), 99, 500) < 1
    assert low < naming.abstention_threshold(few, np.random.default_rng(0), 99.9, 500)


def test_shapes_that_do_not_fit_are_refused() -> None:
    rng = np.random.default_rng(7)
    vocabulary = make_vocabulary(rng, 5, 8)
    x = rng.standard_normal((10, 8)).astype(np.float32)
    with pytest.raises(InputError, match="width"):
        naming.name_latents(np.ones((2, 9), np.float32), vocabulary, x, [np.arange(3)] * 2, rng)
    with pytest.raises(InputError, match="lists of images"):
        naming.name_latents(np.ones((2, 8), np.float32), vocabulary, x, [np.arange(3)], rng)
    with pytest.raises(InputError, match="covariance"):
        naming.random_directions("data", 3, x[:1], rng)
