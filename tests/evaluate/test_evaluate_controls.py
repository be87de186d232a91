"""Controls of an evaluation against the same worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sae_core.evaluate.answers import Answers, Asked, answer, constant, in_captions, in_classes
from sae_core.evaluate.controls import MEAN, PCA, RANDOM, compare_control, fit_controls
from sae_core.sae.batches import Arrays, Pool
from sae_core.sae.quality import Quality


def pool_of(x: np.ndarray) -> Pool:
    return Pool([(Arrays([x]), np.arange(len(x)))], x.shape[1])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_pca_is_the_projection_on_the_first_axes() -> None:
    spread = np.diag(np.linspace(3, 0.5, 8)) @ rng(1).normal(size=(8, 8))
    train, test = ((rng(s).normal(size=(n, 8)) @ spread + 5).astype(np.float32) for s, n in ((2, 300), (3, 50)))
    pca, random = fit_controls(pool_of(train), 2.6, 12, None, seed=0)
    mean = train.mean(axis=0, dtype=np.float64)
    axes = np.linalg.svd(train - mean, full_matrices=False)[2][:3]
    np.testing.assert_allclose(pca.sae(test), mean + (test - mean) @ axes.T @ axes, atol=1e-3)
    assert (pca.name, dict(pca.about)) == (PCA, {"components": 3, "rows": 300})
    assert (random.name, dict(random.about)) == (RANDOM, {"k": 3, "width": 12, "rows": 300})
    assert (random.sae.encode(test) > 0).sum(axis=1).max() <= 3


def test_an_l0_above_the_width_of_the_data_is_no_error() -> None:
    pca, random = fit_controls(pool_of(rng().normal(size=(40, 6)).astype(np.float32)), 20.2, 32, None, seed=0)
    assert pca.about["components"] == 6
    assert random.sae.k == 20
    pca, random = fit_controls(pool_of(rng().normal(size=(40, 6)).astype(np.float32)), 0.1, 32, None, seed=0)
    assert (pca.about["components"], random.sae.k) == (1, 1)


def test_the_random_directions_are_not_trained() -> None:
    x = rng().normal(size=(200, 6)).astype(np.float32)
    same, again, other = (fit_controls(pool_of(x), 4, 16, None, seed)[1].sae for seed in (0, 0, 1))
    np.testing.assert_array_equal(same.decoder.numpy(), again.decoder.numpy())
    assert not np.allclose(same.decoder.numpy(), other.decoder.numpy())
    trained_elsewhere = fit_controls(pool_of(3 * x**2), 4, 16, None, 0)[1].sae
    np.testing.assert_allclose(trained_elsewhere.decoder.numpy(), same.decoder.numpy(), atol=1e-6)


def asked(labels: list[int], own: list[int] | None = None, shared: list[int] | None = None) -> Asked:
    n = len(labels)
    return Asked(
        np.eye(3, dtype=np.float32),
        np.array(labels),
        None if shared is None else np.array(shared),
        None if own is None else np.eye(3, dtype=np.float32),
        np.full(n, -1) if own is None else np.array(own),
        np.arange(n),
    )


def answers(classes: list[int], hits: list[int] | None = None) -> Answers:
    found = None if hits is None else np.repeat(np.array(hits, dtype=np.float64)[:, None], 3, axis=1)
    return Answers(np.array(classes), None, found)


def test_a_control_is_compared_with_clip_and_with_the_dictionary() -> None:
    truth = asked([0, 0, 1, 1], own=[0, 1, 2, 0])
    clip, control, sae = (
        answers([0, 0, 1, 1], [1, 1, 1, 0]),
        answers([0, 2, 2, 2], [1, 0, 0, 0]),
        answers([0, 0, 1, 2], [1, 1, 0, 0]),
    )
    quality = Quality(2, 4)
    x = np.array([[1, 0], [0, 1]], dtype=np.float32)
    quality.update(x, x, np.zeros((2, 1), dtype=np.int64), np.ones((2, 1), dtype=np.float32))
    found = compare_control(PCA, {"components": 1}, quality, clip, control, sae, truth, 200, rng())
    out = found.to_json()
    assert (out["name"], out["components"], out["l0"], out["r2"], out["n"]) == (PCA, 1, 1.0, 1.0, 4)
    assert (out["accuracy"], out["delta"], out["mcnemar_p"]) == (0.25, -0.75, 0.25)  # 3 lost, none gained: p = 2 / 2³
    assert (out["sae_ahead"], out["sae_ahead_mcnemar_p"]) == (0.5, 0.5)
    assert out["sae_ahead_ci_low"] <= 0.5 <= out["sae_ahead_ci_high"]
    assert (out["recall_10"], out["recall_10_delta"], out["recall_10_sae_ahead"], out["recall_n"]) == (0.25, -0.5, 0.25, 4)
    assert found.metrics() == {
        "r2_pca": 1.0,
        "accuracy_pca": 0.25,
        "recall_1_pca": 0.25,
        "recall_5_pca": 0.25,
        "recall_10_pca": 0.25,
    }
    mean = compare_control(MEAN, {}, None, clip, control, sae, truth, 200, rng())
    assert (mean.l0, mean.r2, mean.metrics()) == (0.0, 0.0, {})


def test_the_mean_answers_as_rows_that_are_all_the_mean() -> None:
    truth = asked([0, 2, 1, 0], own=[2, -1, 1, 1], shared=[2, 1])
    vector = np.array([0.1, 0.5, 0.7], dtype=np.float32)
    once, repeated = constant(vector, truth), answer(np.tile(vector, (4, 1)), truth, slice(0, 4))
    for name in ("classes", "shared", "hits"):
        np.testing.assert_array_equal(getattr(once, name), getattr(repeated, name))
    assert once.classes is not None
    assert once.classes.tolist() == [2, 2, 2, 2]


def test_shared_classes_are_classified_among_themselves() -> None:
    # Classes 2 and 0 are shared, in that order; row 1 is of class 1 and left out.
    truth = asked([0, 1, 2, 0], shared=[2, 0])
    x = np.array([[1, 5, 0.5], [0, 1, 0], [0, 9, 1], [0.2, 9, 1]], dtype=np.float32)
    found = answer(x, truth, slice(0, 4))
    whole = in_classes(found, found, truth, 100, rng())
    among = in_classes(found, found, truth, 100, rng(), shared=True)
    assert whole is not None
    assert among is not None
    assert whole.accuracy_clip == 0.25  # class 1 wins everywhere when it is there
    assert among.n == 3
    assert among.rows.tolist() == [0, 2, 3]
    assert among.labels.tolist() == [1, 0, 1]
    assert among.accuracy_clip == pytest.approx(2 / 3)


def test_nothing_asked_is_nothing_compared() -> None:
    truth = asked([-1, -1])
    found = answer(np.ones((2, 3), dtype=np.float32), truth, slice(0, 2))
    assert in_classes(found, found, truth, 100, rng()) is None
    assert in_captions(found, found, truth, 100, rng()) is None
