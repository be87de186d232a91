"""Accuracy, bootstrap, McNemar and recall against closed forms and independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from sae_core.errors import InputError
from sae_core.evaluate.metrics import accuracy, bootstrap_mean, caption_hits, mcnemar, unit


def test_accuracy() -> None:
    assert accuracy(np.array([0, 1, 2, 1]), np.array([0, 1, 1, 1])) == 0.75
    assert np.isnan(accuracy(np.zeros(0, dtype=int), np.zeros(0, dtype=int)))


# ---------------------------------------------------------------- bootstrap


def test_bootstrap_covers_a_binomial_mean() -> None:
    rng = np.random.default_rng(0)
    p, n, tries = 0.3, 200, 600
    covered = 0
    for _ in range(tries):
        low, high = bootstrap_mean(rng.random(n) < p, 400, rng)
        covered += low <= p <= high
    # 95 % nominal; the percentile interval is known to fall a little short at n = 200. Standard error here is 0.9 %.
    assert 0.92 <= covered / tries <= 0.975


def test_bootstrap_has_the_standard_error_of_the_mean() -> None:
    values = np.repeat([0.0, 1.0, -1.0], [700, 200, 100])
    low, high = bootstrap_mean(values, 20_000, np.random.default_rng(1))
    half = 1.959964 * values.std() / np.sqrt(len(values))
    assert (low, high) == (pytest.approx(0.1 - half, abs=2e-3), pytest.approx(0.1 + half, abs=2e-3))


def test_bootstrap_is_the_row_bootstrap() -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(-1, 2, 60) / 1.0
    naive = np.mean(values[rng.integers(0, 60, (40_000, 60))], axis=1)
    low, high = bootstrap_mean(values, 40_000, rng, level=0.9)
    assert np.quantile(naive, [0.05, 0.95]).tolist() == pytest.approx([low, high], abs=1e-2)


def test_bootstrap_by_groups_is_the_bootstrap_of_groups() -> None:
    rng = np.random.default_rng(3)
    groups = np.sort(rng.integers(0, 25, 120))
    values = rng.random(120) + groups / 10
    members = [values[groups == g] for g in np.unique(groups)]
    drawn = rng.integers(0, len(members), (20_000, len(members)))
    sums = np.array([part.sum() for part in members])[drawn].sum(axis=1)
    sizes = np.array([len(part) for part in members])[drawn].sum(axis=1)
    low, high = bootstrap_mean(values, 20_000, rng, groups)
    assert np.quantile(sums / sizes, [0.025, 0.975]).tolist() == pytest.approx([low, high], abs=2e-2)


def test_copies_of_a_picture_are_no_further_evidence() -> None:
    rng = np.random.default_rng(4)
    values = np.repeat(rng.integers(0, 2, 50), 20).astype(float)
    alone = bootstrap_mean(values[::20], 20_000, np.random.default_rng(0))
    grouped = bootstrap_mean(values, 20_000, np.random.default_rng(0), np.repeat(np.arange(50), 20))
    assert grouped == pytest.approx(alone, abs=1e-12)


@given(st.integers(1, 50), st.floats(-5, 5), st.integers(0, 2**31))
def test_bootstrap_of_a_constant_is_that_constant(n: int, value: float, seed: int) -> None:
    assert bootstrap_mean(np.full(n, value), 100, np.random.default_rng(seed)) == pytest.approx((value, value))


def test_bootstrap_of_nothing_is_undefined() -> None:
    assert np.isnan(bootstrap_mean(np.zeros(0), 100, np.random.default_rng(0))).all()


def test_bootstrap_is_a_function_of_the_generator() -> None:
    values = np.arange(30.0)
    assert bootstrap_mean(values, 200, np.random.default_rng(5)) == bootstrap_mean(values, 200, np.random.default_rng(5))
    assert bootstrap_mean(values, 200, np.random.default_rng(5)) != bootstrap_mean(values, 200, np.random.default_rng(6))


# ---------------------------------------------------------------- McNemar


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 10), st.integers(0, 10))
def test_mcnemar_is_the_exact_binomial(lost: int, gained: int, both: int, neither: int) -> None:
    before = np.repeat([True, False, True, False], [lost, gained, both, neither])
    after = np.repeat([False, True, True, False], [lost, gained, both, neither])
    flips = mcnemar(before, after)
    assert (flips.lost, flips.gained) == (lost, gained)
    expected = min(1.0, 2 * binom.cdf(min(lost, gained), lost + gained, 0.5)) if lost + gained else 1.0
    assert flips.p == pytest.approx(expected)


def test_mcnemar_by_hand() -> None:
    # 59 against 6 discordant pairs: p = 2 sum_{i<=6} C(65, i) / 2^65.
    before = np.repeat([True, False], [59, 6])
    expected = 2 * sum(math.comb(65, i) for i in range(7)) / 2**65
    assert mcnemar(before, ~before).p == pytest.approx(expected, rel=1e-9, abs=0)


# ---------------------------------------------------------------- caption recall


def test_recall_by_hand() -> None:
    captions = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 1.0]])
    # (2, 1) is nearest to (1, 1), then (1, 0), then (0, 1), then (-1, 0).
    x = np.array([[2.0, 1.0]] * 4)
    hits = caption_hits(x, np.array([3, 0, 1, 2]), captions, (1, 2, 3, 4))
    assert hits.tolist() == [[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]]


def test_recall_does_not_depend_on_lengths() -> None:
    rng = np.random.default_rng(0)
    x, captions = rng.normal(size=(30, 5)), rng.normal(size=(12, 5))
    own = rng.integers(0, 12, 30)
    scaled = caption_hits(x * rng.uniform(0.1, 10, (30, 1)), own, captions * rng.uniform(0.1, 10, (12, 1)), (1, 5))
    np.testing.assert_array_equal(scaled, caption_hits(x, own, captions, (1, 5)))


def test_recall_of_nothing_is_chance() -> None:
    captions = np.random.default_rng(0).normal(size=(50, 8))
    hits = caption_hits(np.zeros((7, 8)), np.arange(7), captions, (1, 5, 10, 50))
    np.testing.assert_allclose(hits, np.tile([1 / 50, 5 / 50, 10 / 50, 1.0], (7, 1)))


@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 6))
def test_recall_is_the_rank(seed: int, n: int, c: int) -> None:
    rng = np.random.default_rng(seed)
    x, captions, own = rng.normal(size=(n, 4)), rng.normal(size=(c, 4)), rng.integers(0, c, n)
    cosine = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (captions / np.linalg.norm(captions, axis=1, keepdims=True)).T
    rank = (-cosine).argsort(axis=1).argsort(axis=1)[np.arange(n), own]
    for place, k in enumerate((1, 2, 4)):
        np.testing.assert_array_equal(caption_hits(x, own, captions, (1, 2, 4))[:, place], rank < k)


def test_recall_of_another_clip_is_refused() -> None:
    with pytest.raises(InputError, match="images are 4 wide, captions 5"):
        caption_hits(np.ones((1, 4)), np.zeros(1, dtype=int), np.ones((1, 5)), (1,))


def test_unit_leaves_zero_rows() -> None:
    np.testing.assert_allclose(unit(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
