"""Ranks of sparse codes against scipy's on the dense ones, and the two tests' statistics against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chi2, rankdata, spearmanr

from sae_core.evaluate.geometry.conditional import (
    Draws,
    class_beyond_geometry,
    corrected,
    geometry_within_class,
    given_geometry,
    within_permutations,
)
from sae_core.evaluate.geometry.ranks import code_ranks, measure_ranks, untied_energy


def codes(rng: np.random.Generator, n: int, m: int) -> NDArray[np.float64]:
    """Codes with ties, silent rows, and negative values as of PCA."""
    return rng.integers(-3, 6, (n, m)) * (rng.random((n, m)) < rng.uniform(0.1, 1.0, m))


def centred(values: NDArray[np.float64], strata: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    out = np.zeros(values.shape)
    for c in range(count):
        rows = strata == c
        if rows.any():
            out[rows] = (rankdata(values[rows], axis=0) - (rows.sum() + 1) / 2) / rows.sum()
    return out


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 6), st.integers(1, 5))
def test_sparse_ranks_are_dense_ranks(seed: int, n: int, m: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    z, strata = codes(rng, n, m), rng.integers(0, count, n)
    expected = centred(z, strata, count)
    ranks = code_ranks(scipy.sparse.csc_matrix(z), strata, count)
    s = measure_ranks(rng.integers(0, 7, (n, 3)).astype(float), strata, count)
    np.testing.assert_allclose(ranks.above @ s, expected.T @ s, atol=1e-12)
    energy = np.stack([np.square(expected[strata == c]).sum(axis=0) for c in range(count)], axis=1)
    np.testing.assert_allclose(ranks.energy, energy, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 40), st.integers(1, 4))
def test_ceiling_is_reached_by_the_measure_in_the_codes_order(seed: int, n: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    z, strata = codes(rng, n, 1), rng.integers(0, count, n)
    order = np.lexsort((rng.random(n), z[:, 0]))
    measure = np.empty((n, 1))
    measure[order, 0] = np.arange(n)  # untied, and in the codes' order
    ranks = code_ranks(scipy.sparse.csc_matrix(z), strata, count)
    s = measure_ranks(measure, strata, count)
    assert (ranks.above @ s)[0, 0] == pytest.approx(ranks.ceiling[0], abs=1e-12)
    assert np.square(s).sum() == pytest.approx(untied_energy(np.bincount(strata, minlength=count)))


def test_one_class_is_spearman() -> None:
    rng = np.random.default_rng(0)
    z, g = codes(rng, 50, 4), rng.normal(size=(50, 3))
    one = np.zeros(50, dtype=np.int64)
    within = geometry_within_class(
        code_ranks(scipy.sparse.csc_matrix(z), one, 1), measure_ranks(g, one, 1), one, within_permutations(one, 50, rng)
    )
    for j in range(4):
        for q in range(3):
            assert within.rho[j, q] == pytest.approx(spearmanr(z[:, j], g[:, q]).statistic)


def test_a_perfect_association_has_effect_one_however_rare() -> None:
    rng = np.random.default_rng(1)
    n = 2000
    classes = rng.integers(0, 4, n)
    g = rng.normal(size=(n, 2))
    rank = measure_ranks(g, classes, 4)
    z = np.stack([np.maximum(sign * rank[:, 1] - cut, 0) for cut in (0.0, 0.45, 0.49) for sign in (1, -1)], axis=1)
    within = geometry_within_class(
        code_ranks(scipy.sparse.csc_matrix(z), classes, 4), rank, classes, within_permutations(classes, 99, rng)
    )
    assert within.best.tolist() == [1] * 6
    np.testing.assert_allclose(within.effect, 1.0, atol=0.02)
    assert np.sign(within.rho[:, 1]).tolist() == [1, -1] * 3
    assert (within.p < 1e-6).all()


def test_permutations_keep_every_row_in_its_class() -> None:
    rng = np.random.default_rng(2)
    classes = rng.integers(0, 5, 200)
    orders = within_permutations(classes, 300, rng)
    assert (classes[orders] == classes).all()
    assert (np.sort(orders, axis=1) == np.arange(200)).all()
    # A row lands on each place of its class equally often: on its own place once in n_c.
    sizes = np.bincount(classes)
    assert np.mean(orders == np.arange(200)) == pytest.approx(np.mean(1 / sizes[classes]), abs=0.006)


def test_the_permutation_variance_is_exact() -> None:
    rng = np.random.default_rng(3)
    classes = np.repeat([0, 1, 2], [4, 9, 17])
    z, g = codes(rng, 30, 1), rng.normal(size=(30, 1))
    ranks, s = code_ranks(scipy.sparse.csc_matrix(z), classes, 3), measure_ranks(g, classes, 3)
    drawn = np.array([(ranks.above @ s[order])[0, 0] for order in within_permutations(classes, 20_000, rng)])
    by_class = np.array([np.square(s[classes == c]).sum() / (np.sum(classes == c) - 1) for c in range(3)])
    assert drawn.mean() == pytest.approx(0.0, abs=4 * drawn.std() / np.sqrt(len(drawn)))
    assert drawn.var() == pytest.approx(float(ranks.energy[0] @ by_class), rel=0.04)


def test_class_alone_is_the_correlation_ratio_of_ranks() -> None:
    """When measures say nothing of class, eta² is the between-class share of rank variance (Kruskal-Wallis H / (n - 1))."""
    rng = np.random.default_rng(4)
    n, count = 300, 3
    classes = np.tile(np.arange(count), n // count)
    z = codes(rng, n, 5) + np.outer(classes == 1, [0, 1, 2, 3, 4])
    chances = np.full((n, count), 1 / count)
    given_ = given_geometry(np.zeros((n, 0)), chances, classes, 200, rng)
    found = class_beyond_geometry(code_ranks(scipy.sparse.csc_matrix(z), np.zeros(n, dtype=np.int64), 1), given_)
    r = rankdata(z, axis=0) - (n + 1) / 2
    between = sum(np.square(r[classes == c].mean(axis=0)) * np.sum(classes == c) for c in range(count))
    np.testing.assert_allclose(found.eta2, between / np.square(r).sum(axis=0), rtol=1e-3)


def test_labels_are_drawn_from_the_probabilities() -> None:
    rng = np.random.default_rng(5)
    chances = np.array([[1.0, 0, 0], [0.2, 0.3, 0.5], [0, 0, 1.0]])
    labels = given_geometry(np.zeros((3, 0)), chances, np.array([0, 1, 2]), 20_000, rng).labels
    for row in range(3):
        np.testing.assert_allclose(np.bincount(labels[:, row], minlength=3) / 20_000, chances[row], atol=0.012)


def test_p_values_of_draws() -> None:
    rng = np.random.default_rng(6)
    observed = np.array([1.0, 20.0, 40.0])
    draws = Draws(observed)
    values = rng.chisquare(4, size=5000)
    for value in values:
        draws.add(np.full(3, value))
    found = draws.p()
    assert found[0] == (1 + np.sum(values >= 1.0)) / 5001  # common: counted
    # Rare: a chi-square is a gamma, so the fitted tail must be right where none of 5,000 draws can be.
    np.testing.assert_allclose(np.log10(found[1:]), np.log10(chi2.sf(observed[1:], 4)), atol=0.8)
    constant = Draws(np.array([2.0, 0.5]))
    for _ in range(9):
        constant.add(np.ones(2))
    np.testing.assert_allclose(constant.p(), [0.1, 1.0])


def test_correction_for_chance() -> None:
    share = np.array([0.0, 0.1, 0.55, 1.0])
    np.testing.assert_allclose(corrected(share, np.full(4, 0.1)) ** 2, [0.0, 0.0, 0.5, 1.0])
