"""Small dictionaries and embeddings with known structure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.config import Architecture, TopK
from sae_core.sae.architectures import SAE
from sae_core.sae.rules import shapes_of

Floats = NDArray[np.float32]
TOP_4 = TopK(k=4)


@pytest.fixture
def make_sae() -> Callable[..., SAE]:
    """Makes a dictionary of random weights, with input scaling so that forgetting it shows."""

    def make(architecture: Architecture = TOP_4, d: int = 6, m: int = 20, seed: int = 0, encoder: str | None = None) -> SAE:
        g = torch.Generator().manual_seed(seed)
        weights = {}
        for name, shape in shapes_of(architecture, d, m).items():
            noise = torch.randn(shape, generator=g)
            weights[name] = noise.abs() if name == "threshold" else noise if name.startswith(("W", "b_dec")) else 0.1 * noise
        return SAE(architecture, weights, mean=5 * torch.randn(d, generator=g), scale=0.3, encoder_id=encoder)

    return make


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Equal bits are promised for equal numbers of threads, so they are fixed here, in the child process too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def sparse_world() -> Callable[..., tuple[Floats, Tensor]]:
    """Makes embeddings that are sums of a few of `features` true directions, and those directions."""

    def make(n: int = 4000, d: int = 32, features: int = 64, active: int = 3, seed: int = 5) -> tuple[Floats, Tensor]:
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=(features, d))
        truth /= np.linalg.norm(truth, axis=1, keepdims=True)
        chosen = np.argsort(rng.random((n, features)), axis=1)[:, :active]
        x = np.einsum("nk,nkd->nd", rng.uniform(0.5, 1.5, (n, active)), truth[chosen]) + 3.0
        return x.astype(np.float32), torch.from_numpy(truth).float()

    return make
