"""The metrics against their definitions written out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_core.errors import InputError
from sae_core.sae.quality import Quality


def filled(x, x_hat, indices, values, m, cuts=()):
    quality = Quality(x.shape[1], m)
    for rows in np.split(np.arange(len(x)), cuts):
        quality.update(x[rows], x_hat[rows], indices[rows], values[rows])
    return quality


def example(n=50, d=5, m=12, k=3, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) + offset
    x_hat = x + 0.3 * rng.normal(size=(n, d))
    indices = np.argsort(rng.random((n, m)), axis=1)[:, :k]
    values = np.maximum(rng.normal(size=(n, k)), 0)
    return x, x_hat, indices, values


def test_every_metric_is_its_definition() -> None:
    x, x_hat, indices, values = example()
    z = np.zeros((50, 12))
    np.put_along_axis(z, indices, values, axis=1)
    error = ((x - x_hat) ** 2).sum()
    rates = (z > 0).mean(0)
    cosine = (x * x_hat).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(x_hat, axis=1)
    expected = {
        "l0": (z > 0).sum(1).mean(),
        "r2": 1 - error / ((x - x.mean(0)) ** 2).sum(),
        "r2_uncentred": 1 - error / (x**2).sum(),
        "cosine": cosine.mean(),
        "dead_fraction": (rates == 0).mean(),
        "dense_fraction": (rates > 0.1).mean(),
    }
    quality = filled(x, x_hat, indices, values, 12)
    assert quality.metrics() == pytest.approx(expected, rel=1e-12)
    assert quality.squared_error == pytest.approx(((x - x_hat) ** 2).mean(), rel=1e-12)
    assert quality.l1 == pytest.approx(z.sum(1).mean(), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=4), st.integers(0, 1000))
def test_how_rows_are_cut_into_batches_changes_nothing(cuts: list[int], seed: int) -> None:
    parts = example(seed=seed)
    whole, cut = filled(*parts, 12), filled(*parts, 12, sorted(cuts))
    assert cut.metrics() == pytest.approx(whole.metrics(), rel=1e-11)


def test_a_large_offset_costs_no_digits() -> None:
    x, x_hat, indices, values = example()
    near, far = filled(x, x_hat, indices, values, 12), filled(x + 1e6, x_hat + 1e6, indices, values, 12)
    assert far.metrics()["r2"] == pytest.approx(near.metrics()["r2"], abs=1e-8)


def test_torch_and_numpy_give_the_same() -> None:
    parts = example()
    tensors = [torch.from_numpy(part) for part in parts]
    quality = Quality(5, 12)
    quality.update(*tensors)
    assert quality.metrics() == filled(*parts, 12).metrics()


@pytest.mark.parametrize(("estimate", "r2"), [(7.0, 1.0), (6.0, 0.0)])
def test_equal_rows_have_r2_one_only_when_exact(estimate: float, r2: float) -> None:
    x = np.full((9, 4), 7.0)
    quality = filled(x, np.full((9, 4), estimate), np.zeros((9, 1), dtype=int), np.ones((9, 1)), 3)
    assert quality.metrics()["r2"] == r2


def test_a_zero_reconstruction_has_cosine_zero() -> None:
    quality = filled(np.ones((2, 3)), np.zeros((2, 3)), np.zeros((2, 1), dtype=int), np.zeros((2, 1)), 3)
    found = quality.metrics()
    assert found["cosine"] == 0.0
    assert found["l0"] == 0.0
    assert found["dead_fraction"] == 1.0


def test_no_rows_is_an_error() -> None:
    with pytest.raises(InputError, match="no rows"):
        Quality(3, 4).metrics()
