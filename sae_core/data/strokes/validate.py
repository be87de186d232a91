"""The measures held against the drawn world's ground truth: rank correlation of each count, and the rate on one core."""

from __future__ import annotations

import time
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sae_core.data.drawn import PRIMITIVES, render, scene
from sae_core.data.strokes.measures import measure

RESAMPLES = 400


@dataclass(frozen=True)
class Agreement:
    """How one measure agrees with the truth on n drawings.

    Attributes:
        name: the primitive.
        spearman, low, high: rank correlation with its 95 % bootstrap interval over drawings.
        truth, measured: mean counts.
        exact: share of drawings with exactly the true count.
    """

    name: str
    spearman: float
    low: float
    high: float
    truth: float
    measured: float
    exact: float


@dataclass(frozen=True)
class Validation:
    """Agreement of every measure on `n` drawings of the series `seed`, `size` pixels wide, and images a second on one core."""

    n: int
    seed: int
    size: int
    rate: float
    rows: tuple[Agreement, ...]

    def markdown(self) -> str:
        """The table."""
        head = f"{self.n:,} drawings (seed {self.seed}), {self.size} x {self.size} pixels: {self.rate:.0f} images/s on one core"
        lines = [
            head,
            "",
            "| primitive | Spearman | 95 % CI | true mean | measured mean | exact |",
            "|---|---:|---|---:|---:|---:|",
        ]
        lines += [
            f"| {r.name} | {r.spearman:.3f} | {r.low:.3f} to {r.high:.3f} | {r.truth:.2f} | {r.measured:.2f} | {r.exact:.0%} |"
            for r in self.rows
        ]
        return "\n".join(lines)


def validate(n: int, seed: int, size: int) -> Validation:
    """Measure n single objects, the classes in turn, and compare with their truth.

    Args:
        n: drawings.
        seed: the series; constants of the measures were chosen on the series 5 to 9 and 21 to 23.
        size: width of the pictures, pixels.
    """
    items = [scene(seed, index) for index in range(n)]
    pictures = [render(item, "sketch", size) for item in items]
    measure(pictures[0])  # compiles what skan compiles
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        started = time.process_time()
        found = [measure(picture) for picture in pictures]
        rate = n / (time.process_time() - started)
    finally:
        cv2.setNumThreads(threads)
    truth = np.array([[item.counts[name] for name in PRIMITIVES] for item in items], dtype=np.float64)
    measured = np.array([[getattr(one, name) for name in PRIMITIVES] for one in found], dtype=np.float64)
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, n, (RESAMPLES, n))
    rows = []
    for i, name in enumerate(PRIMITIVES):
        x, y = truth[:, i], measured[:, i]
        spread = [spearman(x[pick], y[pick]) for pick in picks]
        low, high = np.quantile(spread, (0.025, 0.975)).tolist()
        rows.append(Agreement(name, spearman(x, y), low, high, float(x.mean()), float(y.mean()), float((x == y).mean())))
    return Validation(n, seed, size, rate, tuple(rows))


def spearman(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """Pearson's correlation of the ranks, equal values sharing their mean rank; 0 when either side is constant."""
    from scipy.stats import rankdata

    a, b = rankdata(x), rankdata(y)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / scale) if scale else 0.0
