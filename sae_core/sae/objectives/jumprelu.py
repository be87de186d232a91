"""JumpReLU: thresholds learned through a kernel, with an L0 that ends where it is asked to."""

from __future__ import annotations

import torch
from torch import Tensor

from sae_core.config import JumpRelu
from sae_core.sae.codes import Codes
from sae_core.sae.objectives.base import Buffer, Gradients, Outcome, Weights, pre_activations


class JumpReluObjective:
    """z = pre · H(pre - θ) with a straight-through gradient for θ (Rajamanoharan et al. 2024, arXiv:2407.14435):

        L = (1/B) Σ_i ‖û_i - u_i‖²  +  c · (L0 / l0 - 1)²,     L0 = (1/B) #{pre_ij > θ_j}

        dL/dpre_ij = <G_i, W_dec_j> H(pre_ij - θ_j)
        dL/dθ_j    = -(1/ε) Σ_i K((pre_ij - θ_j)/ε) (θ_j <G_i, W_dec_j> + 2c (L0 / l0 - 1) / (B l0))

    with K the rectangle, 1 within ±½. The quadratic penalty about a target is in that paper too, and in dictionary_learning: with
    a fixed λ users report an L0 that will not fall. ε is a share of the mean threshold at the start.
    """

    frozen: frozenset[str] = frozenset({"bandwidth"})

    def __init__(self, architecture: JumpRelu) -> None:
        self._target, self._coefficient = architecture.l0, architecture.coefficient
        self._buffer, self._memory = Buffer(), Gradients()

    def value(self, squares: float, l1: float, l0: float, d: int) -> float:
        return squares + self._coefficient * (l0 / self._target - 1) ** 2

    def __call__(self, weights: Weights, u: Tensor, dead: Tensor | None = None) -> Outcome:
        rows = len(u)
        threshold, width = weights["threshold"], float(weights["bandwidth"])
        near = threshold - width / 2
        parts = []
        for chunk, pre in pre_activations(self._buffer, weights["W_enc"], weights["b_enc"], u):
            row, latent = (pre > near).nonzero(as_tuple=True)
            parts.append((row + chunk.start, latent, pre[row, latent]))
        row, latents, values = (torch.cat(part) for part in zip(*parts, strict=True))
        fires = values > threshold[latents]
        codes = Codes.listed(row, latents, values * fires, rows, len(threshold))
        error = codes.decode(weights["W_dec"]) + weights["b_dec"] - u
        g = error * (2.0 / rows)
        along = codes.products(g, weights["W_dec"])
        dz = codes.with_values(along * fires)
        off = float(fires.sum()) / (rows * self._target) - 1
        kernel = (values - threshold[latents]).abs() < width / 2
        slope = 2 * self._coefficient * off / (rows * self._target)
        jump = codes.with_values(kernel * (threshold[latents] * along + slope) / -width)
        gradients = {
            "W_enc": self._memory.of("W_enc", dz, u),
            "b_enc": dz.sums(),
            "W_dec": self._memory.of("W_dec", codes, g),
            "b_dec": g.sum(0),
            "threshold": jump.sums(),
        }
        squares = torch.linalg.vecdot(error, error).sum(dtype=torch.float64).view(1)
        loss = squares / rows + self._coefficient * off**2
        return Outcome(gradients, loss, squares, codes.values.sum(dtype=torch.float64).view(1), codes.counts())
