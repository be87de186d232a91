"""Intervals over seeds and latents, and over splits."""

import math

import numpy as np
import pytest

from benchmarks.spread import paired, share, share_difference, share_draws, share_excess


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_a_share_is_that_of_all_latents_together_and_its_interval_that_of_a_binomial_where_seeds_agree() -> None:
    counts = [[30, 70], [60, 140]]
    found = share(counts, [0], rng())
    assert found.value == pytest.approx(90 / 300)
    # Two seeds of the same share: all that varies is the latents, of which 200, 300 or 400 are drawn.
    half = 1.96 * math.sqrt(0.3 * 0.7 / 300)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_seeds_that_disagree_widen_the_interval() -> None:
    alike, apart = share([[500, 500]] * 2, [0], rng()), share([[200, 800], [800, 200]], [0], rng())
    assert alike.value == apart.value == 0.5
    assert apart.high - apart.low > 5 * (alike.high - alike.low)


def test_categories_are_counted_together_and_nothing_tested_is_nothing_known() -> None:
    assert share([[1, 2, 3, 4]], [0, 2], rng()).value == pytest.approx(0.4)
    assert math.isnan(share([[0, 0]], [0], rng()).value)
    assert share([[0, 0]], [0], rng()).side == 0
    assert math.isnan(share_difference([[0, 0]], [[1, 1]], [0], rng()).value)


def test_differences_cover_the_truth_as_often_as_they_say() -> None:
    source, covered, runs = np.random.default_rng(1), 0, 80
    for _ in range(runs):
        a, b = ([[int(hits), 400 - int(hits)] for hits in source.binomial(400, p, 5)] for p in (0.5, 0.4))
        found = share_difference(a, b, [0], source)
        covered += found.low <= 0.1 <= found.high
    assert 0.83 < covered / runs <= 1  # a bootstrap of five seeds is a little short of 95 %


def test_the_excess_over_a_control_is_a_difference_of_differences() -> None:
    own, control = ([[60, 40]], [[40, 60]]), ([[55, 45]], [[45, 55]])
    assert share_excess(own, control, [0], rng()).value == pytest.approx(0.1)
    same = share_excess(own, own, [0], rng())
    assert same.value == pytest.approx(0)
    assert same.side == 0


def test_drawn_shares_stay_between_0_and_1() -> None:
    drawn = share_draws([[1, 9], [0, 3]], [0], rng())
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_paired_differences_have_students_interval_widened_for_overlapping_training_sets() -> None:
    plain, corrected = paired([1.0, 2.0, 3.0]), paired([1.0, 2.0, 3.0], test_share=0.25)
    assert plain.value == corrected.value == 2
    assert plain.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)
    assert (corrected.high - 2) / (plain.high - 2) == pytest.approx(math.sqrt((1 / 3 + 0.25) / (1 / 3)))
    assert math.isnan(paired([1.0]).low)
    assert paired([1.0]).side == 0
