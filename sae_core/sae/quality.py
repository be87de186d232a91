"""What a reconstruction is worth: R², L0, cosine, dead and dense latents. The one definition, for training and evaluation alike.

Streaming, so that a million rows need no more memory than a batch; sums in float64, so that the last digits are real.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.errors import InputError

DENSE = 0.1
"""A latent is dense when it fires on more than this share of the rows."""

Array = Tensor | NDArray[np.float32] | NDArray[np.float64]


class Quality:
    """Accumulates rows and their reconstructions; `metrics()` says what they add up to.

    With x_i a row, x̂_i its reconstruction, z_i its code, x̄ the *vector* mean of the N rows seen:

        r2           = 1 - Σ‖x_i - x̂_i‖² / Σ‖x_i - x̄‖²          (PatchSAE and MP-SAE print `r2_uncentred` under this name)
        r2_uncentred = 1 - Σ‖x_i - x̂_i‖² / Σ‖x_i‖²               (flattering: the mean alone explains most of a CLIP embedding)
        l0           = mean_i #{j : z_ij > 0}                      (some count z > 1e-3)
        cosine       = mean_i cos(x_i, x̂_i)                        (0 for a zero vector)
        dead_fraction  = share of latents that fired on no row seen
        dense_fraction = share of latents that fired on more than a tenth of the rows seen

    When all rows are equal R² is 1 for an exact reconstruction and 0 otherwise, as in scikit-learn.
    """

    def __init__(self, d: int, m: int) -> None:
        self.d, self.m, self.n = d, m, 0
        self._shift: Tensor | None = None  # the first row: sums about it lose no digits when rows are nearly equal
        self._sum = torch.zeros(d, dtype=torch.float64)
        self._totals = torch.zeros(5, dtype=torch.float64)  # Σ‖x - shift‖², Σ‖x‖², Σ‖x - x̂‖², Σ cos, Σ z
        self.counts = torch.zeros(m, dtype=torch.int64)

    def update(self, x: Array, x_hat: Array, indices: Tensor | NDArray[np.int64], values: Array) -> None:
        """Add rows with their sparse codes.

        Args:
            x, x_hat: [n, d], raw embeddings and reconstructions.
            indices, values: [n, k], latent and activation; entries with value 0 are padding.
        """
        activations = _tensor(values)
        counts = torch.bincount(_tensor(indices)[activations > 0], minlength=self.m)
        self.add(x, x_hat, counts, float(activations.sum(dtype=torch.float64)))

    def add(self, x: Array, x_hat: Array, counts: Tensor, activation: float) -> None:
        """Add rows with the number of them on which each latent fired, int64 [m], and the sum of all their codes."""
        rows = _tensor(x).to(torch.float64)
        if not len(rows):
            return
        if self._shift is None:
            self._shift = rows[0].clone()
        if self._sum.device != rows.device:
            self._move(rows.device)
        estimate = _tensor(x_hat).to(rows)
        centred = rows - self._shift
        lengths = rows.norm(dim=1) * estimate.norm(dim=1)
        cosine = torch.where(lengths > 0, (rows * estimate).sum(1) / lengths, 0.0)
        self._sum += centred.sum(0)
        sums = [centred.square().sum(), rows.square().sum(), (rows - estimate).square().sum(), cosine.sum()]
        self._totals += torch.stack([*sums, torch.tensor(activation, dtype=torch.float64, device=rows.device)])
        self.counts += counts.to(self.counts.device)
        self.n += len(rows)

    def _move(self, device: torch.device) -> None:
        if self._shift is not None:
            self._shift = self._shift.to(device)
        self._sum, self._totals, self.counts = self._sum.to(device), self._totals.to(device), self.counts.to(device)

    @property
    def squared_error(self) -> float:
        """Mean squared error of an element, Σ‖x_i - x̂_i‖² / (N d), in the square of the embeddings' unit."""
        return float(self._totals[2]) / (max(self.n, 1) * self.d)

    @property
    def l1(self) -> float:
        """Mean over rows of Σ_j z_ij."""
        return float(self._totals[4]) / max(self.n, 1)

    def metrics(self) -> dict[str, float]:
        """l0, r2, r2_uncentred, cosine, dead_fraction, dense_fraction. Raises InputError when no row was added."""
        if self.n == 0:
            raise InputError("no rows to measure a reconstruction on; the held-out split is empty")
        about_shift, energy, error, cosine = (float(v) for v in self._totals[:4])
        spread = max(about_shift - float(self._sum.square().sum()) / self.n, 0.0)
        return {
            "l0": float(self.counts.sum()) / self.n,
            "r2": explained(error, spread),
            "r2_uncentred": explained(error, energy),
            "cosine": cosine / self.n,
            "dead_fraction": float((self.counts == 0).double().mean()),
            "dense_fraction": float((self.counts > DENSE * self.n).double().mean()),
        }


def explained(error: float, spread: float) -> float:
    """1 - error / spread; of rows that are all equal 1 for an exact reconstruction and 0 otherwise."""
    return 1.0 - error / spread if spread > 0 else float(error == 0)


def _tensor(values: Array | NDArray[np.int64]) -> Tensor:
    # Read-only arrays, as of a memory map, are copied: torch has no read-only tensors.
    return values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.require(values, requirements=["C", "W"]))
