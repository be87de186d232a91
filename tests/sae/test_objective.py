"""Closed-form gradients against autograd in float64, to the last digits, in the ordinary case and in the corners."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sae_core.config import ReluL1, TopK
from sae_core.sae import objective as module
from sae_core.sae.objective import Objective, Outcome, objective_of

Weights = dict[str, Tensor]
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def weights(d: int = 6, m: int = 16, seed: int = 0, bias: float = 0.0) -> Weights:
    g = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (m, d), "b_enc": (m,), "W_dec": (m, d), "b_dec": (d,)}
    made = {name: torch.randn(shape, generator=g, dtype=torch.float64) for name, shape in shapes.items()}
    made["b_enc"] = 0.1 * made["b_enc"] + bias
    return made


def batch(rows: int = 8, d: int = 6, seed: int = 9) -> Tensor:
    return torch.randn(rows, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def select(pre: Tensor, k: int) -> Tensor:
    """Dense codes with the k largest, lowest index first on ties: a stable sort, and differentiable."""
    values, indices = torch.sort(pre, dim=1, descending=True, stable=True)
    return torch.zeros_like(pre).scatter(1, indices[:, :k], values[:, :k].relu())


def topk_loss(w: Weights, u: Tensor, k: int, dead: Tensor | None = None, aux_k: int = 0, alpha: float = 0.0) -> Tensor:
    pre = u @ w["W_enc"].T + w["b_enc"]
    u_hat = select(pre, k) @ w["W_dec"] + w["b_dec"]
    loss = (u_hat - u).square().sum() / len(u)
    if dead is not None and len(dead):
        e = (u - u_hat).detach()
        e_hat = select(pre[:, dead], min(aux_k, len(dead))) @ w["W_dec"][dead]
        loss = loss + alpha * (e_hat - e).square().sum() / e.square().sum()
    return loss


def relu_loss(w: Weights, u: Tensor, l1: float) -> Tensor:
    z = (u @ w["W_enc"].T + w["b_enc"]).relu()
    return (z @ w["W_dec"] + w["b_dec"] - u).square().mean() + l1 * z.sum(1).mean()


def compare(
    objective: Objective, loss: Callable[[Weights], Tensor], w: Weights, u: Tensor, dead: Tensor | None = None
) -> Outcome:
    """Assert that loss and gradients are autograd's."""
    found = objective(w, u, dead)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in w.items()}
    expected = loss(leaves)
    expected.backward()
    assert found.loss == pytest.approx(expected.item(), rel=1e-12)
    assert set(found.gradients) == set(w) - objective.frozen
    for name, gradient in found.gradients.items():
        reference = leaves[name].grad if leaves[name].grad is not None else torch.zeros_like(leaves[name])
        torch.testing.assert_close(gradient, reference, **CLOSE, msg=lambda text, name=name: f"{name}: {text}")
    return found


