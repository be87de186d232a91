"""The stated rules, as stated."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sae_core.config import ReluL1, SaeConfig, TopK
from sae_core.sae import recipe
from sae_core.sae.batches import Arrays, Pool


def pool(x: np.ndarray) -> Pool:
    return Pool([(Arrays([x.astype(np.float32)]), np.arange(len(x)))], x.shape[1])


def embeddings(n: int = 60, d: int = 8) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, d)) * 3 + 10


@pytest.mark.parametrize(
    ("rows", "config", "batch", "steps"),
    [
        (800, SaeConfig(), 64, 1200),
        (50_000, SaeConfig(), 1024, math.ceil(40 * 50_000 / 1024)),
        (10_000_000, SaeConfig(), 1024, 20_000),
        (50_000, SaeConfig(epochs=5), 1024, math.ceil(5 * 50_000 / 1024)),
        (50_000, SaeConfig(epochs=0.001), 1024, 1),
        (50_000, SaeConfig(steps=7, batch_size=64), 64, 7),
        (3, SaeConfig(), 16, 1200),
    ],
)
def test_batch_and_steps(rows: int, config: SaeConfig, batch: int, steps: int) -> None:
    plan = recipe.plan(config, rows)
    assert (plan.batch, plan.steps) == (batch, steps)


def test_the_schedule_warms_up_holds_and_ends_near_zero() -> None:
    plan = recipe.plan(SaeConfig(steps=100, lr=0.5), 50_000)
    rates = np.array([plan.rate(step, "trapezoid") for step in range(100)])
    np.testing.assert_allclose(rates[:5], 0.5 * np.array([1, 2, 3, 4, 5]) / 5)
    assert (rates[5:80] == 0.5).all()
    np.testing.assert_allclose(rates[80:], 0.5 * np.arange(20, 0, -1) / 20)
    assert plan.rate(77, "constant") == 0.5


def test_a_given_rate_stands_and_the_rule_falls_with_width_and_steps() -> None:
    assert recipe.plan(SaeConfig(lr=0.123), 1000).lr == 0.123
    assert recipe.learning_rate(1024, 1200, 256) == pytest.approx(0.0043 * math.sqrt(256 / 1200))
    assert recipe.learning_rate(16 * 1024, 1200, 256) == pytest.approx(recipe.learning_rate(1024, 1200, 256) / 2)
    assert recipe.learning_rate(1024, 1200, 64) == pytest.approx(recipe.learning_rate(1024, 1200, 256) / 2)
    assert recipe.learning_rate(64, 1, 256) == 1e-2


def test_scaled_rows_have_mean_zero_and_mean_square_norm_one() -> None:
    x = embeddings()
    mean, scale = recipe.scaling(pool(x), "mean_square")
    u = (x.astype(np.float32).astype(float) - mean.numpy()) * scale
    np.testing.assert_allclose(u.mean(0), 0, atol=1e-6)
    assert (u**2).sum(1).mean() == pytest.approx(1, rel=1e-6)
    mean, scale = recipe.scaling(pool(x), "none")
    assert (float(mean.abs().max()), scale) == (0, 1)


def test_equal_rows_have_scale_one() -> None:
    mean, scale = recipe.scaling(pool(np.full((9, 3), 1e4 / 3)), "mean_square")
    assert scale == 1
    np.testing.assert_allclose(mean.numpy(), 1e4 / 3, rtol=1e-6)


@pytest.mark.parametrize("width", [20, 200])
@pytest.mark.parametrize("scaling", ["mean_square", "none"])
def test_first_latents_are_unit_data_rows_tied_and_about_the_mean(width: int, scaling: str) -> None:
    x = embeddings()
    config = SaeConfig(width=width, scaling=scaling, architecture=TopK(k=2))
    mean, scale = recipe.scaling(pool(x), scaling)
    w = recipe.first_weights(config, pool(x), mean, scale)
    assert w["W_enc"].data_ptr() != w["W_dec"].data_ptr()
    factor = float(w["W_enc"][0].norm())
    torch.testing.assert_close(w["W_enc"], factor * w["W_dec"])
    torch.testing.assert_close(w["W_dec"].norm(dim=1), torch.ones(width))
    # Its own row is within the turn of every data latent, and no two latents start from one row.
    directions = (x - x.mean(0)) / np.linalg.norm(x - x.mean(0), axis=1, keepdims=True)
    near = w["W_dec"][: min(width, 60)].numpy() @ directions.T
    assert near.max(1).min() > 0.99
    assert len(set(near.argmax(1))) == min(width, 60)
    # Nothing is known yet, so the reconstruction of the empty code is the mean, and the mean has no pre-activation.
    np.testing.assert_allclose(w["b_dec"].numpy() / scale + mean.numpy(), x.mean(0), rtol=1e-5)
    at_mean = (torch.from_numpy(x.mean(0)).float() - mean) * scale @ w["W_enc"].T + w["b_enc"]
    np.testing.assert_allclose(at_mean.numpy(), 0, atol=1e-4)


def test_the_encoder_begins_at_the_length_that_reconstructs_best() -> None:
    x = embeddings()
    config = SaeConfig(width=40, architecture=TopK(k=4))
    mean, scale = recipe.scaling(pool(x), "mean_square")
    w = recipe.first_weights(config, pool(x), mean, scale)
    u = (torch.from_numpy(x).float() - mean) * scale

    def loss(factor: float) -> float:
        z = (factor * (u @ w["W_enc"].T)).relu()
        chosen = z.topk(4, dim=1)
        top = torch.zeros_like(z).scatter(1, chosen.indices, chosen.values)
        return float((u - top @ w["W_dec"]).square().sum())

    assert loss(1.0) <= min(loss(0.9), loss(1.1), loss(0.5), loss(2.0))


def test_equal_rows_make_different_latents() -> None:
    x = np.concatenate([np.repeat(embeddings(1), 10, axis=0), embeddings(10)])
    mean, scale = recipe.scaling(pool(x), "mean_square")
    w = recipe.first_weights(SaeConfig(width=20, architecture=TopK(k=2)), pool(x), mean, scale)["W_dec"]
    assert torch.unique(w, dim=0).shape[0] == 20
    constant = pool(np.ones((9, 3)))
    w = recipe.first_weights(SaeConfig(width=4, architecture=TopK(k=2)), constant, *recipe.scaling(constant, "mean_square"))[
        "W_dec"
    ]
    torch.testing.assert_close(w.norm(dim=1), torch.ones(4))


@pytest.mark.parametrize("renormalise", [True, False])
def test_the_seed_projects_first_weights_are_those_of_linear_layers(renormalise: bool) -> None:
    config = SaeConfig(width=500, init="seed_project", architecture=ReluL1(renormalise_decoder=renormalise))
    w = recipe.first_weights(config, pool(embeddings()), torch.zeros(8), 1.0)
    bound = 1 / math.sqrt(8)
    for name in ("W_enc", "b_enc"):
        assert w[name].abs().max() <= bound
        assert w[name].abs().max() > 0.95 * bound
    lengths = w["W_dec"].norm(dim=1)
    assert (lengths.std() < 1e-6) == renormalise
    assert w["b_dec"].abs().max() <= 1 / math.sqrt(500)


def test_few_rows_are_warned_of() -> None:
    assert recipe.width_advice(1024, 4096) == ""
    assert "721 training rows are few for 1,024 latents" in recipe.width_advice(1024, 721)
    assert "About 512 latents" in recipe.width_advice(1024, 721)
