"""TopK, BatchTopK and Matryoshka BatchTopK: squared error over selected entries, and AuxK for latents that are dead."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sae_core.config import BatchTopK, Matryoshka, Random, TopK
from sae_core.sae.codes import Codes
from sae_core.sae.objectives.base import Gradients, Outcome, Weights, code_gradients
from sae_core.sae.screen import Screen

MEMORY = 100
"""Batches over which BatchTopK's threshold is averaged."""

Member = TopK | BatchTopK | Matryoshka | Random


class TopKObjective:
    """The TopK family with AuxK (Gao et al. 2024, arXiv:2406.04093):

        L = (1/B) Σ_i (1/n) Σ_g ‖û_i^g - u_i‖²  +  α Σ_i ‖ê_i - e_i‖² / Σ_i ‖e_i‖²

    û^g is the reconstruction by the first g of n groups of latents: n = 1 but for Matryoshka (arXiv:2503.17547). e = u - û is the
    error of the whole (held constant), ê its reconstruction by the `aux_k` largest positive pre-activations among dead latents.
    As rows have mean square norm 1 the first term is the share of it that is not explained. dictionary_learning sums over
    dimensions as we do; sae-lens' MSE does too; OpenAI's code divides by the batch's own variance.

    Several dictionaries of one shape, which differ in k, are trained as one: their encoders are one GEMM over the same batch, and
    their codes are the rows of one sparse matrix over all latents.
    """

    def __init__(self, members: Sequence[Member], size: int, halved: bool = False) -> None:
        """`size`: latents of each member."""
        first = members[0]
        self.screen = Screen(len(members), halved)
        self.frozen = frozenset({"W_dec"}) if isinstance(first, Random) else frozenset()
        self._ks = [member.k for member in members]
        self._alphas = [member.aux_coefficient for member in members]
        self._aux_ks = [member.aux_k for member in members]
        self._size = size
        self._memory = Gradients()
        self._whole_batch = isinstance(first, (BatchTopK, Matryoshka))
        if self._whole_batch:
            self.frozen |= {"threshold"}
        self._bounds: Tensor | None = None
        if isinstance(first, Matryoshka):
            self._bounds = torch.tensor(first.sizes(size)).cumsum(0)[:-1]

    def value(self, squares: float, l1: float, l0: float, d: int) -> float:
        return squares

    def __call__(self, weights: Weights, u: Tensor, dead: Tensor | None = None) -> Outcome:
        batch, d = u.shape
        members = len(self._ks)
        codes, buffers = self._select(weights, u)
        groups, selected = 1, codes
        if self._bounds is not None:
            codes, groups = self._nested(codes)
        shape = (batch, members, groups, d)
        partial = codes.decode(weights["W_dec"]).view(shape)
        if groups > 1:
            partial = partial.cumsum(2)
        errors = partial + weights["b_dec"].view(members, 1, d) - u.view(batch, 1, 1, d)
        squares = torch.linalg.vecdot(errors, errors).double().sum(0)  # [S, n]
        g = errors * (2.0 / (batch * groups))
        if groups > 1:
            g = g.flip(2).cumsum(2).flip(2)  # a latent of group g is part of û^g and all after it
        gradients = code_gradients(weights, codes, g.view(-1, d), u, into=self._memory)
        gradients["b_dec"] = g[:, :, 0].sum(0).view_as(weights["b_dec"])
        losses = squares.mean(1) / batch
        error = errors[:, :, -1]
        if dead is not None and len(dead):
            losses = losses + self._revive(weights, u, error, squares[:, -1], dead, gradients)
        for name in self.frozen:
            gradients.pop(name, None)
        l1 = selected.values.view(batch, -1) if not self._whole_batch else None
        sums = (
            l1.view(batch, members, -1).sum((0, 2), dtype=torch.float64)
            if l1 is not None
            else selected.row_sums().view(batch, members).sum(0, dtype=torch.float64)
        )
        return Outcome(gradients, losses, squares[:, -1], sums, selected.counts(), buffers)

    def _select(self, weights: Weights, u: Tensor) -> tuple[Codes, dict[str, Tensor]]:
        if self._whole_batch:
            codes, cut = self.screen.batch(weights, u, [k * len(u) for k in self._ks])
            held = weights["threshold"]
            # The first batch sets it; then it follows the last hundred, so that it has settled when the rate is 0.
            share = torch.where(held > 0, 1 / MEMORY, 1.0)
            return codes, {"threshold": held + share * (cut.view_as(held) - held)}
        most = max(self._ks)
        codes = self.screen.rows(weights, u, most)
        if min(self._ks) == most:
            return codes, {}
        # Each row's values descend, so a member with a smaller k keeps the first ones.
        within = torch.arange(most, device=u.device) < torch.tensor(self._ks, device=u.device).unsqueeze(1)
        values = codes.values.view(len(u), len(self._ks), most) * within
        return Codes(codes.ptr, codes.latents, values.flatten(), codes.m, codes.shared), {}

    def _nested(self, codes: Codes) -> tuple[Codes, int]:
        """The same entries, each row cut into one for each group; entries of a row ascend by latent, so they need not move."""
        assert self._bounds is not None
        groups = len(self._bounds) + 1
        row = torch.repeat_interleave(codes.ptr.diff())
        group = torch.searchsorted(self._bounds.to(codes.latents.device), codes.latents % self._size, right=True)
        parts = Codes.listed(
            row * groups + group, codes.latents, codes.values, codes.rows * groups, codes.m, codes.shared * groups
        )
        return parts, groups

    def _revive(
        self, weights: Weights, u: Tensor, error: Tensor, squares: Tensor, dead: Tensor, gradients: dict[str, Tensor]
    ) -> Tensor:
        """Add AuxK's gradients, and return its share of each member's loss."""
        losses = torch.zeros_like(squares)
        for s, alpha in enumerate(self._alphas):
            mine = dead[(dead >= s * self._size) & (dead < (s + 1) * self._size)]
            # Gao et al. take half the input's width, which is enough to span most of an error.
            aux_k = self._aux_ks[s] if self._aux_ks[s] is not None else u.shape[1] // 2
            count, missed = min(aux_k or 0, len(mine)), float(squares[s])
            if not alpha or not count or not missed:
                continue
            codes = Codes.padded(*self.screen.of(weights, u, mine, count), len(weights["b_enc"]))
            miss = codes.decode(weights["W_dec"]) + error[:, s]  # ê - e
            losses[s] = alpha * torch.linalg.vecdot(miss, miss).double().sum() / missed
            # Dead and alive latents are disjoint, so the two terms never touch the same row of a matrix.
            for name, more in code_gradients(weights, codes, miss * (2.0 * alpha / missed), u).items():
                gradients[name] += more
        return losses
