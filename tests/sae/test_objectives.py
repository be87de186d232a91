"""Closed-form gradients against autograd in float64, to the last digits, in the ordinary case and in the corners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sae_core.config import Architecture, BatchTopK, Gated, JumpRelu, Matryoshka, Random, ReluL1, TopK
from sae_core.sae.objectives import Objective, Outcome, base, objective_of, relu

Weights = dict[str, Tensor]
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def weights(d: int = 6, m: int = 16, seed: int = 0, bias: float = 0.0) -> Weights:
    g = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (m, d), "b_enc": (m,), "W_dec": (m, d), "b_dec": (d,)}
    made = {name: torch.randn(shape, generator=g, dtype=torch.float64) for name, shape in shapes.items()}
    made["b_enc"] = 0.1 * made["b_enc"] + bias
    return made


def of(architecture: Architecture, m: int = 16) -> Objective:
    return objective_of([architecture], m)


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
    assert float(found.losses) == pytest.approx(expected.item(), rel=1e-12)
    assert set(found.gradients) == set(w) - objective.frozen
    for name, gradient in found.gradients.items():
        reference = leaves[name].grad if leaves[name].grad is not None else torch.zeros_like(leaves[name])
        torch.testing.assert_close(gradient, reference, **CLOSE, msg=lambda text, name=name: f"{name}: {text}")
    # The next batch may use the same memory again.
    return replace(found, gradients={name: gradient.clone() for name, gradient in found.gradients.items()})


def sums_are_of(found: Outcome, z: Tensor, w: Weights, u: Tensor) -> None:
    """Assert that what the logs want is that of dense codes."""
    assert torch.equal(found.counts, (z > 0).sum(0))
    assert float(found.l1) == pytest.approx(z.sum().item(), rel=1e-12)
    assert float(found.squares) == pytest.approx((z @ w["W_dec"] + w["b_dec"] - u).square().sum().item(), rel=1e-12)


@pytest.fixture(params=[1 << 22, 24])
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with all rows in one chunk, once with the rows cut into chunks of one or two."""
    monkeypatch.setattr(base, "CHUNK", request.param)


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("k", [1, 3, 16])
@pytest.mark.parametrize("rows", [1, 2, 8])
def test_topk(k: int, rows: int) -> None:
    u, w = batch(rows), weights()
    found = compare(of(TopK(k=k)), lambda leaves: topk_loss(leaves, u, k), w, u)
    sums_are_of(found, select(u @ w["W_enc"].T + w["b_enc"], k), w, u)


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("aux_k", [1, 2, 50])
def test_auxk_moves_the_dead_and_only_them(aux_k: int) -> None:
    u, w, dead = batch(), weights(), torch.tensor([2, 5, 11])
    # Far below the others, so that these latents are never selected; the aux term alone moves them.
    w["b_enc"][dead] -= 50
    w["W_enc"][dead] *= 40
    objective = of(TopK(k=2, aux_k=aux_k, aux_coefficient=0.5))
    found = compare(objective, lambda leaves: topk_loss(leaves, u, 2, dead, aux_k, 0.5), w, u, dead)
    plain = objective(w, u)
    alive = [j for j in range(16) if j not in dead.tolist()]
    for name in ("W_enc", "b_enc", "W_dec"):
        torch.testing.assert_close(found.gradients[name][alive], plain.gradients[name][alive], **CLOSE)
    assert found.gradients["W_dec"][dead].abs().max() > 0


def test_auxk_defaults_to_half_the_width_of_the_input() -> None:
    u, w, dead = batch(), weights(), torch.arange(8)
    compare(of(TopK(k=2)), lambda leaves: topk_loss(leaves, u, 2, dead, 3, 1 / 32), w, u, dead)


def test_no_dead_latents_no_aux_term() -> None:
    u, w = batch(), weights()
    none = torch.empty(0, dtype=torch.int64)
    assert of(TopK(k=2))(w, u, none).losses == of(TopK(k=2))(w, u).losses


def test_when_nothing_fires_only_the_bias_learns() -> None:
    u, w = batch(), weights(bias=-100.0)
    found = compare(of(TopK(k=3)), lambda leaves: topk_loss(leaves, u, 3), w, u)
    assert found.counts.sum() == 0
    assert all(not found.gradients[name].any() for name in ("W_enc", "b_enc", "W_dec"))
    torch.testing.assert_close(found.gradients["b_dec"], 2 * (w["b_dec"] - u.mean(0)), **CLOSE)
    found = compare(of(ReluL1(l1=0.1)), lambda leaves: relu_loss(leaves, u, 0.1), w, u)
    assert found.l1 == 0


