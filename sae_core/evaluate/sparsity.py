"""How sparse codes are: latents a row uses, and how often each latent fires."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sae_core.errors import InputError
from sae_core.evaluate.codes import Codes, columns, shape
from sae_core.sae.quality import DENSE

ALMOST_DEAD = 1e-4
"""A latent that fires on a smaller share of the images is almost dead."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Sparsity:
    """What fires how often over a named set of n rows.

    Attributes:
        active: int64 [n], latents with z > 0 on each row; their mean is L0.
        counts: int64 [m], rows on which each latent fires.
    """

    active: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.active)

    @property
    def rates(self) -> NDArray[np.float64]:
        """Share of the rows on which each latent fires, float64 [m]."""
        return self.counts / self.n

    def metrics(self) -> dict[str, float]:
        """L0 with its spread over rows, and the shares of latents that are dead, almost dead and dense.

        l0 = mean_i #{j : z_ij > 0}          l0_q05 .. l0_q95: quantiles over rows
        dead_fraction        = share of latents with count 0
        almost_dead_fraction = share with 0 < count < 1e-4 n (0 when n < 10,000: one firing is more than that)
        dense_fraction       = share with count > 0.1 n
        """
        quantiles = np.quantile(self.active, QUANTILES)
        return {
            "l0": float(self.active.mean()),
            **{f"l0_q{round(100 * q):02d}": float(value) for q, value in zip(QUANTILES, quantiles, strict=True)},
            "dead_fraction": float(np.mean(self.counts == 0)),
            "almost_dead_fraction": float(np.mean((self.counts > 0) & (self.counts < ALMOST_DEAD * self.n))),
            "dense_fraction": float(np.mean(self.counts > DENSE * self.n)),
        }

    def l0_distribution(self) -> pd.DataFrame:
        """DataFrame l0, rows: how many rows use exactly so many latents; only numbers that occur."""
        values, rows = np.unique(self.active, return_counts=True)
        return pd.DataFrame({"l0": values, "rows": rows})

    def spectrum(self, per_decade: int = 4) -> pd.DataFrame:
        """Latents by firing frequency, in bins of equal width in log10 of the rate, from 1/n to 1.

        Returns: DataFrame low, high (rates; low <= rate < high, the last bin takes rate 1 too), latents. Dead latents have no
            logarithm and stand in no bin: m - sum(latents) of them.
        """
        decades = np.log10(self.n)
        bins = max(1, int(np.ceil(decades * per_decade - 1e-9)))
        edges = 10.0 ** (np.arange(bins + 1) / per_decade - bins / per_decade)
        alive = self.rates[self.counts > 0]
        # Rates are ratios of integers and edges powers of ten: a rate equal to an edge must not fall below it by rounding.
        place = np.clip(np.searchsorted(edges * (1 - 1e-12), alive, side="right") - 1, 0, bins - 1)
        return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "latents": np.bincount(place, minlength=bins)})


def sparsity(codes: Codes, rows: NDArray[np.integer[Any]] | None = None) -> Sparsity:
    """Count what fires.

    Args:
        codes: z [n, m].
        rows: rows to count over; None: all.

    Raises: InputError when there is no row.
    Source: the seed project counts z > 1e-3; overcomplete returns L0 / m; MSAE's `l0` is 1 - L0 / m.
    """
    n, m = shape(codes)
    height = n if rows is None else len(rows)
    if not height:
        raise InputError("no rows to count firings on; the split is empty")
    active, counts = np.zeros(height, dtype=np.int64), np.zeros(m, dtype=np.int64)
    for start, block in columns(codes, rows):
        fires = block.data > 0
        active += np.bincount(block.indices[fires], minlength=height)
        latent = np.repeat(np.arange(block.shape[1]), np.diff(block.indptr))
        counts[start : start + block.shape[1]] = np.bincount(latent[fires], minlength=block.shape[1])
    return Sparsity(active, counts)
