"""Rating many latents at once gives the numbers of steering one image at a time, whatever is rated beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr

from sae_core.config import Edit, Recipe, TopK
from sae_core.evaluate.metrics import unit
from sae_core.sae.architectures import SAE
from sae_core.steer import effects, rating
from sae_core.steer.edits import apply
from sae_core.steer.rating import MOVED, Start, rank_correlation, rate, read_back

D, M, C, SEED = 24, 60, 7, 5
STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0)
TAU = 12.0


@pytest.fixture(scope="module")
def sae() -> SAE:
    rng = np.random.default_rng(0)
    decoder = torch.from_numpy(unit(rng.standard_normal((M, D))).astype(np.float32))
    mean = torch.from_numpy(rng.standard_normal(D).astype(np.float32))
    parts = {"W_enc": decoder, "W_dec": decoder, "b_enc": torch.zeros(M), "b_dec": torch.zeros(D)}
    return SAE(TopK(k=6), parts, mean, 0.5, "e/t")


@pytest.fixture(scope="module")
def x() -> NDArray[np.float32]:
    return (3 * np.random.default_rng(1).standard_normal((40, D))).astype(np.float32)


@pytest.fixture(scope="module")
def maxima(sae: SAE, x: NDArray[np.float32]) -> NDArray[np.float64]:
    return sae.encode(x).max(axis=0).astype(np.float64)


@pytest.fixture(scope="module")
def texts() -> NDArray[np.float32]:
    return unit(np.random.default_rng(2).standard_normal((C, D))).astype(np.float32)


LABELS = tuple(f"label {i}" for i in range(C))


def test_the_numbers_are_those_of_steering_one_image(
    sae: SAE, x: NDArray[np.float32], maxima: NDArray[np.float64], texts: NDArray[np.float32]
) -> None:
    latents = np.flatnonzero(maxima > 0)
    found = rate(latents, maxima[latents], [Start(x[3], LABELS, texts, TAU)], sae, STRENGTHS, 20, SEED).set_index("latent")
    assert {"steerable", "no effect beyond random"} <= set(found["verdict"])
    for latent in latents:
        directions = unit(np.random.default_rng([SEED, int(latent)]).standard_normal((20, D)))
        recipe = Recipe(edits=(Edit(latent=int(latent), op="clamp", value=1.0),))
        swept = effects.sweep(x[3], recipe, sae, maxima, STRENGTHS, directions)
        _, verdict = effects.label_curves(swept, LABELS, texts, TAU)
        row = found.loc[latent]
        assert row["effect"] == pytest.approx(verdict.effect, abs=2e-6)
        assert row["random_high"] == pytest.approx(verdict.effect_random, abs=2e-6)
        assert row["beyond"] == pytest.approx(verdict.effect - verdict.effect_random, abs=4e-6)
        assert row["gain"] == pytest.approx(verdict.effects[-1], abs=2e-6)
        assert row["spearman"] == pytest.approx(verdict.spearman)
        assert (row["label"], row["agreement"], row["verdict"]) == (verdict.label, 1.0, verdict.judgement)


def test_over_images_it_is_the_mean_and_labels_may_differ_between_them(
    sae: SAE, x: NDArray[np.float32], maxima: NDArray[np.float64], texts: NDArray[np.float32]
) -> None:
    latents = np.flatnonzero(maxima > 0)[:10]
    starts = [Start(x[0], LABELS, texts, TAU), Start(x[1], LABELS, texts, TAU), Start(x[2], LABELS[2:5], texts[2:5], TAU)]
    one = [rate(latents, maxima[latents], [start], sae, STRENGTHS, 4, SEED) for start in starts]
    all_three = rate(latents, maxima[latents], starts, sae, STRENGTHS, 4, SEED)
    for column in ("effect", "gain"):
        np.testing.assert_allclose(all_three[column], np.mean([part[column] for part in one], axis=0), atol=1e-6)
    np.testing.assert_allclose(all_three["spearman"], np.median([part["spearman"] for part in one], axis=0))
    agreed = np.mean([part["label"] == all_three["label"] for part in one], axis=0)
    np.testing.assert_allclose(all_three["agreement"], agreed)


def test_a_row_does_not_depend_on_its_company(
    sae: SAE,
    x: NDArray[np.float32],
    maxima: NDArray[np.float64],
    texts: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    latents = np.flatnonzero(maxima > 0)
    starts = [Start(row, LABELS, texts, TAU) for row in x[:4]]
    whole = rate(latents, maxima[latents], starts, sae, STRENGTHS, 5, SEED)
    back = read_back(latents, maxima, x[:4], sae)
    monkeypatch.setattr(rating, "NUMBERS", 1)
    some = latents[::7]
    pd.testing.assert_frame_equal(
        rate(some, maxima[some], starts, sae, STRENGTHS, 5, SEED), whole.iloc[::7].reset_index(drop=True), atol=1e-6
    )
    pd.testing.assert_frame_equal(read_back(some, maxima, x[:4], sae), back.iloc[::7].reset_index(drop=True), atol=1e-6)


def test_reading_back_is_encoding_the_steered_embedding_again(
    sae: SAE, x: NDArray[np.float32], maxima: NDArray[np.float64]
) -> None:
    latents = np.flatnonzero(maxima > 0)[::5]
    found = read_back(latents, maxima, x[:6], sae).set_index("latent")
    before = sae.encode(x[:6]).astype(np.float64)
    for latent in latents:
        recipe = Recipe(edits=(Edit(latent=int(latent), op="clamp", value=2.0),))
        after = sae.encode(apply(x[:6], recipe, sae, maxima)).astype(np.float64)
        change = np.divide(after - before, maxima, out=np.zeros_like(before), where=maxima > 0)
        shares = [effects.specificity(row, np.array([latent])) for row in change]
        others = np.delete(np.abs(change), latent, axis=1)
        assert found.loc[latent, "specificity"] == pytest.approx(np.mean(shares), abs=1e-5)
        assert found.loc[latent, "collateral"] == pytest.approx((others >= MOVED).sum(axis=1).mean())


def test_a_latent_along_a_text_steers_and_random_ones_seldom_do(texts: NDArray[np.float32], x: NDArray[np.float32]) -> None:
    rng = np.random.default_rng(3)
    rows = torch.from_numpy(np.concatenate([texts, unit(rng.standard_normal((400, D)))]).astype(np.float32))
    parts = {"W_enc": rows, "W_dec": rows, "b_enc": torch.zeros(len(rows)), "b_dec": torch.zeros(D)}
    sae = SAE(TopK(k=6), parts, torch.zeros(D), 1.0, "e/t")
    starts = [Start(row, LABELS, texts, TAU) for row in x[:6]]
    found = rate(np.arange(len(rows)), np.full(len(rows), 8.0), starts, sae, STRENGTHS, 20, SEED)
    assert (found["verdict"][:C] == "steerable").all()
    assert found["label"][:C].tolist() == list(LABELS)
    beyond = (found["verdict"][C:] != "no effect beyond random").mean()
    assert 0.01 < beyond < 0.1  # 1 in 21 by chance
    assert beyond == pytest.approx(effects.chance(20), abs=0.04)


@given(st.integers(2, 130), st.integers(0, 140), st.data())
def test_the_bar_is_where_p_reaches_its_level(random: int, above: int, data: st.DataObject) -> None:
    others = np.array(data.draw(st.permutations(range(random))), dtype=np.float64)
    effect = random - above - 0.5
    p = (1 + (others >= effect).sum()) / (1 + random)
    assert (effect > effects.bar(others)) == (p <= max(0.05, 1 / (1 + random)) + 1e-12)


@given(st.lists(st.lists(st.integers(-3, 3), min_size=5, max_size=5), min_size=1, max_size=4))
def test_rank_correlation_is_spearmans(rows: list[list[int]]) -> None:
    a, b = np.array([0, 0.5, 1, 2, 4]), np.array(rows, dtype=np.float64)
    for row, rho in zip(b, rank_correlation(a, b), strict=True):
        assert rho == pytest.approx(spearmanr(a, row).statistic if np.ptp(row) else 0.0)