def test_ties_go_to_the_lowest_index() -> None:
    u, w = batch(), weights()
    for twin in range(4, 8):
        for name in ("W_enc", "b_enc", "W_dec"):
            w[name][twin] = w[name][4]
    found = compare(of(TopK(k=2)), lambda leaves: topk_loss(leaves, u, 2), w, u)
    fires = found.counts[4:8]
    assert fires[0] > 0
    assert fires[0] >= fires[1] >= fires[2] == fires[3] == 0


def test_constant_inputs_that_are_explained_exactly() -> None:
    u, w = torch.full((5, 6), 0.7, dtype=torch.float64), weights(bias=-100.0)
    w["b_dec"] = u[0].clone()
    found = compare(of(TopK(k=2)), lambda leaves: topk_loss(leaves, u, 2), w, u)
    assert found.losses == 0
    # The aux term divides by the error, which is zero: it must be left out, not be NaN.
    revived = of(TopK(k=2))(w, u, torch.arange(4))
    assert revived.losses == 0
    assert all(torch.isfinite(gradient).all() for gradient in revived.gradients.values())


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("bias", [0.0, -3.0])
@pytest.mark.parametrize("sparse_below", [0.0, 1.1])
@pytest.mark.parametrize("rows", [1, 8])
def test_relu_l1_by_products_and_by_gathers(bias: float, sparse_below: float, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relu, "SPARSE_BELOW", sparse_below)
    u, w = batch(rows), weights(bias=bias)
    found = compare(of(ReluL1(l1=0.02)), lambda leaves: relu_loss(leaves, u, 0.02), w, u)
    sums_are_of(found, (u @ w["W_enc"].T + w["b_enc"]).relu(), w, u)


def test_a_frozen_decoder_gets_no_gradient() -> None:
    u, w = batch(), weights()
    objective = of(ReluL1(l1=0.02, frozen_decoder=True))
    assert objective.frozen == {"W_dec"}
    compare(objective, lambda leaves: relu_loss(leaves, u, 0.02), w, u)


# ---------------------------------------------------------------- BatchTopK, Matryoshka


def select_batch(pre: Tensor, count: int) -> Tensor:
    """Dense codes with the `count` largest of the whole batch, row by row and latent by latent on ties; differentiable."""
    values, places = torch.sort(pre.flatten(), descending=True, stable=True)
    kept = torch.zeros(pre.numel(), dtype=pre.dtype).scatter(0, places[:count], values[:count].relu())
    return kept.view_as(pre)


def batch_loss(w: Weights, u: Tensor, k: int, groups: tuple[int, ...], dead: Tensor | None = None, alpha: float = 0.0) -> Tensor:
    pre = u @ w["W_enc"].T + w["b_enc"]
    z = select_batch(pre, k * len(u))
    errors = [z[:, :end] @ w["W_dec"][:end] + w["b_dec"] - u for end in groups]
    loss = torch.stack([error.square().sum() / len(u) for error in errors]).mean()
    if dead is not None:
        e = -errors[-1].detach()
        e_hat = select(pre[:, dead], min(3, len(dead))) @ w["W_dec"][dead]
        loss = loss + alpha * (e_hat - e).square().sum() / e.square().sum()
    return loss + 0 * w["threshold"]


BATCHED = [(BatchTopK(k=3), (16,)), (Matryoshka(k=3), (1, 4, 8, 16)), (Matryoshka(k=5, groups=(0.5, 0.5)), (8, 16))]


def threshold(w: Weights, value: float = 0.0) -> Weights:
    return {**w, "threshold": torch.tensor(value, dtype=torch.float64)}


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("rows", [1, 2, 8])
@pytest.mark.parametrize(("architecture", "ends"), BATCHED, ids=str)
def test_batch_topk(architecture: BatchTopK | Matryoshka, ends: tuple[int, ...], rows: int) -> None:
    u, w, k = batch(rows), threshold(weights()), architecture.k
    objective = of(architecture)
    for _ in range(2):  # the second time from the bound that the first has left behind
        found = compare(objective, lambda leaves: batch_loss(leaves, u, k, ends), w, u)
        z = select_batch(u @ w["W_enc"].T + w["b_enc"], k * rows)
        sums_are_of(found, z, w, u)
        assert float(found.buffers["threshold"]) == pytest.approx(float(z[z > 0].min()), rel=1e-12)
    further = objective(threshold(w, 1.0), u).buffers["threshold"]
    assert float(further) == pytest.approx(1.0 + (float(z[z > 0].min()) - 1.0) / 100)


