"""Gated: one set of parameters says which latents fire, another how much."""

from __future__ import annotations

import torch
from torch import Tensor

from sae_core.config import Gated
from sae_core.sae.codes import Codes
from sae_core.sae.objectives.base import Buffer, Gradients, Outcome, Weights, pre_activations

PATIENCE = 60
"""Batches in which a penalty that is wrong by an L0 of double the target doubles."""


class GatedObjective:
    """A gate and a magnitude from shared directions (Rajamanoharan et al. 2024, arXiv:2404.16014), h = u W_encᵀ:

        π = h + b_gate,   z = 1[π > 0] · relu(h e^r_mag + b_mag)
        L = (1/B) Σ_i ‖û_i - u_i‖²  +  (λ/B) Σ_ij relu(π_ij)  +  (1/B) Σ_i ‖relu(π_i) W̄_dec + b̄_dec - u_i‖²

    The barred ones are held constant; dictionary rows have unit length, which the penalty relies on. λ is what the field tunes by
    hand: here it is a buffer that grows while more than `l0` latents fire and shrinks while fewer do, unless `l1` fixes it.
    """

    frozen: frozenset[str] = frozenset({"l1"})

    def __init__(self, architecture: Gated) -> None:
        self._target = architecture.l0
        self._fixed = architecture.l1
        self._buffer, self._memory = Buffer(), Gradients()

    def value(self, squares: float, l1: float, l0: float, d: int) -> float:
        if self._fixed is not None:
            return squares + self._fixed * l1
        # While the penalty is steered its value says nothing; what tells moments apart is the error, at the L0 that is wanted.
        return squares + (l0 / self._target - 1) ** 2

    def __call__(self, weights: Weights, u: Tensor, dead: Tensor | None = None) -> Outcome:
        rows = len(u)
        parts = []
        for chunk, h in pre_activations(self._buffer, weights["W_enc"], None, u):
            row, latent = (h > -weights["b_gate"]).nonzero(as_tuple=True)
            parts.append((row + chunk.start, latent, h[row, latent]))
        row, latents, h = (torch.cat(part) for part in zip(*parts, strict=True))
        gain = weights["r_mag"].exp()[latents]
        opening = h + weights["b_gate"][latents]  # π, positive
        codes = Codes.listed(row, latents, (h * gain + weights["b_mag"][latents]).relu(), rows, len(weights["b_gate"]))
        error = codes.decode(weights["W_dec"]) + weights["b_dec"] - u
        g = error * (2.0 / rows)
        dmag = codes.products(g, weights["W_dec"]) * (codes.values > 0)
        gate = codes.with_values(opening)
        miss = gate.decode(weights["W_dec"]) + weights["b_dec"] - u
        penalty = weights["l1"]
        dgate = gate.products(miss * (2.0 / rows), weights["W_dec"]) + penalty / rows
        gradients = {
            "W_enc": self._memory.of("W_enc", codes.with_values(dmag * gain + dgate), u),
            "b_gate": codes.with_values(dgate).sums(),
            "b_mag": codes.with_values(dmag).sums(),
            "r_mag": codes.with_values(dmag * h * gain).sums(),
            "W_dec": self._memory.of("W_dec", codes, g),
            "b_dec": g.sum(0),
        }
        squares, missed = (torch.linalg.vecdot(x, x).sum(dtype=torch.float64).view(1) for x in (error, miss))
        loss = (squares + missed + penalty.double() * opening.sum(dtype=torch.float64)) / rows
        counts = codes.counts()
        buffers = {}
        if self._fixed is None:
            off = (counts.sum() / (rows * self._target)).clamp(0.5, 2.0).log2()
            buffers["l1"] = penalty * 2 ** (off / PATIENCE).to(penalty)
        return Outcome(gradients, loss, squares, codes.values.sum(dtype=torch.float64).view(1), counts, buffers)
