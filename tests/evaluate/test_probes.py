"""Probes on embeddings whose classes, and the features that tell them, are planted."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray
from scipy.stats import rankdata

from sae_core.errors import InputError
from sae_core.evaluate.probes import class_probe
from sae_core.evaluate.sparse_probes import _choose, _probe, sparse_probes

Floats = NDArray[np.float32]


def clusters(
    rng: np.random.Generator, n: int, d: int = 8, classes: int = 4, noise: float = 0.3
) -> tuple[Floats, NDArray[np.int64]]:
    centres = 2.0 * np.eye(classes, d)
    labels = rng.integers(0, classes, n)
    return (centres[labels] + noise * rng.normal(size=(n, d))).astype(np.float32), labels


# ---------------------------------------------------------------- class-probe fidelity


def test_an_exact_reconstruction_costs_nothing() -> None:
    rng = np.random.default_rng(0)
    train, train_labels = clusters(rng, 200)
    x, labels = clusters(rng, 300)
    found = class_probe(train, train_labels, x, x.copy(), labels)
    assert found.paired.accuracy_clip == found.paired.accuracy_sae > 0.95
    assert (found.paired.delta, found.agreement, found.paired.flips.p) == (0.0, 1.0, 1.0)
    assert (found.classes, found.trained) == (4, 200)


def test_a_reconstruction_that_takes_one_class_for_another_costs_that_class() -> None:
    rng = np.random.default_rng(1)
    train, train_labels = clusters(rng, 400, noise=0.05)
    x, labels = clusters(rng, 400, noise=0.05)
    x_hat = x.copy()
    x_hat[labels == 2] = x[labels == 3][0]
    found = class_probe(train, train_labels, x, x_hat, labels)
    lost = np.mean(labels == 2)
    assert found.paired.accuracy_clip == 1.0
    assert found.paired.accuracy_sae == pytest.approx(1 - lost)
    assert found.agreement == pytest.approx(1 - lost)
    metrics = found.metrics()
    assert metrics["probe_delta"] == pytest.approx(-lost)
    assert metrics["probe_delta_ci_low"] < -lost < metrics["probe_delta_ci_high"] < 0


def test_rows_without_a_known_class_are_left_out() -> None:
    rng = np.random.default_rng(2)
    train, train_labels = clusters(rng, 200)
    x, labels = clusters(rng, 50)
    train_labels[:20], labels[:5], labels[5] = -1, -1, 77
    found = class_probe(train, train_labels, x, x, labels)
    assert (found.trained, found.paired.n) == (180, 44)
    assert found.paired.rows.tolist() == list(range(6, 50))


def test_class_probes_that_cannot_be_are_refused() -> None:
    x = np.ones((6, 2), dtype=np.float32)
    with pytest.raises(InputError, match="do not belong together"):
        class_probe(x, np.zeros(5, dtype=int), x, x, np.zeros(6, dtype=int))
    with pytest.raises(InputError, match="two classes in training"):
        class_probe(x, np.zeros(6, dtype=int), x, x, np.zeros(6, dtype=int))


# ---------------------------------------------------------------- sparse probes


def planted(rng: np.random.Generator, n: int) -> tuple[scipy.sparse.csr_matrix, Floats, NDArray[np.int64]]:
    """Latent c fires on class c and seldom elsewhere; latents 4 to 59 at random; raw dimensions are a rotation of the classes."""
    labels = rng.integers(0, 4, n)
    z = rng.random((n, 60)) * (rng.random((n, 60)) < 0.05)
    z[np.arange(n), labels] = 1 + rng.random(n)
    directions = np.linalg.qr(rng.normal(size=(30, 30)))[0][:4]
    x = 0.5 * directions[labels] + 0.25 * rng.normal(size=(n, 30))
    return scipy.sparse.csr_matrix(z), x.astype(np.float32), labels


def test_one_latent_a_class_beats_one_dimension() -> None:
    rng = np.random.default_rng(3)
    codes, x, labels = planted(rng, 600)
    found = sparse_probes(codes, x, labels, np.arange(400), np.arange(400, 600), rng)
    table = found.summary(500, rng).set_index(["features", "k"])
    assert (found.train, found.held_out) == (400, 200)
    assert table.loc[("latents", 1), "auroc"] > 0.99
    assert table.loc[("latents", 1), "balanced_accuracy"] > 0.95
    assert table.loc[("dimensions", 1), "auroc"] < 0.85
    assert table.loc[("dimensions", 20), "auroc"] > table.loc[("dimensions", 1), "auroc"] + 0.05
    assert table.loc[("difference", 1), "low"] > 0.1
    assert table.loc[("difference", 1), "auroc"] == pytest.approx(
        table.loc[("latents", 1), "auroc"] - table.loc[("dimensions", 1), "auroc"]
    )
    metrics = found.metrics(50, rng)
    assert metrics["sparse_probe_1_latents"] == table.loc[("latents", 1), "auroc"]
    assert metrics["sparse_probe_classes"] == 4
    for features in ("latents", "dimensions"):
        for k in (1, 5, 20):
            assert abs(table.loc[(features, k), "auroc_null"] - 0.5) < 0.1
            assert abs(table.loc[(features, k), "balanced_accuracy_null"] - 0.5) < 0.1


def test_the_planted_latent_is_chosen_first_and_on_training_rows_only() -> None:
    rng = np.random.default_rng(4)
    codes, _, labels = planted(rng, 300)
    rows = np.arange(200)
    assert _choose(codes, rows, labels[rows], [0, 1, 2, 3], 5)[:, 0].tolist() == [0, 1, 2, 3]
    dense = codes.toarray()
    dense[200:] = rng.random((100, 60))  # what held-out rows hold does not matter
    np.testing.assert_array_equal(_choose(dense, rows, labels[rows], [0, 1], 5), _choose(codes, rows, labels[rows], [0, 1], 5))


def test_the_score_is_the_standardised_difference_of_means() -> None:
    rng = np.random.default_rng(5)
    z, labels = rng.random((80, 6)) * (rng.random((80, 6)) < 0.5), rng.integers(0, 3, 80)
    score = np.abs(z[labels == 1].mean(axis=0) - z[labels != 1].mean(axis=0)) / z.std(axis=0)
    assert _choose(z, np.arange(80), labels, [1], 6)[0].tolist() == np.argsort(-score).tolist()


def test_auroc_of_one_feature_is_the_rank_statistic() -> None:
    rng = np.random.default_rng(6)
    truth = rng.random(100) < 0.3
    value = np.round(truth + rng.normal(size=100), 1)[:, None]
    column = scipy.sparse.csc_matrix(value)
    auroc, balanced = _probe(column, truth, column, truth)
    ranks, positive = rankdata(value[:, 0]), truth.sum()
    assert auroc == pytest.approx((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * (100 - positive)))
    assert 0.5 < balanced < 1.0


def test_many_classes_are_sampled_and_small_ones_left_out() -> None:
    rng = np.random.default_rng(7)
    labels = np.concatenate([np.repeat(np.arange(12), 20), [12, 13, 13]])
    n = len(labels)
    codes = scipy.sparse.random(n, 30, 0.2, random_state=np.random.default_rng(0), format="csr")
    order = rng.permutation(n)
    found = sparse_probes(codes, rng.normal(size=(n, 4)), labels, order[::2], order[1::2], rng, sizes=(1,), most_classes=6)
    assert len(found.table["class"].unique()) == 6
    assert set(found.table["class"]) <= set(range(12))
    assert len(found.table) == 6 * 2


def test_sparse_probes_that_cannot_be_are_refused() -> None:
    rng = np.random.default_rng(8)
    codes, x, labels = planted(rng, 60)
    with pytest.raises(InputError, match="overlap"):
        sparse_probes(codes, x, labels, np.arange(40), np.arange(39, 60), rng)
    with pytest.raises(InputError, match="59 embeddings"):
        sparse_probes(codes, x[1:], labels, np.arange(40), np.arange(40, 60), rng)
    with pytest.raises(InputError, match="need two classes"):
        sparse_probes(codes, x, np.zeros(60, dtype=int), np.arange(40), np.arange(40, 60), rng)
