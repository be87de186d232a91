"""A small dictionary written out by hand, so that steering is tested against arithmetic and not against the package's own SAE."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sae_core import pipeline
from sae_core.store import Store
from tests.steer.planted import config_for, plant


@dataclass(frozen=True)
class HandSae:
    """z = TopK(relu(E p(x))), x_hat = p^-1(z D), with p(x) = (x - mean) * scale."""

    e: NDArray[np.float32]
    dictionary: NDArray[np.float32]
    mean: NDArray[np.float32]
    scale: float
    k: int
    encoder_id: str = "ViT-B-32/openai"
    sha256: str = "ab" * 32

    @property
    def d(self) -> int:
        return self.e.shape[1]

    @property
    def m(self) -> int:
        return self.e.shape[0]

    @property
    def decoder_raw(self) -> NDArray[np.float32]:
        return self.dictionary / np.float32(self.scale)

    def p(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return (x - self.mean) * np.float32(self.scale)

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        z = np.maximum(self.p(x) @ self.e.T, 0)
        least = np.sort(z, axis=1)[:, -self.k][:, None]
        return np.where(z >= least, z, 0).astype(np.float32)

    def decode(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        return (z @ self.dictionary / np.float32(self.scale) + self.mean).astype(np.float32)

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.decode(self.encode(x))


def make_sae(d: int, m: int, k: int) -> HandSae:
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((m, d)).astype(np.float32)
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    return HandSae(dictionary.copy(), dictionary, rng.standard_normal(d).astype(np.float32), 0.25, k)


@pytest.fixture
def sae() -> HandSae:
    return make_sae(16, 40, 6)


@pytest.fixture
def wide_sae() -> HandSae:
    return make_sae(128, 200, 12)


@pytest.fixture
def x() -> NDArray[np.float32]:
    return (np.random.default_rng(1).standard_normal((50, 16)) * 4).astype(np.float32)


@pytest.fixture
def maxima(sae: HandSae, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return sae.encode(x).max(axis=0)


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store, pipeline.Run]:
    """The data's folder, the store, and a run over them up to `steer`."""
    root = tmp_path_factory.mktemp("steer")
    plant(root / "data")
    store = Store(root / "cache")
    return root / "data", store, pipeline.run("steer", config_for(root / "data"), store)
