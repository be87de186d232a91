"""What training minimises, and its gradient in closed form over the active codes. The tests hold it against autograd.

With a batch u [B, d] of scaled rows, codes z of it, û = z W_dec + b_dec and G = dL/dû:

    dL/dW_dec = zᵀ G          dL/db_dec = Σ_i G_i
    dL/dz_ij  = <G_i, W_dec_j>  where z_ij > 0, and 0 elsewhere: a selected pre-activation is its code
    dL/dW_enc = (dL/dz)ᵀ u    dL/db_enc = Σ_i dL/dz_i

so that a step of TopK costs one GEMM (the pre-activations, in row chunks of a reused buffer) and gathers over B k entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sae_core.config import Architecture, ReluL1, TopK
from sae_core.sae.codes import Codes, top_k

CHUNK = 1 << 22
"""Pre-activations held at a time (16 MiB of float32); the buffer is reused, since fresh pages cost more than the arithmetic."""
SPARSE_BELOW = 0.15
"""Share of firing latents below which ReLU+L1's gradients are gathered, not multiplied (break-even for B 64 to 512)."""

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Outcome:
    """What one batch gave: the gradients by parameter, and what the logs want."""

    gradients: dict[str, Tensor]
    loss: float
    u_hat: Tensor  # [B, d], scaled
    counts: Tensor  # int64 [m]: on how many rows each latent fired
    l1: float  # mean over rows of Σ_j z_ij, scaled


class Objective(Protocol):
    """A loss with its gradient."""

    frozen: frozenset[str]
    """Parameters that are not trained; no gradient is returned for them."""

    def value(self, squares: float, l1: float, d: int) -> float:
        """The loss, without terms that only revive latents, of rows with mean ‖û - u‖² = squares and mean Σ_j z_ij = l1."""

    def __call__(self, weights: Weights, u: Tensor, dead: Tensor | None = None) -> Outcome:
        """Loss and gradients of a batch.

        Args:
            weights: the parameters by name, see `architectures.shapes_of`.
            u: [B, d] scaled rows.
            dead: int64 latents that have not fired for long, for objectives that revive them.
        """


def objective_of(architecture: Architecture) -> Objective:
    """The objective of an architecture."""
    match architecture:
        case TopK():
            return TopKObjective(architecture)
        case ReluL1():
            return ReluL1Objective(architecture)


class _Buffer:
    """One block of memory, handed out again and again."""

    def __init__(self) -> None:
        self._held: Tensor | None = None

    def take(self, rows: int, columns: int, like: Tensor) -> Tensor:
        held = self._held
        if held is None or held.numel() < rows * columns or held.dtype != like.dtype or held.device != like.device:
            held = self._held = like.new_empty(rows * columns)
        return held[: rows * columns].view(rows, columns)


def code_gradients(weights: Weights, codes: Codes, g: Tensor, u: Tensor) -> dict[str, Tensor]:
    """Gradients of W_enc, b_enc and W_dec from the codes' side, given g = dL/dû.

    Args:
        weights: the parameters.
        codes: of B rows; entries with value 0 pass no gradient on (the ReLU after the selection).
        g: [B, d].
        u: [B, d], the scaled rows that were encoded.
    """
    dz = codes.with_values(codes.products(g, weights["W_dec"]) * (codes.values > 0))
    return {"W_enc": dz.transposed(u), "b_enc": dz.sums(), "W_dec": codes.transposed(g)}


