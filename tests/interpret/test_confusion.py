"""The pictures a label finds and misses by CLIP: the cut is made on one half and shown on the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_core.interpret.confusion import Confusion, best_threshold


def balanced(scores: np.ndarray, positive: np.ndarray, threshold: float) -> float:
    fits = scores >= threshold
    return float((fits[positive].mean() + (~fits[~positive]).mean()) / 2)


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=40))
def test_no_cut_is_better_than_the_best_threshold(items: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in items], dtype=float)
    positive = np.array([one for _, one in items])
    if positive.all() or not positive.any():
        return
    best = balanced(scores, positive, best_threshold(scores, positive))
    assert best == pytest.approx(max(balanced(scores, positive, cut) for cut in scores))


def test_balanced_accuracy_is_the_mean_of_the_two_rates() -> None:
    rows = [np.arange(n, dtype=np.int64) for n in (3, 2, 1, 8)]
    assert Confusion(0.1, *rows).balanced_accuracy == pytest.approx((3 / 4 + 8 / 10) / 2)
