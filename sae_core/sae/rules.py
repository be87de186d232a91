"""Which pre-activations become codes: one small class for each architecture, the whole difference between them at inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sae_core.config import Architecture, BatchTopK, Gated, JumpRelu, KMeans, Matryoshka, Pca, Random, ReluL1, Splice, TopK
from sae_core.sae.codes import top_k

Weights = Mapping[str, Tensor]


class Rule(Protocol):
    """Which pre-activations become codes."""

    @property
    def k(self) -> int | None:
        """The most codes a row can have; None where the rule does not bound it."""

    def dense(self, pre: Tensor) -> Tensor:
        """Codes [n, m] of pre-activations [n, m]."""

    def sparse(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        """The same codes as indices int64 [n, k] and values [n, k], rows with fewer padded with value 0."""


@dataclass(frozen=True)
class TopKRule:
    """The k largest pre-activations of a row, as far as they are positive (Gao et al. 2024, arXiv:2406.04093)."""

    k: int

    def dense(self, pre: Tensor) -> Tensor:
        return _scattered(pre, *self.sparse(pre))

    def sparse(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        return top_k(pre, self.k)


@dataclass(frozen=True)
class ReluRule:
    """max(pre, 0). As many codes a row as are positive."""

    k: int | None = None

    def dense(self, pre: Tensor) -> Tensor:
        return pre.relu()

    def sparse(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        return _entries(self.dense(pre))


@dataclass(frozen=True)
class ThresholdRule:
    """Pre-activations above a threshold, one for all latents or one each; no row depends on another in its batch."""

    threshold: Tensor  # [] or [m], >= 0
    k: int | None = None

    def dense(self, pre: Tensor) -> Tensor:
        return torch.where(pre > self.threshold, pre, 0.0)

    def sparse(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        return _entries(self.dense(pre))


@dataclass(frozen=True)
class GatedRule:
    """1[h + b_gate > 0] · relu(h e^r_mag + b_mag) of h = u W_encᵀ (Rajamanoharan et al. 2024, arXiv:2404.16014)."""

    b_gate: Tensor  # [m]
    b_mag: Tensor  # [m]
    r_mag: Tensor  # [m]
    k: int | None = None

    def dense(self, pre: Tensor) -> Tensor:
        return torch.where(pre + self.b_gate > 0, (pre * self.r_mag.exp() + self.b_mag).relu(), 0.0)

    def sparse(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        return _entries(self.dense(pre))


@dataclass(frozen=True)
class OneHotRule:
    """1 at the largest pre-activation, the first of equal ones."""

    k: int = 1

    def dense(self, pre: Tensor) -> Tensor:
        return _scattered(pre, *self.sparse(pre))

    def sparse(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        indices = pre.argmax(1, keepdim=True)
        return indices, torch.ones_like(indices, dtype=pre.dtype)


def rule_of(architecture: Architecture, weights: Weights) -> Rule:
    """The rule of an architecture with given parameters (see `shapes_of`)."""
    match architecture:
        case TopK(k=k) | Random(k=k):
            return TopKRule(k)
        case ReluL1():
            return ReluRule()
        case Pca(components=components):
            return ReluRule(components)
        case BatchTopK() | Matryoshka() | JumpRelu():
            return ThresholdRule(weights["threshold"])
        case Gated():
            return GatedRule(weights["b_gate"], weights["b_mag"], weights["r_mag"])
        case KMeans():
            return OneHotRule()
        case Splice(k=k):
            from sae_core.sae.controls import SpliceRule

            return SpliceRule(k, weights["W_enc"])


def shapes_of(architecture: Architecture, d: int, m: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter of an architecture, in the order in which they are written."""
    ends: dict[str, tuple[int, ...]] = {"W_dec": (m, d), "b_dec": (d,)}
    match architecture:
        case Gated():
            return {"W_enc": (m, d), "b_gate": (m,), "b_mag": (m,), "r_mag": (m,), **ends}
        case BatchTopK() | Matryoshka():
            return {"W_enc": (m, d), "b_enc": (m,), **ends, "threshold": ()}
        case JumpRelu():
            return {"W_enc": (m, d), "b_enc": (m,), **ends, "threshold": (m,)}
        case _:
            return {"W_enc": (m, d), "b_enc": (m,), **ends}


def _scattered(pre: Tensor, indices: Tensor, values: Tensor) -> Tensor:
    return torch.zeros_like(pre).scatter(1, indices, values)


def _entries(z: Tensor) -> tuple[Tensor, Tensor]:
    """The positive entries of dense codes [n, m], row by row, padded to the longest row (one entry at least)."""
    fires = z > 0
    counts = fires.sum(1)
    row, latent = fires.nonzero(as_tuple=True)
    place = torch.arange(len(row), device=z.device) - (counts.cumsum(0) - counts)[row]
    shape = (len(z), max(int(counts.max()), 1) if len(z) else 1)
    indices = torch.zeros(shape, dtype=torch.int64, device=z.device)
    values = torch.zeros(shape, dtype=z.dtype, device=z.device)
    return indices.index_put((row, place), latent), values.index_put((row, place), z[fires])
