"""Which latents a row of the TopK family keeps: the encoder's GEMM and the selection, chunk by chunk, exact.

Half of what a step costs is the encoder's GEMM, and all it is needed for is to know which few entries are the largest. Processors
with bf16 units do it in bf16 at twice the rate or more. So `Screen(halved=True)` screens in bf16, computes the entries that pass
again in float32, and selects among those. It measures its own error on the tens of thousands of entries that it computes twice in
every batch: a row whose k-th value is not clear of everything left out by twice the largest error is done again in float32.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sae_core.sae.codes import Codes, above, largest, top_k
from sae_core.sae.objectives.base import Buffer, Weights, pre_activations

SPARE = 16
"""Candidates a row beyond k, at least; half of k where that is more."""
WORTH = 1.1
"""By how much screening must be faster on the first batch to be used: below that the difference is noise."""


class Screen:
    """Selects entries of the pre-activations of a batch. `members` dictionaries may be stacked, latents [S m] in all."""

    def __init__(self, members: int = 1, halved: bool = False) -> None:
        self.members, self.halved = members, halved
        self._buffer = Buffer()
        self._low: Tensor | None = None  # [S], below the last batch's cut: where `batch` begins to look

    def rows(self, weights: Weights, u: Tensor, k: int) -> Codes:
        """The k largest entries of each row and member, values in descending order, negative ones 0."""
        size = len(weights["b_enc"]) // self.members
        if not self.halved:
            parts = [top_k(pre.view(-1, size), k) for _, pre in self._chunks(weights, u)]
            indices, values = (torch.cat(part) for part in zip(*parts, strict=True))
            return self._codes(indices, values, size)
        spare = min(size, k + max(SPARE, k // 2))
        found = [largest(pre.view(-1, size), spare) for _, pre in self._chunks(weights, u)]
        rough, candidates = (torch.cat(part) for part in zip(*found, strict=True))
        exact = self._exact(weights, u, self._codes(candidates, rough.to(u.dtype), size)).view_as(rough)
        # Rounding grows with the value: what was left out is off by no more than the candidates that are as small.
        error = 2 * (exact[:, k:] - rough[:, k:]).abs().amax() if spare > k else 0.0
        values, places = largest(exact, min(k + 1, spare))
        indices = candidates.gather(1, places)
        doubtful = values[:, k - 1] <= rough[:, -1].to(u.dtype) + error if size > spare else torch.zeros(len(values)).bool()
        if spare > k:
            doubtful |= values[:, k - 1] == values[:, k]  # a tie across the cut, which `top_k` decides by the index
        doubtful &= values[:, k - 1] > 0
        indices, values = indices[:, :k], values[:, :k].clamp_min(0)
        if bool(doubtful.any()):
            self._again(weights, u, doubtful.nonzero().flatten(), indices, values)
        return self._codes(indices, values, size)

    def batch(self, weights: Weights, u: Tensor, counts: Sequence[int]) -> tuple[Codes, Tensor]:
        """The counts[s] largest positive entries of each member over all rows, and each one's smallest value [S] (0 for none)."""
        members, size = self.members, len(weights["b_enc"]) // self.members
        wanted = torch.tensor(counts, device=u.device)
        low = self._low if self._low is not None else self._guess(weights, u, wanted)
        for attempt in range(4):
            row, column, values, error = self._above(weights, u, low)
            member = row % members
            number = torch.bincount(member, minlength=members)
            cut = torch.stack([_cut(values[member == s], counts[s]) for s in range(members)])
            # Sure when enough entries are clear of all that was left out, or nothing positive was left out.
            sure = ((number >= wanted) & (cut > low + error)) | (low <= -error)
            if bool(sure.all()):
                break
            low = torch.where(sure, low, (0.8, 0.5, 0.0)[min(attempt, 2)] * low - 1.5 * error)
        # Next time about a quarter more entries than are kept, which covers what a batch differs from the one before.
        self._low = (cut * 0.95 - 2 * error).clamp_min(0)
        keep = values >= cut[member]
        over = torch.bincount(member[keep], minlength=members) - wanted
        for s in (over > 0).nonzero().flatten().tolist():  # ties at the cut: the first stay
            tied = ((values == cut[s]) & (member == s)).nonzero().flatten()
            keep[tied[len(tied) - int(over[s]) :]] = False
        latents = column[keep] + member[keep] * size
        codes = Codes.listed(row[keep], latents, values[keep], len(u) * members, members * size, members)
        return codes, cut

    def of(self, weights: Weights, u: Tensor, latents: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k largest entries of each row among some latents: latents int64 [B, k], values [B, k], negative ones 0."""
        pre = torch.addmm(weights["b_enc"][latents], u, weights["W_enc"][latents].T)
        indices, values = top_k(pre, k)
        return latents[indices], values

    # ------------------------------------------------------------ parts

    def _chunks(self, weights: Weights, u: Tensor) -> Iterator[tuple[slice, Tensor]]:
        encoder, bias = weights["W_enc"], weights["b_enc"]
        if self.halved:
            encoder, bias, u = encoder.bfloat16(), bias.bfloat16(), u.bfloat16()
        return pre_activations(self._buffer, encoder, bias, u)

    def _codes(self, indices: Tensor, values: Tensor, size: int) -> Codes:
        members = self.members
        if members > 1:
            indices = indices + (torch.arange(len(indices), device=indices.device) % members * size).unsqueeze(1)
        return Codes.padded(indices, values, members * size, members)

    def _exact(self, weights: Weights, u: Tensor, codes: Codes) -> Tensor:
        return codes.products(u, weights["W_enc"]) + weights["b_enc"][codes.latents]

    def _again(self, weights: Weights, u: Tensor, rows: Tensor, indices: Tensor, values: Tensor) -> None:
        """Select these rows once more in float32, in place."""
        size = len(weights["b_enc"]) // self.members
        for s in range(self.members):
            mine = rows[rows % self.members == s]
            if len(mine):
                own = slice(s * size, (s + 1) * size)
                pre = torch.addmm(weights["b_enc"][own], u[mine // self.members], weights["W_enc"][own].T)
                indices[mine], values[mine] = top_k(pre, indices.shape[1])

    def _above(self, weights: Weights, u: Tensor, low: Tensor) -> tuple[Tensor, Tensor, Tensor, float]:
        """Entries whose screened value is above low[member]: row, column, exact value [n] of each; twice the largest error."""
        members, size = self.members, len(weights["b_enc"]) // self.members
        parts = []
        for rows, pre in self._chunks(weights, u):
            bound = low.to(pre.dtype).repeat(rows.stop - rows.start)
            row, column, values = above(pre.view(-1, size), bound)
            parts.append((row + rows.start * members, column, values))
        row, column, values = (torch.cat(part) for part in zip(*parts, strict=True))
        if not self.halved:
            keep = values > 0
            return row[keep], column[keep], values[keep], 0.0
        codes = Codes.listed(row, column + row % members * size, values, len(u) * members, members * size, members)
        exact = self._exact(weights, u, codes)
        error = 2 * float((exact - values).abs().amax()) if len(exact) else 1e-3
        keep = exact > 0
        return row[keep], column[keep], exact[keep], error

    def _guess(self, weights: Weights, u: Tensor, wanted: Tensor) -> Tensor:
        """A bound [S] that about a tenth more entries than are wanted exceed, from the first rows."""
        members, size = self.members, len(weights["b_enc"]) // self.members
        rows = u[: max(1, min(len(u), (1 << 20) // (members * size)))]
        pre = torch.addmm(weights["b_enc"], rows, weights["W_enc"].T).view(len(rows), members, size)
        found = [
            pre[:, s].flatten().topk(min(int(1.1 * share) + 1, pre[:, s].numel())).values[-1]
            for s, share in enumerate((wanted * (len(rows) / len(u))).tolist())
        ]
        return torch.stack(found).clamp_min(0)


def _cut(values: Tensor, count: int) -> Tensor:
    """The count-th largest value, the smallest when there are no more than that, 0 when there are none."""
    if len(values) > count:
        return values.kthvalue(len(values) - count + 1).values
    return values.min() if len(values) else values.new_zeros(())


def halving_pays(weights: Weights, u: Tensor, k: int, members: int = 1) -> bool:
    """Whether bf16 screening is faster on this machine for these very shapes: the best of three of each on one batch."""
    seconds = []
    for halved in (False, True):
        screen, best = Screen(members, halved), float("inf")
        for _ in range(4):
            start = time.perf_counter()
            screen.rows(weights, u, k)
            if u.is_cuda:
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - start)
        seconds.append(best)
    return seconds[0] > WORTH * seconds[1]
