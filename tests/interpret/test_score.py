"""The held-out score: closed forms against scikit-learn and scipy, the bootstrap against resampling everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, mannwhitneyu
from sklearn.metrics import roc_auc_score

from sae_core.evaluate.metrics import unit
from sae_core.interpret import score
from sae_core.interpret.score import retrieval


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=30),
    st.lists(st.integers(0, 6), min_size=1, max_size=30),
)
@settings(max_examples=100, deadline=None)
def test_auroc_equals_sklearn_with_ties(positive: list[int], negative: list[int]) -> None:
    values = np.array(positive + negative, dtype=np.float64)
    truth = [1] * len(positive) + [0] * len(negative)
    expected = roc_auc_score(truth, values)
    a, b = np.array(positive, float), np.array(negative, float)
    assert score.auroc(a, b) == pytest.approx(expected, abs=1e-12)
    above, under = score.placements(a, b)
    assert above.mean() == pytest.approx(expected, abs=1e-12)
    assert under.mean() == pytest.approx(expected, abs=1e-12)


def scene(
    rng: np.random.Generator, n: int = 400, d: int = 12, latents: int = 15
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Images, latents that fire where a direction is strong, and those directions as words."""
    x = rng.standard_normal((n, d)).astype(np.float32)
    words = unit(rng.standard_normal((latents, d)))
    positives = [np.sort(np.argsort(-(x @ word) + rng.standard_normal(n))[: rng.integers(25, 60)]) for word in words]
    return x, positives, words


def test_all_aurocs_equal_sklearn_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "BLOCK", 400 * 4)  # several blocks of words
    x, positives, words = scene(np.random.default_rng(0))
    units = unit(x)
    areas = score.aurocs(units, score._membership(positives, len(x)), words)
    for j, rows in enumerate(positives):
        truth = np.isin(np.arange(len(x)), rows)
        for w in range(len(words)):
            assert areas[j, w] == pytest.approx(roc_auc_score(truth, units @ words[w]), abs=1e-9)


def test_near_misses_are_the_silent_images_nearest_to_the_centroid() -> None:
    x, positives, words = scene(np.random.default_rng(1))
    units = unit(x)
    found = score.near_miss_aurocs(units, positives, words)
    for j, rows in enumerate(positives):
        silent = np.setdiff1d(np.arange(len(x)), rows)
        centroid = units[rows].mean(axis=0)
        misses = silent[np.argsort(-(units[silent] @ centroid))[: len(rows)]]
        truth = [1] * len(rows) + [0] * len(misses)
        expected = roc_auc_score(truth, units[np.concatenate([rows, misses])] @ words[j])
        assert found[j] == pytest.approx(expected, abs=1e-6)


def test_the_bootstrap_agrees_with_resampling_the_images() -> None:
    rng = np.random.default_rng(2)
    x, positives, words = scene(rng, n=300, latents=4)
    units = unit(x)
    fast = score.bootstrap_errors(units, positives, words, np.random.default_rng(3), draws=4000).std(axis=0)
    for j, rows in enumerate(positives):
        truth = np.isin(np.arange(len(x)), rows)
        scores = units @ words[j]
        slow = []
        for _ in range(1500):
            pick = rng.integers(0, len(x), len(x))
            slow.append(score.auroc(scores[pick][truth[pick]], scores[pick][~truth[pick]]))
        assert fast[j] == pytest.approx(np.std(slow), rel=0.12)


def test_the_bootstrap_does_not_depend_on_how_images_and_latents_are_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    x, positives, words = scene(np.random.default_rng(4))
    whole = score.bootstrap_errors(unit(x), positives, words, np.random.default_rng(5))
    alone = score.bootstrap_errors(unit(x), positives[3:4], words[3:4], np.random.default_rng(5))
    np.testing.assert_allclose(whole[:, 3:4], alone, atol=1e-6)


def test_the_interval_covers_the_true_auroc() -> None:
    # Two normals one standard deviation apart: AUROC = Phi(1 / sqrt 2) = 0.7602.
    rng = np.random.default_rng(6)
    truth, covered, trials = 0.7602, 0, 200
    for _ in range(trials):
        scores = np.concatenate([rng.normal(1, 1, 40), rng.normal(0, 1, 300)])
        x = np.stack([scores, np.full(340, 1e3)], axis=1).astype(np.float32)  # cos with (1, 0) is monotone in the score
        errors = score.bootstrap_errors(unit(x), [np.arange(40)], np.array([[1, 0]], np.float32), rng)
        low, high = score.auroc(scores[:40], scores[40:]) + np.percentile(errors, [2.5, 97.5])
        covered += low <= truth <= high
    assert covered / trials >= 0.90


