"""How sure a reconstruction's numbers are: bootstrap intervals over the images."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sae_core.evaluate.metrics import Interval, bootstrap_mean, bootstrap_ratio


def reconstruction_intervals(
    x: NDArray[np.float32],
    x_hat: NDArray[np.float32],
    codes: scipy.sparse.csr_matrix,
    groups: NDArray[np.int64],
    resamples: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """95 % intervals of r2, r2_uncentred, cosine and l0 (see `sae.quality.Quality`), as `<name>_ci_low` and `<name>_ci_high`.

    R² is a ratio of sums, and is resampled as one: 1 - Σ‖x_i - x̂_i‖² / Σ‖x_i - x̄‖² over the images drawn, x̄ the mean of all.

    Args:
        x, x_hat: float32 [n, d], raw embeddings and reconstructions.
        codes: z [n, m], without stored zeros.
        groups: int64 [n], near-duplicates, which are resampled together.
        resamples: bootstrap resamples.
        rng: their randomness.
    """
    rows, rebuilt = x.astype(np.float64), x_hat.astype(np.float64)
    missed = ((rows - rebuilt) ** 2).sum(1)
    squares, spread = (rows**2).sum(1), ((rows - rows.mean(0)) ** 2).sum(1)
    lengths = np.sqrt(squares * (rebuilt**2).sum(1))
    cosine = np.divide((rows * rebuilt).sum(1), lengths, out=np.zeros(len(rows)), where=lengths > 0)
    left = {"r2": bootstrap_ratio(missed, spread, resamples, rng, groups)}
    left["r2_uncentred"] = bootstrap_ratio(missed, squares, resamples, rng, groups)
    found = {name: Interval(1 - one.high, 1 - one.low) for name, one in left.items()}
    found["cosine"] = bootstrap_mean(cosine, resamples, rng, groups)
    found["l0"] = bootstrap_mean(np.diff(codes.indptr), resamples, rng, groups)
    return {f"{name}_ci_{end}": getattr(one, end) for name, one in found.items() for end in ("low", "high")}
