"""CKNNA: do two representations of the same images have the same neighbours, at the same similarities?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sae_core.errors import InputError

K = 10
BATCH = 1024


class Alignment(NamedTuple):
    """A mean CKNNA with what it depends on.

    Attributes:
        value: mean over batches; 1 for equal representations, about 0 for unrelated ones.
        k: neighbours.
        batch: rows a batch. The number of rows a neighbour is looked for in changes the value: only equal batches compare.
        batches: batches averaged.
    """

    value: float
    k: int
    batch: int
    batches: int

    def metrics(self) -> dict[str, float]:
        """cknna, cknna_k, cknna_batch."""
        return {"cknna": self.value, "cknna_k": float(self.k), "cknna_batch": float(self.batch)}


def cknna(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]], k: int = K, batch: int = BATCH) -> Alignment:
    """Centred kernel nearest-neighbour alignment of two representations of the same rows, e.g. x and x̂.

    With K = a aᵀ, L = b bᵀ and α_ij = 1 when j is among the k nearest of i (itself apart) in both:

        CKNNA = align(K, L) / sqrt(align(K, K) align(L, L)),    align(K, L) = HSIC(α ∘ K, α ∘ L)

    HSIC is the unbiased estimator; in align(K, K) α is K's own neighbourhood. Rows are taken in batches, in order; rows that
    fill no batch are left out, unless there is only one.

    Args:
        a, b: float [n, d], [n, d'], raw (inner products, not cosines).
        k: neighbours, at least 2.
        batch: rows a batch.

    Raises: InputError on unequal rows, or a batch of fewer than k + 1 or 4 rows.
    Source: Huh et al. 2024 (arXiv:2405.07987); MSAE (arXiv:2502.20578) takes k = 10 over its training batches and adds 1e-6 to
        the root, which matters only when inner products are tiny.
    """
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise InputError(f"representations {list(a.shape)} and {list(b.shape)} are not of the same rows: give [n, d] and [n, d']")
    size = min(batch, len(a))
    if k < 2 or size < max(k + 1, 4):
        raise InputError(
            f"CKNNA of {k} neighbours in batches of {size} rows: take k >= 2 and batches of at least k + 1 and 4 rows"
        )
    starts = range(0, len(a) - size + 1, size)
    values = [_cknna(a[s : s + size], b[s : s + size], k) for s in starts]
    return Alignment(float(np.mean(values)), k, size, len(values))


def _cknna(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]], k: int) -> float:
    kernels = [rows.astype(np.float64) @ rows.astype(np.float64).T for rows in (a, b)]
    near = [_nearest(kernel, k) for kernel in kernels]
    both = near[0] & near[1]
    cross = _hsic(kernels[0] * both, kernels[1] * both)
    own = [_hsic(kernel * mask, kernel * mask) for kernel, mask in zip(kernels, near, strict=True)]
    # The unbiased estimator may fall below zero for a representation without structure; then the ratio is undefined.
    return cross / float(np.sqrt(own[0] * own[1])) if own[0] > 0 and own[1] > 0 else float("nan")


def _nearest(kernel: NDArray[np.float64], k: int) -> NDArray[np.bool_]:
    """Bool [n, n], row i marks the k rows of largest inner product with i, itself apart."""
    others = kernel.copy()
    np.fill_diagonal(others, -np.inf)
    found = np.argpartition(-others, k - 1, axis=1)[:, :k]
    mask = np.zeros(kernel.shape, dtype=bool)
    np.put_along_axis(mask, found, True, axis=1)
    return mask


def _hsic(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The unbiased HSIC of two kernels with empty diagonals (Song et al. 2012, equation 5)."""
    m = len(first)
    direct = float(np.sum(first * second.T))
    sums = float(first.sum()) * float(second.sum()) / ((m - 1) * (m - 2))
    chain = 2.0 * float(first.sum(axis=0) @ second.sum(axis=1)) / (m - 2)
    return (direct + sums - chain) / (m * (m - 3))