@pytest.mark.parametrize(("architecture", "ends"), BATCHED, ids=str)
def test_batch_topk_where_less_is_positive_than_asked_for(architecture: BatchTopK | Matryoshka, ends: tuple[int, ...]) -> None:
    u, w = batch(), threshold(weights(bias=-3.0))
    found = compare(of(architecture), lambda leaves: batch_loss(leaves, u, architecture.k, ends), w, u)
    assert 0 < found.counts.sum() < 8 * architecture.k
    w = threshold(weights(bias=-100.0))
    found = compare(of(architecture), lambda leaves: batch_loss(leaves, u, architecture.k, ends), w, u)
    assert found.counts.sum() == 0
    assert float(found.buffers["threshold"]) == 0


@pytest.mark.parametrize(("architecture", "ends"), BATCHED, ids=str)
def test_batch_topk_takes_every_latent_when_k_is_all(architecture: BatchTopK | Matryoshka, ends: tuple[int, ...]) -> None:
    u, w = batch(), threshold(weights())
    whole = architecture.model_copy(update={"k": 16})
    found = compare(of(whole), lambda leaves: batch_loss(leaves, u, 16, ends), w, u)
    sums_are_of(found, (u @ w["W_enc"].T + w["b_enc"]).relu(), w, u)


def test_batch_topk_ties_go_to_the_first() -> None:
    # Whole numbers, so that many values are equal to the bit.
    u, w = batch().round(), {name: tensor.round() for name, tensor in threshold(weights()).items()}
    objective = of(BatchTopK(k=3))
    codes, cut = objective.screen.batch(w, u, [23])
    kept = torch.zeros(8, 16, dtype=torch.float64)
    kept[torch.repeat_interleave(codes.ptr.diff()), codes.latents] = codes.values
    assert torch.equal(kept, select_batch(u @ w["W_enc"].T + w["b_enc"], 23))
    assert float(cut) == kept[kept > 0].min()


@pytest.mark.parametrize(("architecture", "ends"), BATCHED, ids=str)
def test_auxk_of_the_batched(architecture: BatchTopK | Matryoshka, ends: tuple[int, ...]) -> None:
    u, w, dead = batch(), threshold(weights()), torch.tensor([2, 5, 11])
    w["b_enc"][dead] -= 50
    w["W_enc"][dead] *= 40
    aux = architecture.model_copy(update={"aux_k": 3, "aux_coefficient": 0.5})
    compare(of(aux), lambda leaves: batch_loss(leaves, u, aux.k, ends, dead, 0.5), w, u, dead)


def test_random_learns_all_but_its_directions() -> None:
    u, w = batch(), weights()
    objective = of(Random(k=3))
    assert objective.frozen == {"W_dec"}
    compare(objective, lambda leaves: topk_loss(leaves, u, 3), w, u)


# ---------------------------------------------------------------- several as one


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("kind", [TopK, BatchTopK, Matryoshka])
def test_members_trained_together_are_those_trained_alone(kind: type[TopK | BatchTopK | Matryoshka]) -> None:
    u, dead = batch(), torch.tensor([2, 5])
    members = [kind(k=k, aux_coefficient=alpha, aux_k=2) for k, alpha in ((2, 0.5), (5, 0.1), (1, 0.0))]
    apart = [threshold(weights(seed=s)) for s in range(3)]
    for w in apart:
        w["b_enc"][dead] -= 50
    together = {name: torch.stack([w[name] for w in apart]) for name in apart[0]}
    together = {name: tensor.view(-1, *tensor.shape[2:]) for name, tensor in together.items()}
    stacked = objective_of(members, 16)(together, u, torch.cat([dead + 16 * s for s in range(3)]))
    for s, (member, w) in enumerate(zip(members, apart, strict=True)):
        alone = of(member)(w, u, dead)
        for name, gradient in alone.gradients.items():
            size = len(stacked.gradients[name]) // 3
            torch.testing.assert_close(stacked.gradients[name][s * size : (s + 1) * size], gradient, **CLOSE)
        assert float(stacked.losses[s]) == pytest.approx(float(alone.losses), rel=1e-12)
        assert float(stacked.l1[s]) == pytest.approx(float(alone.l1), rel=1e-12)
        assert torch.equal(stacked.counts[s * 16 : (s + 1) * 16], alone.counts)
        for name, buffer in alone.buffers.items():
            assert float(stacked.buffers[name][s]) == pytest.approx(float(buffer), rel=1e-12)


# ---------------------------------------------------------------- JumpReLU, Gated


class _Step(torch.autograd.Function):
    """H(x - θ) whose gradient for θ is the kernel's, as in the paper's appendix; none for x."""

    @staticmethod
    def forward(ctx, x, theta, width):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x, theta)
        ctx.width = width
        return (x > theta).to(x)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        x, theta = ctx.saved_tensors
        kernel = ((x - theta).abs() < ctx.width / 2).to(x)
        return None, (-kernel / ctx.width * grad).sum(0), None