class TopKObjective:
    """TopK with AuxK (Gao et al. 2024, arXiv:2406.04093):

        L = (1/B) Σ_i ‖û_i - u_i‖²  +  α Σ_i ‖ê_i - e_i‖² / Σ_i ‖e_i‖²

    e = u - û is the error (held constant), ê its reconstruction by the `aux_k` largest positive pre-activations among dead
    latents. As rows have mean square norm 1 the first term is the share of it that is not explained. dictionary_learning sums
    over dimensions as we do; sae-lens' MSE does too; OpenAI's code divides by the batch's own variance.
    """

    frozen: frozenset[str] = frozenset()

    def __init__(self, architecture: TopK) -> None:
        self._k = architecture.k
        self._aux_k = architecture.aux_k
        self._alpha = architecture.aux_coefficient
        self._buffer = _Buffer()

    def value(self, squares: float, l1: float, d: int) -> float:
        return squares

    def __call__(self, weights: Weights, u: Tensor, dead: Tensor | None = None) -> Outcome:
        rows, d = u.shape
        # Gao et al. take half the input's width, which is enough to span most of an error.
        aux_k = 0 if dead is None or self._alpha == 0 else min(d // 2 if self._aux_k is None else self._aux_k, len(dead))
        codes, revived = self._select(weights, u, dead if aux_k else None, aux_k)
        u_hat = codes.decode(weights["W_dec"]) + weights["b_dec"]
        error = u_hat - u
        squares = float(error.square().sum())
        l1 = float(codes.values.sum()) / rows
        loss = self.value(squares / rows, l1, d)
        g = error * (2.0 / rows)
        gradients = code_gradients(weights, codes, g, u)
        gradients["b_dec"] = g.sum(0)
        if revived is not None and squares > 0:
            miss = revived.decode(weights["W_dec"]) + error  # ê - e
            loss += self._alpha * float(miss.square().sum()) / squares
            # Dead and alive latents are disjoint, so the two terms never touch the same row of a matrix.
            for name, more in code_gradients(weights, revived, miss * (2.0 * self._alpha / squares), u).items():
                gradients[name] += more
        return Outcome(gradients, loss, u_hat, codes.counts(), l1)

    def _select(self, weights: Weights, u: Tensor, dead: Tensor | None, aux_k: int) -> tuple[Codes, Codes | None]:
        m = len(weights["b_enc"])
        step = max(1, CHUNK // m)
        chosen: list[tuple[Tensor, Tensor]] = []
        revived: list[tuple[Tensor, Tensor]] = []
        for start in range(0, len(u), step):
            part = u[start : start + step]
            pre = self._buffer.take(len(part), m, u)
            torch.addmm(weights["b_enc"], part, weights["W_enc"].T, out=pre)
            chosen.append(top_k(pre, self._k))
            if dead is not None:
                indices, values = top_k(pre[:, dead], aux_k)
                revived.append((dead[indices], values))
        return _joined(chosen, m), _joined(revived, m) if revived else None


def _joined(parts: list[tuple[Tensor, Tensor]], m: int) -> Codes:
    return Codes.padded(torch.cat([indices for indices, _ in parts]), torch.cat([values for _, values in parts]), m)


class ReluL1Objective:
    """ReLU codes with an L1 penalty, as the seed project trains them:

        L = mean over elements of (û - u)²  +  λ · mean over rows of Σ_j z_ij

    The published numbers fix the convention: on raw CLIP ViT-B/32 embeddings with a frozen random decoder this one gives an
    L0 in the hundreds of 8192 (theirs: 474), while a mean over latents instead of the sum leaves 2,600 of them firing.
    """

    def __init__(self, architecture: ReluL1) -> None:
        self.frozen = frozenset({"W_dec"}) if architecture.frozen_decoder else frozenset()
        self._l1 = architecture.l1
        self._codes, self._signs = _Buffer(), _Buffer()

    def value(self, squares: float, l1: float, d: int) -> float:
        return squares / d + self._l1 * l1

    def __call__(self, weights: Weights, u: Tensor, dead: Tensor | None = None) -> Outcome:
        rows, d = u.shape
        m = len(weights["b_enc"])
        step = max(1, CHUNK // m)
        parts = [self._chunk(weights, u[start : start + step], rows) for start in range(0, rows, step)]
        gradients = parts[0].gradients
        for part in parts[1:]:
            for name, more in part.gradients.items():
                gradients[name] += more
        u_hat = torch.cat([part.u_hat for part in parts])
        l1 = sum(part.l1 for part in parts)
        loss = self.value(float((u_hat - u).square().sum()) / rows, l1, d)
        return Outcome(gradients, loss, u_hat, sum((part.counts for part in parts), torch.zeros_like(parts[0].counts)), l1)

    def _chunk(self, weights: Weights, u: Tensor, rows: int) -> Outcome:
        z = self._codes.take(len(u), len(weights["b_enc"]), u)
        torch.addmm(weights["b_enc"], u, weights["W_enc"].T, out=z).relu_()
        counts = (z > 0).sum(0)
        if int(counts.sum()) < SPARSE_BELOW * z.numel():
            u_hat, gradients = self._gathered(weights, u, Codes.dense(z), rows)
        else:
            u_hat, gradients = self._multiplied(weights, u, z, rows)
        return Outcome(gradients, 0.0, u_hat, counts, float(z.sum()) / rows)

    def _multiplied(self, weights: Weights, u: Tensor, z: Tensor, rows: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Five GEMMs over the whole chunk: faster while a good part of the latents fires, as at the start."""
        u_hat = torch.addmm(weights["b_dec"], z, weights["W_dec"])
        g = (u_hat - u) * (2.0 / (rows * u.shape[1]))
        gradients = {"b_dec": g.sum(0)}
        if "W_dec" not in self.frozen:
            gradients["W_dec"] = z.T @ g
        dz = self._signs.take(len(z), z.shape[1], u)
        torch.mm(g, weights["W_dec"].T, out=dz).add_(self._l1 / rows).mul_(z > 0)
        gradients["W_enc"] = dz.T @ u
        gradients["b_enc"] = dz.sum(0)
        return u_hat, gradients

    def _gathered(self, weights: Weights, u: Tensor, codes: Codes, rows: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The same numbers from the entries that fire."""
        u_hat = codes.decode(weights["W_dec"]) + weights["b_dec"]
        g = (u_hat - u) * (2.0 / (rows * u.shape[1]))
        dz = codes.with_values(codes.products(g, weights["W_dec"]) + self._l1 / rows)
        gradients = {"b_dec": g.sum(0), "W_enc": dz.transposed(u), "b_enc": dz.sums()}
        if "W_dec" not in self.frozen:
            gradients["W_dec"] = codes.transposed(g)
        return u_hat, gradients