@pytest.fixture(params=[1 << 22, 24])
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with all rows in one chunk, once with the rows cut into chunks of one or two."""
    monkeypatch.setattr(module, "CHUNK", request.param)


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("k", [1, 3, 16])
@pytest.mark.parametrize("rows", [1, 2, 8])
def test_topk(k: int, rows: int) -> None:
    u, w = batch(rows), weights()
    found = compare(objective_of(TopK(k=k)), lambda leaves: topk_loss(leaves, u, k), w, u)
    z = select(u @ w["W_enc"].T + w["b_enc"], k)
    assert torch.equal(found.counts, (z > 0).sum(0))
    assert found.l1 == pytest.approx(z.sum(1).mean().item())
    torch.testing.assert_close(found.u_hat, z @ w["W_dec"] + w["b_dec"], **CLOSE)


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("aux_k", [1, 2, 50])
def test_auxk_moves_the_dead_and_only_them(aux_k: int) -> None:
    u, w, dead = batch(), weights(), torch.tensor([2, 5, 11])
    # Far below the others, so that these latents are never selected; the aux term alone moves them.
    w["b_enc"][dead] -= 50
    w["W_enc"][dead] *= 40
    objective = objective_of(TopK(k=2, aux_k=aux_k, aux_coefficient=0.5))
    found = compare(objective, lambda leaves: topk_loss(leaves, u, 2, dead, aux_k, 0.5), w, u, dead)
    plain = objective(w, u)
    alive = [j for j in range(16) if j not in dead.tolist()]
    for name in ("W_enc", "b_enc", "W_dec"):
        torch.testing.assert_close(found.gradients[name][alive], plain.gradients[name][alive], **CLOSE)
    assert found.gradients["W_dec"][dead].abs().max() > 0


def test_auxk_defaults_to_half_the_width_of_the_input() -> None:
    u, w, dead = batch(), weights(), torch.arange(8)
    compare(objective_of(TopK(k=2)), lambda leaves: topk_loss(leaves, u, 2, dead, 3, 1 / 32), w, u, dead)


def test_no_dead_latents_no_aux_term() -> None:
    u, w = batch(), weights()
    none = torch.empty(0, dtype=torch.int64)
    assert objective_of(TopK(k=2))(w, u, none).loss == objective_of(TopK(k=2))(w, u).loss


def test_when_nothing_fires_only_the_bias_learns() -> None:
    u, w = batch(), weights(bias=-100.0)
    found = compare(objective_of(TopK(k=3)), lambda leaves: topk_loss(leaves, u, 3), w, u)
    assert found.counts.sum() == 0
    assert all(not found.gradients[name].any() for name in ("W_enc", "b_enc", "W_dec"))
    torch.testing.assert_close(found.gradients["b_dec"], 2 * (w["b_dec"] - u.mean(0)), **CLOSE)
    found = compare(objective_of(ReluL1(l1=0.1)), lambda leaves: relu_loss(leaves, u, 0.1), w, u)
    assert found.l1 == 0


def test_ties_go_to_the_lowest_index() -> None:
    u, w = batch(), weights()
    for twin in range(4, 8):
        for name in ("W_enc", "b_enc", "W_dec"):
            w[name][twin] = w[name][4]
    found = compare(objective_of(TopK(k=2)), lambda leaves: topk_loss(leaves, u, 2), w, u)
    fires = found.counts[4:8]
    assert fires[0] > 0
    assert fires[0] >= fires[1] >= fires[2] == fires[3] == 0


def test_constant_inputs_that_are_explained_exactly() -> None:
    u, w = torch.full((5, 6), 0.7, dtype=torch.float64), weights(bias=-100.0)
    w["b_dec"] = u[0].clone()
    found = compare(objective_of(TopK(k=2)), lambda leaves: topk_loss(leaves, u, 2), w, u)
    assert found.loss == 0
    # The aux term divides by the error, which is zero: it must be left out, not be NaN.
    revived = objective_of(TopK(k=2))(w, u, torch.arange(4))
    assert revived.loss == 0
    assert all(torch.isfinite(gradient).all() for gradient in revived.gradients.values())


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("bias", [0.0, -3.0])
@pytest.mark.parametrize("sparse_below", [0.0, 1.1])
@pytest.mark.parametrize("rows", [1, 8])
def test_relu_l1_by_products_and_by_gathers(bias: float, sparse_below: float, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPARSE_BELOW", sparse_below)
    u, w = batch(rows), weights(bias=bias)
    found = compare(objective_of(ReluL1(l1=0.02)), lambda leaves: relu_loss(leaves, u, 0.02), w, u)
    z = (u @ w["W_enc"].T + w["b_enc"]).relu()
    assert torch.equal(found.counts, (z > 0).sum(0))
    assert found.l1 == pytest.approx(z.sum(1).mean().item())


def test_a_frozen_decoder_gets_no_gradient() -> None:
    u, w = batch(), weights()
    objective = objective_of(ReluL1(l1=0.02, frozen_decoder=True))
    assert objective.frozen == {"W_dec"}
    compare(objective, lambda leaves: relu_loss(leaves, u, 0.02), w, u)


def test_value_is_the_loss_without_the_revival() -> None:
    u, w = batch(), weights()
    for architecture in (TopK(k=3), ReluL1(l1=0.02)):
        objective = objective_of(architecture)
        found = objective(w, u)
        squares = (found.u_hat - u).square().sum().item() / len(u)
        assert objective.value(squares, found.l1, u.shape[1]) == pytest.approx(found.loss, rel=1e-12)
