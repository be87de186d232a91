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

STRIDE, BLOCKS = 4, 8
"""Group maxima: strides of `largest`, one upon the other, and of `above`; the fastest of 2, 4, 8, 16 for F 1024 to 8192."""


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
    values, indices = largest(pre, min(k + 1, m))
    if m > k:
        tied = (values[:, k - 1] == values[:, k]) & (values[:, k] > 0)
        if bool(tied.any()):
            rows = tied.nonzero().flatten()
            # torch.topk picks any of equal values; a stable sort of these few rows picks the first.
            by_value, by_index = torch.sort(pre[rows], dim=1, descending=True, stable=True)
            values = values.index_copy(0, rows, by_value[:, : k + 1])
            indices = indices.index_copy(0, rows, by_index[:, : k + 1])
    return indices[:, :k], values[:, :k].clamp_min(0)


def largest(pre: Tensor, count: int, in_order: bool = True) -> tuple[Tensor, Tensor]:
    """torch.topk along rows by way of group maxima: the `count` largest lie in the `count` groups with the largest maxima.

    Returns: values, indices int64, both [rows, count]; of equal values across the cut any may be chosen.
    """
    rows, m = pre.shape
    width = m // STRIDE
    if m % STRIDE or width < 2 * count:
        return torch.topk(pre, count, dim=1, sorted=in_order)
    _, groups = largest(pre.view(rows, STRIDE, width).amax(1), count, in_order=False)
    candidates = (groups.unsqueeze(-1) + torch.arange(STRIDE, device=pre.device) * width).flatten(1)
    values, places = pre.gather(1, candidates).topk(count, dim=1, sorted=in_order)
    return values, candidates.gather(1, places)


