"""Scores of a name from a model's answers, each null rather than made up where the answers do not carry it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from sae_core.interpret.score import auroc

LEAST_COVERAGE = 0.9
LEAST_ANSWERS = 8
LEAST_BALANCED = 0.7
"""Balanced accuracy a name must reach, beside an interval above chance: coin tosses on 20 and 20 reach it 6 times in 1,000."""
BOOTSTRAP = 1000


@dataclass(frozen=True)
class Judged:
    """What a model said of one test picture: whether the name fits it, how surely, or (None) nothing.

    Attributes:
        row: the picture's row.
        fires: the truth: whether the latent fires on it.
        said: whether the model says that the name fits; None without an answer.
        confidence: 0 (surely not) to 100 (surely), mean over the orders in which it answered; NaN without an answer.
    """

    row: int
    fires: bool
    said: bool | None
    confidence: float


@dataclass(frozen=True)
class Detection:
    """How well a name tells held-out pictures that fire the latent from others, as a model applies it.

    `value`, `ci_low`, `ci_high` (95 %), `auroc` are None where `why` says what the answers lack. `coverage` is the share of
    pictures answered, `agreement` the share of those answered in both orders that were answered alike (None: none).
    """

    value: float | None
    ci_low: float | None
    ci_high: float | None
    auroc: float | None
    coverage: float
    agreement: float | None
    n_pos: int
    n_neg: int
    why: str
    confusion: Mapping[str, Sequence[int]]
    """Rows of the pictures: `tp`, `fp`, `fn`, `tn`, and `unanswered`."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for a record."""
        return asdict(self)

    @property
    def passes(self) -> bool:
        """Whether the name holds: balanced accuracy at least 0.7 with an interval above chance."""
        return self.value is not None and self.ci_low is not None and self.value >= LEAST_BALANCED and self.ci_low > 0.5


def detection(judged: Sequence[Judged], agreement: float | None, rng: np.random.Generator, draws: int = BOOTSTRAP) -> Detection:
    """Balanced accuracy over the answered pictures, ½ (TP / (TP + FN) + TN / (TN + FP)), with a bootstrap interval.

    AUROC is that of the confidence. The bootstrap draws positives and negatives apart, so that no draw lacks a class. Nothing is
    scored when fewer than 90 % are answered, a class has fewer than 8 answers, or the AUROC is not finite.

    Args:
        judged: every test picture.
        agreement: see `Detection`.
        rng: for the bootstrap.
        draws: bootstrap draws.

    Source: the mean of the two rates does not reward one answer for all: such a model scores 0.5, whatever the shares of the
        classes. (The plain accuracy of SAEBench's 4 positives and 10 negatives gives it 0.71.)
    """
    answered = [one for one in judged if one.said is not None]
    right = {
        fires: np.array([one.said == fires for one in answered if one.fires == fires], dtype=float) for fires in (True, False)
    }
    confusion: dict[str, list[int]] = {"tp": [], "fp": [], "fn": [], "tn": [], "unanswered": []}
    for one in judged:
        said = {None: "unanswered", True: "tp" if one.fires else "fp", False: "fn" if one.fires else "tn"}[one.said]
        confusion[said].append(one.row)
    coverage = len(answered) / len(judged) if judged else 0.0
    n_pos, n_neg = len(right[True]), len(right[False])
    area = np.nan
    if n_pos and n_neg:
        sure = {fires: np.array([one.confidence for one in answered if one.fires == fires]) for fires in (True, False)}
        area = auroc(sure[True], sure[False]) if all(np.isfinite(part).all() for part in sure.values()) else np.nan
    why = _lacks(coverage, n_pos, n_neg, area)
    if why:
        return Detection(None, None, None, None, coverage, agreement, n_pos, n_neg, why, confusion)
    low, high = _interval(right[True], right[False], rng, draws)
    value = (right[True].mean() + right[False].mean()) / 2
    return Detection(float(value), low, high, float(area), coverage, agreement, n_pos, n_neg, "", confusion)


def _lacks(coverage: float, n_pos: int, n_neg: int, area: float) -> str:
    if coverage < LEAST_COVERAGE:
        return f"{100 * coverage:.0f} % of the pictures were answered; a score needs {100 * LEAST_COVERAGE:.0f} %"
    if min(n_pos, n_neg) < LEAST_ANSWERS:
        return f"answers for {n_pos} pictures that fire it and {n_neg} that do not; a score needs {LEAST_ANSWERS} of each"
    return "" if np.isfinite(area) else "the confidences are no numbers"


def _interval(
    positive: NDArray[np.float64], negative: NDArray[np.float64], rng: np.random.Generator, draws: int
) -> tuple[float, float]:
    rates = [rng.choice(part, (draws, len(part))).mean(axis=1) for part in (positive, negative)]
    low, high = np.percentile((rates[0] + rates[1]) / 2, [2.5, 97.5])
    return float(low), float(high)


def wilson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share hits / n, n > 0, within 0 to 1.

        (p + z²/2n ± z √(p(1 - p)/n + z²/4n²)) / (1 + z²/n),   z the normal quantile of (1 + level) / 2

    >>> [round(end, 3) for end in wilson(5, 5)]
    [0.566, 1.0]
    """
    z, p = float(norm.ppf((1 + level) / 2)), hits / n
    middle, half = p + z * z / (2 * n), z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))
