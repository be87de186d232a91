"""Dictionaries of every architecture, and where a row's codes stop being continuous."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sae_core.config import Architecture, BatchTopK, Gated, JumpRelu, Matryoshka, ReluL1, TopK
from sae_core.sae.architectures import SAE
from sae_core.sae.rules import shapes_of

Floats = NDArray[np.float32]
EVERY: tuple[Architecture, ...] = (
    TopK(k=3),
    ReluL1(),
    BatchTopK(k=3),
    Matryoshka(k=3, groups=(0.25, 0.25, 0.5)),
    JumpRelu(),
    Gated(),
)
FIXTURES = Path(__file__).parents[2] / "fixtures" / "peers"


def random_sae(
    architecture: Architecture, d: int, m: int, scale: float = 0.3, shift: float = 5.0, seed: int = 0, encoder: str | None = None
) -> SAE:
    """Random weights, and input scaling around a mean of about `shift`, so that forgetting any of it shows."""
    g = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes_of(architecture, d, m).items():
        noise = torch.randn(shape, generator=g)
        weights[name] = 0.3 * noise.abs() if name == "threshold" else noise if name.startswith("W") else 0.2 * noise
    return SAE(architecture, weights, shift * torch.randn(d, generator=g), scale, encoder)


def near(sae: SAE, n: int, seed: int = 1) -> Floats:
    """[n, d] raw embeddings whose scaled form has entries of about 1."""
    noise = np.random.default_rng(seed).normal(size=(n, sae.d)) / sae.scale
    return (noise + sae.mean.numpy()).astype(np.float32)


def margins(sae: SAE, x: Floats) -> NDArray[np.float64]:
    """[n]: how far each row's pre-activations are from where a code would jump, in float64; infinite for ReLU."""
    weights = {name: tensor.double() for name, tensor in sae.weights.items()}
    u = (torch.from_numpy(x).double() - sae.mean.double()) * sae.scale
    pre = u @ weights["W_enc"].T + weights.get("b_enc", torch.zeros(sae.m, dtype=torch.float64))
    match sae.architecture:
        case TopK(k=k):
            largest = pre.sort(1, descending=True).values
            gap = largest[:, k - 1] - largest[:, k] if k < sae.m else torch.full((len(x),), torch.inf)
            return gap.numpy()
        case Gated():
            return (pre + weights["b_gate"]).abs().amin(1).numpy()
        case ReluL1():
            return np.full(len(x), np.inf)
        case _:
            return (pre - weights["threshold"]).abs().amin(1).numpy()
