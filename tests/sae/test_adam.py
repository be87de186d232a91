"""The functional Adam against torch's optimisers, step by step."""

from __future__ import annotations

import pytest
import torch

from sae_core.sae.adam import Adam


def tensors(seed: int) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {"a": torch.randn(5, 3, generator=g), "b": torch.randn(7, generator=g)}


@pytest.mark.parametrize("clip", [None, 0.5, 1e9])
@pytest.mark.parametrize(("decay", "kind"), [(0.0, torch.optim.Adam), (0.1, torch.optim.Adam), (0.1, torch.optim.AdamW)])
def test_it_is_torchs(decay: float, kind: type[torch.optim.Optimizer], clip: float | None) -> None:
    ours, theirs = tensors(0), [torch.nn.Parameter(tensor) for tensor in tensors(0).values()]
    mine = Adam(ours, decay, decoupled=kind is torch.optim.AdamW)
    reference = kind(theirs, lr=0.1, weight_decay=decay)
    for step in range(5):
        rate = 0.1 / (step + 1)
        gradients = tensors(step + 1)
        for parameter, gradient in zip(theirs, gradients.values(), strict=True):
            parameter.grad = gradient.clone()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(theirs, clip)
        reference.param_groups[0]["lr"] = rate
        reference.step()
        mine.step(gradients, rate, clip)
        for name, parameter in zip(ours, theirs, strict=True):
            torch.testing.assert_close(ours[name], parameter.detach(), rtol=1e-5, atol=1e-6)


def test_a_restored_state_goes_on_to_the_same_bits() -> None:
    whole, parted = tensors(0), tensors(0)
    one, two = Adam(whole, 0.01, True), Adam(parted, 0.01, True)
    for step in range(6):
        one.step(tensors(step + 1), 0.1)
        if step == 3:
            saved = {name: tensor.clone() for name, tensor in two.state().items()}
            two = Adam(parted, 0.01, True)
            two.restore(saved)
        two.step(tensors(step + 1), 0.1)
    assert all(torch.equal(whole[name], parted[name]) for name in whole)
