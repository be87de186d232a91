"""Sparse codes and the few kernels that training needs of them: select, decode, and both gradients, never a dense code.

The kernels are torch's own, used where each is fastest. Measured on one core of an AVX-512 machine at B 2048, F 8192, d 512,
k 32, milliseconds, dense GEMM against ours: decode 182 / 3.2, gradient of the dictionary 182 / 2.7, gradient of the codes
182 / 6.5 (a gather and a batched product: 68). `embedding_bag` is a weighted sum of rows, which is what decoding a sparse code
is, and what a dictionary's gradient is when the codes are read by column.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache, cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

GROUPS = 8
"""Stride of the group maxima in `top_k`; 8 was the fastest of 4, 8, 16, 32 for F 1024 to 8192."""


def top_k(pre: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest entries of each row, exactly: of equal values the lowest index wins.

    Args:
        pre: [B, m] pre-activations, finite.
        k: 1 to m.

    Returns: indices int64 [B, k], and values [B, k] in descending order, negative ones as 0.

    >>> top_k(torch.tensor([[1.0, 3.0, 3.0, -1.0]]), 2)
    (tensor([[1, 2]]), tensor([[3., 3.]]))
    """
    m = pre.shape[1]
    # One more than asked for shows whether a tie lies across the cut; a tie inside it chooses nothing.
    values, indices = _largest(pre, min(k + 1, m))
    if m > k:
        tied = (values[:, k - 1] == values[:, k]) & (values[:, k] > 0)
        if bool(tied.any()):
            rows = tied.nonzero().flatten()
            # torch.topk picks any of equal values; a stable sort of these few rows picks the first.
            by_value, by_index = torch.sort(pre[rows], dim=1, descending=True, stable=True)
            values = values.index_copy(0, rows, by_value[:, : k + 1])
            indices = indices.index_copy(0, rows, by_index[:, : k + 1])
    return indices[:, :k], values[:, :k].clamp_min(0)


def _largest(pre: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """torch.topk by way of group maxima: the `count` largest entries lie in the `count` groups with the largest maxima."""
    rows, m = pre.shape
    width = m // GROUPS
    if m % GROUPS or width < 2 * count:
        return torch.topk(pre, count, dim=1)
    groups = pre.view(rows, GROUPS, width).amax(1).topk(count, dim=1, sorted=False).indices
    candidates = (groups.unsqueeze(-1) + torch.arange(GROUPS, device=pre.device) * width).flatten(1)
    values, places = pre.gather(1, candidates).topk(count, dim=1)
    return values, candidates.gather(1, places)


@dataclass(frozen=True)
class Codes:
    """Codes of B rows over m latents, row by row: row i owns entries ptr[i] to ptr[i + 1] of `latents` and `values`."""

    ptr: Tensor  # int64 [B + 1]
    latents: Tensor  # int64 [nnz]
    values: Tensor  # [nnz]
    m: int

    @classmethod
    def padded(cls, indices: Tensor, values: Tensor, m: int) -> Codes:
        """From a fixed number of entries a row, [B, k] each; padding is entries of value 0."""
        rows, k = indices.shape
        ptr = torch.arange(0, rows * k + 1, k, device=indices.device) if k else torch.zeros(rows + 1, dtype=torch.int64)
        return cls(ptr, indices.reshape(-1), values.reshape(-1), m)

    @classmethod
    def dense(cls, z: Tensor) -> Codes:
        """From dense codes [B, m]: every entry that is not 0."""
        where = z != 0
        ptr = torch.zeros(len(z) + 1, dtype=torch.int64, device=z.device)
        torch.cumsum(where.sum(1), 0, out=ptr[1:])
        return cls(ptr, where.nonzero()[:, 1], z[where], z.shape[1])

    def with_values(self, values: Tensor) -> Codes:
        """The same entries with other values [nnz]."""
        other = Codes(self.ptr, self.latents, values, self.m)
        other.__dict__["_by_latent"] = self._by_latent  # the order of entries by latent depends on no value
        return other

    def decode(self, dictionary: Tensor) -> Tensor:
        """Σ_j z_ij D_j: [B, d] of a dictionary [m, d]."""
        return F.embedding_bag(
            self.latents, dictionary, self.ptr, mode="sum", per_sample_weights=self.values, include_last_offset=True
        )

    def products(self, g: Tensor, dictionary: Tensor) -> Tensor:
        """<g_i, D_j> at every entry (i, j): [nnz] of g [B, d], dictionary [m, d]."""
        _warn_never()
        shape = (len(self.ptr) - 1, self.m)
        pattern = torch.sparse_csr_tensor(self.ptr, self.latents, torch.zeros_like(self.values), shape, check_invariants=False)
        found: Tensor = torch.sparse.sampled_addmm(pattern, g, dictionary.T, beta=0.0).values()
        return found

    def transposed(self, x: Tensor) -> Tensor:
        """Σ_i z_ij x_i: [m, d] of x [B, d], zero for latents without an entry."""
        ptr, order, rows = self._by_latent
        return F.embedding_bag(rows, x, ptr, mode="sum", per_sample_weights=self.values[order], include_last_offset=True)

    def sums(self) -> Tensor:
        """Σ_i z_ij: [m]."""
        return self.transposed(self.values.new_ones(len(self.ptr) - 1, 1)).squeeze(1)

    def counts(self) -> Tensor:
        """#{i : z_ij > 0}: int64 [m]."""
        return torch.bincount(self.latents[self.values > 0], minlength=self.m)

    @cached_property
    def _by_latent(self) -> tuple[Tensor, Tensor, Tensor]:
        """The entries sorted by latent: (ptr int64 [m + 1], order int64 [nnz], row of each int64 [nnz])."""
        # Stable, so that each latent's sum runs over its rows in order and comes out the same every time.
        latents, order = torch.sort(self.latents, stable=True)
        ptr = torch.searchsorted(latents, torch.arange(self.m + 1, device=latents.device))
        rows = torch.repeat_interleave(self.ptr.diff())[order]
        return ptr, order, rows


@cache
def _warn_never() -> None:
    """Have torch say now, unheard, what it says once a process: that its sparse rows are in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        one = torch.tensor([0, 1])
        torch.sparse_csr_tensor(one, one[:1], torch.zeros(1), (1, 1), check_invariants=False)