def test_permutation_p_equals_mann_whitney() -> None:
    rng = np.random.default_rng(7)
    p, expected = [], []
    for shift in (0.0, 0.2, 0.4):
        positive, negative = rng.normal(shift, 1, 60), rng.normal(0, 1, 500)
        area = np.array([score.auroc(positive, negative)])
        p.append(score.permutation_p(area, np.array([60]), 560, rng, draws=20_000)[0])
        expected.append(mannwhitneyu(positive, negative, alternative="greater").pvalue)
    np.testing.assert_allclose(p, expected, rtol=0.15, atol=2e-4)


def test_permutation_p_is_uniform_for_names_that_mean_nothing() -> None:
    rng = np.random.default_rng(8)
    x = rng.standard_normal((300, 8)).astype(np.float32)
    positives = [np.sort(rng.permutation(300)[: rng.integers(20, 80)]) for _ in range(300)]
    words = unit(rng.standard_normal((300, 8)))
    out = score.consistency(x, positives, np.arange(300), words, rng)
    assert kstest(out["p"], "uniform").pvalue > 0.001
    assert out["score"].mean() == pytest.approx(0.5, abs=0.01)
    assert out["swap_gap"].mean() == pytest.approx(0.0, abs=0.01)
    assert (out["ci_low"] > 0.5).mean() < 0.06


def test_planted_names_score_high_and_beat_swapped_ones() -> None:
    x, positives, words = scene(np.random.default_rng(9), n=1000)
    out = score.consistency(x, positives, np.arange(len(words)), words, np.random.default_rng(0))
    assert (out["score"] > 0.8).all()
    assert (out["p"] < 0.01).all()
    assert (out["ci_low"] > 0.5).all()
    assert (out["swap_gap"] > 0.15).all()
    assert ((out["ci_low"] <= out["score"]) & (out["score"] <= out["ci_high"])).all()


def test_the_swap_gap_by_hand() -> None:
    # Two latents, two words: the gap is own AUROC minus the AUROC of the other's word.
    x, positives, words = scene(np.random.default_rng(10), latents=2)
    out = score.consistency(x, positives, np.array([0, 1]), words, np.random.default_rng(0))
    areas = score.aurocs(unit(x), score._membership(positives, len(x)), words)
    np.testing.assert_allclose(out["swap_gap"], [areas[0, 0] - areas[0, 1], areas[1, 1] - areas[1, 0]])
    same = score.consistency(x, positives, np.array([0, 0]), words, np.random.default_rng(0))
    assert same["swap_gap"].isna().all()
    assert same["score"].notna().all()


def test_too_few_images_are_not_scored() -> None:
    rng = np.random.default_rng(11)
    x = rng.standard_normal((60, 4)).astype(np.float32)
    positives = [np.arange(19), np.arange(20), np.arange(41), np.arange(40), np.empty(0, np.int64)]
    out = score.consistency(x, positives, np.zeros(5, np.int64), unit(rng.standard_normal((1, 4))), rng)
    assert out["score"].notna().tolist() == [False, True, False, True, False]
    assert out["positives"].tolist() == [19, 20, 41, 40, 0]
    assert out["negatives"].tolist() == [41, 40, 19, 20, 60]
    none = score.consistency(x, positives[:1], np.zeros(1, np.int64), unit(rng.standard_normal((1, 4))), rng)
    assert none[list(score.COLUMNS)].isna().all().all()


def test_retrieval_is_the_share_of_the_nearest_that_fire() -> None:
    units = unit(np.stack([np.cos(np.linspace(0, 1.5, 40)), np.sin(np.linspace(0, 1.5, 40))], axis=1))
    word = np.array([[1.0, 0.0]], dtype=np.float32)
    for positives, expected in ((np.arange(20), 1.0), (np.arange(7), 0.7), (np.arange(20, 40), 0.0)):
        assert retrieval(units, [positives], word)[0] == pytest.approx(expected)