class _Jump(torch.autograd.Function):
    """x H(x - θ), with the kernel's gradient for θ and H for x."""

    @staticmethod
    def forward(ctx, x, theta, width):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x, theta)
        ctx.width = width
        return x * (x > theta)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        x, theta = ctx.saved_tensors
        kernel = ((x - theta).abs() < ctx.width / 2).to(x)
        return grad * (x > theta), (-theta * kernel / ctx.width * grad).sum(0), None


def jump_loss(w: Weights, u: Tensor, l0: float, c: float) -> Tensor:
    pre, width = u @ w["W_enc"].T + w["b_enc"], float(w["bandwidth"])
    z = _Jump.apply(pre, w["threshold"], width)
    fired = _Step.apply(pre, w["threshold"], width).sum() / len(u)
    error = (z @ w["W_dec"] + w["b_dec"] - u).square().sum() / len(u)
    return error + c * (fired / l0 - 1) ** 2 + 0 * w["bandwidth"]


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("height", [0.0, 1.0, 50.0])
@pytest.mark.parametrize("rows", [1, 8])
def test_jumprelu(height: float, rows: int) -> None:
    u, w = batch(rows), weights()
    w["threshold"] = height + torch.rand(16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    w["bandwidth"] = torch.tensor(0.8, dtype=torch.float64)
    objective = of(JumpRelu(l0=3, coefficient=0.7))
    found = compare(objective, lambda leaves: jump_loss(leaves, u, 3, 0.7), w, u)
    pre = u @ w["W_enc"].T + w["b_enc"]
    sums_are_of(found, pre * (pre > w["threshold"]), w, u)
    assert bool(found.counts.sum()) == (height < 50)
    if height == 1.0 and rows == 8:
        assert found.gradients["threshold"].abs().max() > 0


def gated_loss(w: Weights, u: Tensor) -> Tensor:
    h = u @ w["W_enc"].T
    opening = h + w["b_gate"]
    z = (opening > 0) * (h * w["r_mag"].exp() + w["b_mag"]).relu()
    error = (z @ w["W_dec"] + w["b_dec"] - u).square().sum()
    gate = opening.relu()
    missed = (gate @ w["W_dec"].detach() + w["b_dec"].detach() - u).square().sum()
    return (error + missed + w["l1"].detach() * gate.sum()) / len(u)


def gated_weights(bias: float) -> Weights:
    w = weights()
    g = torch.Generator().manual_seed(3)
    gate = w.pop("b_enc") + bias
    w["b_gate"], w["b_mag"] = gate, 0.5 * torch.randn(16, generator=g, dtype=torch.float64)
    w["r_mag"] = 0.3 * torch.randn(16, generator=g, dtype=torch.float64)
    w["l1"] = torch.tensor(0.2, dtype=torch.float64)
    return w


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("bias", [0.0, -2.0, -100.0])
@pytest.mark.parametrize("rows", [1, 8])
def test_gated(bias: float, rows: int) -> None:
    u, w = batch(rows), gated_weights(bias)
    found = compare(of(Gated(l1=0.2)), lambda leaves: gated_loss(leaves, u), w, u)
    h = u @ w["W_enc"].T
    sums_are_of(found, (h + w["b_gate"] > 0) * (h * w["r_mag"].exp() + w["b_mag"]).relu(), w, u)
    assert not found.buffers


def test_gated_penalty_grows_while_too_much_fires_and_shrinks_while_too_little() -> None:
    u, w = batch(), gated_weights(0.0)
    assert float(of(Gated(l0=1))(w, u).buffers["l1"]) == pytest.approx(0.2 * 2 ** (1 / 60))
    assert float(of(Gated(l0=1000))(w, u).buffers["l1"]) == pytest.approx(0.2 * 2 ** (-1 / 60))


def test_value_is_the_loss_without_the_revival() -> None:
    u, w = batch(), weights()
    jumping = {**w, "threshold": torch.full((16,), 0.5, dtype=torch.float64), "bandwidth": torch.tensor(0.1, dtype=torch.float64)}
    for architecture, given in ((TopK(k=3), w), (ReluL1(l1=0.02), w), (JumpRelu(l0=3), jumping)):
        objective = of(architecture)
        found = objective(given, u)
        value = objective.value(float(found.squares) / 8, float(found.l1) / 8, float(found.counts.sum()) / 8, u.shape[1])
        assert value == pytest.approx(float(found.losses), rel=1e-12)
