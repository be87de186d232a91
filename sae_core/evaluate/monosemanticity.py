"""MS: are the images a latent fires on alike? In time linear in the images, where the definition runs over all pairs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sae_core.errors import InputError
from sae_core.evaluate.codes import Codes, columns, shape

DIMENSIONS = 64
"""Embedding dimensions held at once in float64, so that memory is (n + m) * 64 numbers whatever d is."""


class Monosemanticity(NamedTuple):
    """MS of every latent.

    Attributes:
        scores: float64 [m], in [-1, 1]; NaN where no two images have weight (a dead latent, one that fires on one image).
        encoder: which encoder the similarity between images comes from. The dictionary's own input space is circular: latents
            are directions in it. A second encoder is the better judge.
        n: images.
    """

    scores: NDArray[np.float64]
    encoder: str
    n: int

    def metrics(self) -> dict[str, float]:
        """Mean, median and best over the latents that have a score, and how many have one."""
        scored = self.scores[~np.isnan(self.scores)]
        middle = {
            "ms_mean": float(scored.mean()) if len(scored) else float("nan"),
            "ms_median": float(np.median(scored)) if len(scored) else float("nan"),
            "ms_best": float(scored.max()) if len(scored) else float("nan"),
        }
        return {**middle, "ms_latents": float(len(scored)), "ms_n": float(self.n)}


def monosemanticity(
    codes: Codes, embeddings: NDArray[np.floating[Any]], encoder: str, rows: NDArray[np.integer[Any]] | None = None
) -> Monosemanticity:
    """Similarity of the images a latent fires on, weighted by how strongly it fires on both.

    With ã_ij the activation of latent j on image i, min-max normalised over the images, and ê the unit embeddings:

        MS_j = Σ_{i<k} ã_ij ã_kj cos(e_i, e_k) / Σ_{i<k} ã_ij ã_kj
             = (‖Σ_i ã_ij ê_i‖² - Σ_i ã_ij² ‖ê_i‖²) / ((Σ_i ã_ij)² - Σ_i ã_ij²)

    The second form is one sparse product. An embedding of length 0 has cosine 0 with all others.

    Args:
        codes: z [n, m].
        embeddings: float [n, d], raw, of the same images in the same order; by which encoder is `encoder`.
        encoder: the name of that encoder, kept with the result.
        rows: rows of `codes` to use; then `embeddings` has one row for each of them, in their order.

    Raises: InputError when codes and embeddings are not of the same images.
    Source: Pach et al. 2025 (arXiv:2504.02821); the linear form as in MonoLoss. A latent that is constant over the images has
        no min-max form; it is NaN here, where dividing by a small constant would make it 0.
    """
    n, m = shape(codes)
    height = n if rows is None else len(rows)
    if embeddings.ndim != 2 or len(embeddings) != height:
        raise InputError(f"{height} rows of codes and embeddings {list(embeddings.shape)}: give one embedding row a row of codes")
    lengths = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings, dtype=np.float64))
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    scores = np.full(m, np.nan)
    for start, block in columns(codes, rows):
        scores[start : start + block.shape[1]] = _scores(block, embeddings, inverse)
    return Monosemanticity(scores, encoder, height)


def _scores(
    block: scipy.sparse.csc_matrix, embeddings: NDArray[np.floating[Any]], inverse: NDArray[np.float64]
) -> NDArray[np.float64]:
    """MS of the latents of one block; `inverse` is 1 / ‖e_i‖, or 0.

    With ã = (z - low) / spread, each sum over ã is a sum over z less low times the same sum over ones, so that codes stay sparse
    whatever their minimum is.
    """
    n = block.shape[0]
    low, high = (np.asarray(extreme.todense()).ravel() for extreme in (block.min(axis=0), block.max(axis=0)))
    scale = np.divide(1.0, high - low, out=np.zeros_like(low), where=high > low)
    with_length = (inverse > 0).astype(np.float64)
    rows = block.T.tocsr()
    squares = rows.multiply(rows).tocsr()

    def square_sum(over: NDArray[np.float64]) -> NDArray[np.float64]:
        out: NDArray[np.float64] = (squares @ over - 2 * low * (rows @ over) + low**2 * over.sum()) * scale**2
        return out

    total = (rows @ np.ones(n) - low * n) * scale
    length = np.zeros_like(low)
    for first in range(0, embeddings.shape[1], DIMENSIONS):
        part = embeddings[:, first : first + DIMENSIONS].astype(np.float64) * inverse[:, None]
        length += np.square((rows @ part - low[:, None] * part.sum(axis=0)) * scale[:, None]).sum(axis=1)
    pairs = total**2 - square_sum(np.ones(n))
    # Below this the difference is rounding: a latent that fires on one image has no pair.
    defined = pairs > 1e-12 * (total + np.abs(low) * n * scale) ** 2
    scores: NDArray[np.float64] = np.full(len(total), np.nan)
    np.divide(length - square_sum(with_length), pairs, out=scores, where=defined)
    return scores