def above(pre: Tensor, low: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The entries of each row that are above a bound of its own, by way of group maxima, which most groups fail.

    Args:
        pre: [rows, m].
        low: [rows].

    Returns: row int64 [n], ascending; column int64 [n], ascending in each row; value [n].
    """
    rows, m = pre.shape
    if m % BLOCKS:
        row, column = (pre > low.unsqueeze(1)).nonzero(as_tuple=True)
        return row, column, pre[row, column]
    width = m // BLOCKS
    hits = (pre.view(rows, BLOCKS, width).amax(1) > low.unsqueeze(1)).nonzero()
    columns = hits[:, 1:] + torch.arange(BLOCKS, device=pre.device) * width
    flat = (hits[:, :1] * m + columns).flatten()
    values = pre.reshape(-1)[flat]
    keep = values > low.repeat_interleave(torch.bincount(hits[:, 0], minlength=rows) * BLOCKS)
    order = flat[keep].argsort()
    flat = flat[keep][order]
    return flat // m, flat % m, values[keep][order]


@dataclass(frozen=True)
class Codes:
    """Codes of R rows over m latents, row by row: row i owns entries ptr[i] to ptr[i + 1] of `latents` and `values`.

    `shared` consecutive rows may belong to one input: the members of a sweep, or the nested groups of a Matryoshka dictionary.
    """

    ptr: Tensor  # int64 [R + 1]
    latents: Tensor  # int64 [nnz]
    values: Tensor  # [nnz]
    m: int
    shared: int = 1

    @classmethod
    def padded(cls, indices: Tensor, values: Tensor, m: int, shared: int = 1) -> Codes:
        """From a fixed number of entries a row, [R, k] each; padding is entries of value 0."""
        rows, k = indices.shape
        ptr = torch.arange(rows + 1, device=indices.device) * k
        return cls(ptr, indices.reshape(-1), values.reshape(-1), m, shared)

    @classmethod
    def listed(cls, row: Tensor, latents: Tensor, values: Tensor, rows: int, m: int, shared: int = 1) -> Codes:
        """From entries [nnz] in ascending order of their rows."""
        return cls(_starts(torch.bincount(row, minlength=rows)), latents, values, m, shared)

    @classmethod
    def dense(cls, z: Tensor) -> Codes:
        """From dense codes [R, m]: every entry that is not 0."""
        where = z != 0
        return cls(_starts(where.sum(1)), where.nonzero()[:, 1], z[where], z.shape[1])

    @property
    def rows(self) -> int:
        return len(self.ptr) - 1

    def with_values(self, values: Tensor) -> Codes:
        """The same entries with other values [nnz]."""
        other = Codes(self.ptr, self.latents, values, self.m, self.shared)
        other.__dict__["_by_latent"] = self._by_latent  # the order of entries by latent depends on no value
        return other

    def decode(self, dictionary: Tensor) -> Tensor:
        """Σ_j z_ij D_j: [R, d] of a dictionary [m, d]."""
        return F.embedding_bag(
            self.latents, dictionary, self.ptr, mode="sum", per_sample_weights=self.values, include_last_offset=True
        )

    def products(self, g: Tensor, dictionary: Tensor) -> Tensor:
        """<g_i, D_j> at every entry (i, j): [nnz] of g [R, d], or [R / shared, d], and a dictionary [m, d]."""
        _warn_never()
        ptr = self.ptr if len(g) == self.rows else self.ptr[:: self.shared]
        shape = (len(g), self.m)
        pattern = torch.sparse_csr_tensor(ptr, self.latents, g.new_zeros(len(self.values)), shape, check_invariants=False)
        found: Tensor = torch.sparse.sampled_addmm(pattern, g, dictionary.T, beta=0.0).values()
        return found

    def transposed(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Σ_i z_ij x_i: [m, d] of x [R, d], or [R / shared, d]; zero for latents without an entry.

        Into `out` where torch can: a matrix of the dictionary's size made anew costs more in page faults than in arithmetic
        (16 MiB: 4,096 faults and 5 ms, against 2 ms).
        """
        ptr, order, rows = self._by_latent
        if len(x) != self.rows:
            rows = rows // self.shared
        values = self.values[order]
        if out is None or x.is_cuda or not _has_mkl():
            return F.embedding_bag(rows, x, ptr, mode="sum", per_sample_weights=values, include_last_offset=True)
        _warn_never()
        by_latent = torch.sparse_csr_tensor(ptr, rows, values, (self.m, len(x)), check_invariants=False)
        return torch.addmm(out, by_latent, x, beta=0.0, out=out)

    def sums(self) -> Tensor:
        """Σ_i z_ij: [m]."""
        return self.values.new_zeros(self.m).index_add_(0, self.latents, self.values)

    def row_sums(self) -> Tensor:
        """Σ_j z_ij: [R]."""
        rows = torch.repeat_interleave(self.ptr.diff())
        return self.values.new_zeros(self.rows).index_add_(0, rows, self.values)

    def counts(self) -> Tensor:
        """#{i : z_ij > 0}: int64 [m]."""
        return torch.bincount(self.latents[self.values > 0], minlength=self.m)

    @cached_property
    def _by_latent(self) -> tuple[Tensor, Tensor, Tensor]:
        """The entries by latent: ptr int32 [m + 1], order int64 [nnz], row of each int32 [nnz]. int32 sorts twice as fast."""
        # Stable, so that each latent's sum runs over its rows in order and comes out the same every time.
        latents, order = torch.sort(self.latents.int(), stable=True)
        ptr = torch.searchsorted(latents, torch.arange(self.m + 1, dtype=torch.int32, device=latents.device), out_int32=True)
        rows = torch.repeat_interleave(self.ptr.diff()).int()[order]
        return ptr, order, rows


def _starts(counts: Tensor) -> Tensor:
    """Where each row's entries begin, and where the last one's end: int64 [R + 1]."""
    ptr = torch.zeros(len(counts) + 1, dtype=torch.int64, device=counts.device)
    torch.cumsum(counts, 0, out=ptr[1:])
    return ptr


@cache
def _has_mkl() -> bool:
    """Whether torch has MKL's product of a sparse and a dense matrix."""
    return bool(torch.backends.mkl.is_available())  # type: ignore[no-untyped-call]


@cache
def _warn_never() -> None:
    """Have torch say now, unheard, what it says once a process: that its sparse rows are in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        one = torch.tensor([0, 1])
        torch.sparse_csr_tensor(one, one[:1], torch.zeros(1), (1, 1), check_invariants=False)
