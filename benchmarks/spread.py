"""Intervals over repeated trainings: seeds are resampled, and within each seed what was measured there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from sae_core.evaluate.metrics import Interval

RESAMPLES = 2000


class Estimate(NamedTuple):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def side(self) -> int:
        """1 where the interval lies above 0, -1 where it lies below, 0 where it holds 0."""
        return int(self.low > 0) - int(self.high < 0)

    def percent(self, signed: bool = False) -> str:
        """As percentages: "12.3 [10.0, 14.1]"."""
        form = "+.1f" if signed else ".1f"
        return f"{100 * self.value:{form}} [{100 * self.low:{form}}, {100 * self.high:{form}}]"

    def plain(self, digits: int = 3) -> str:
        """A signed difference: "+0.012 [+0.001, +0.023]"."""
        return f"{self.value:+.{digits}f} [{self.low:+.{digits}f}, {self.high:+.{digits}f}]"


def share_draws(counts: Sequence[Sequence[int]], which: Sequence[int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Resampled shares of the categories `which`: seeds with replacement, then each seed's latents with replacement.

    Args:
        counts: how many latents of each seed are in each category, [seeds, categories].
        which: the categories whose latents are counted together.

    Returns: float64 [RESAMPLES].
    """
    table = np.asarray(counts, dtype=np.int64)
    hits, tested = table[:, list(which)].sum(axis=1), table.sum(axis=1)
    # Drawing a seed's latents anew and counting those of a category is one binomial draw.
    seeds = rng.integers(0, len(table), (RESAMPLES, len(table)))
    chance = np.divide(hits, tested, out=np.zeros(len(table)), where=tested > 0)
    drawn = rng.binomial(tested[seeds], chance[seeds]).sum(axis=1)
    return np.asarray(drawn / np.maximum(tested[seeds].sum(axis=1), 1), dtype=np.float64)


def share(counts: Sequence[Sequence[int]], which: Sequence[int], rng: np.random.Generator) -> Estimate:
    """Share of the latents tested, of all seeds together, that are in the categories `which`, with `share_draws`' interval."""
    table = np.asarray(counts, dtype=np.int64)
    if not table.sum():
        return Estimate(math.nan, math.nan, math.nan)
    return _estimate(float(table[:, list(which)].sum() / table.sum()), share_draws(counts, which, rng))


def share_difference(
    a: Sequence[Sequence[int]], b: Sequence[Sequence[int]], which: Sequence[int], rng: np.random.Generator
) -> Estimate:
    """Share in `a` minus share in `b`, each resampled on its own."""
    first, second = share(a, which, rng).value, share(b, which, rng).value
    if math.isnan(first) or math.isnan(second):
        return Estimate(math.nan, math.nan, math.nan)
    return _estimate(first - second, share_draws(a, which, rng) - share_draws(b, which, rng))


def share_excess(
    own: Sequence[Sequence[Sequence[int]]],
    control: Sequence[Sequence[Sequence[int]]],
    which: Sequence[int],
    rng: np.random.Generator,
) -> Estimate:
    """(Share in own[0] minus share in own[1]) minus the same difference of the controls, each resampled on its own."""
    parts = [*own, *control]
    values = [share(part, which, rng).value for part in parts]
    if any(map(math.isnan, values)):
        return Estimate(math.nan, math.nan, math.nan)
    a, b, c, d = (share_draws(part, which, rng) for part in parts)
    return _estimate(values[0] - values[1] - (values[2] - values[3]), a - b - (c - d))


def _estimate(value: float, draws: NDArray[np.float64]) -> Estimate:
    low, high = np.quantile(draws, (0.025, 0.975)).tolist()
    return Estimate(value, low, high)


def paired(differences: Sequence[float], test_share: float | None = None) -> Estimate:
    """Mean of paired differences over n runs, with Student's interval (n - 1 degrees of freedom).

    Args:
        differences: one a run.
        test_share: for splits of one data set, the test rows as a share of the rows trained on. Their training sets overlap,
            so the plain variance s²/n is too small; it becomes s² (1/n + test_share).

    Source: Nadeau & Bengio 2003 (Machine Learning 52), the corrected resampled t.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    mean = float(values.mean())
    if n < 2:
        return Estimate(mean, math.nan, math.nan)
    half = float(student.ppf(0.975, n - 1) * values.std(ddof=1) * math.sqrt(1 / n + (test_share or 0.0)))
    return Estimate(mean, mean - half, mean + half)


def of_interval(value: float, interval: Interval) -> Estimate:
    """A value and an interval found elsewhere."""
    return Estimate(value, interval.low, interval.high)
