"""Scores in closed form, null where answers do not carry them, and the reading of replies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from sae_core.interpret.vision.detect import detect_batches, read_detection
from sae_core.interpret.vision.intruder import intruder_trials, read_intruders
from sae_core.interpret.vision.messages import Answer, Failure
from sae_core.interpret.vision.scores import Judged, detection, wilson
from sae_core.interpret.vision.sets import Item

RNG = np.random.default_rng(0)
ITEMS = [
    *(Item(i, "positive", 1.0) for i in range(20)),
    *(Item(20 + i, "near_miss", 0.0) for i in range(10)),
    *(Item(30 + i, "random", 0.0) for i in range(10)),
]


def png(row: int) -> bytes:
    return b"%d" % row


def answer(data: dict[str, object]) -> Answer:
    return Answer(data, "m", "m", None, 0.0, 0, 0, False, 1)


def judged(tp: int, fn: int, fp: int, tn: int, silent: int = 0) -> list[Judged]:
    said = [*[(True, True)] * tp, *[(True, False)] * fn, *[(False, True)] * fp, *[(False, False)] * tn]
    out = [Judged(i, fires, yes, 90.0 if yes else 10.0) for i, (fires, yes) in enumerate(said)]
    return [*out, *(Judged(len(out) + i, True, None, math.nan) for i in range(silent))]


@given(tp=st.integers(0, 20), tn=st.integers(0, 20))
def test_balanced_accuracy_is_the_mean_of_the_two_rates(tp: int, tn: int) -> None:
    found = detection(judged(tp, 20 - tp, 20 - tn, tn), 1.0, np.random.default_rng(0), 50)
    assert found.value == pytest.approx((tp / 20 + tn / 20) / 2)
    # With two confidences the AUROC of a decision is its balanced accuracy.
    assert found.auroc == pytest.approx(found.value)
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert found.value is not None
    assert 0 <= found.ci_low <= found.value + 0.08
    assert found.value - 0.08 <= found.ci_high <= 1


def test_the_share_of_the_classes_earns_nothing() -> None:
    """4 positives and 10 negatives are the case in which answering "none" is right 71 % of the time."""
    none = detection(judged(0, 8, 0, 20), None, RNG)
    assert (none.value, none.ci_low, none.ci_high) == (0.5, 0.5, 0.5)
    assert not none.passes


def test_the_interval_covers_what_it_says() -> None:
    """Of 300 names that are right 80 % of the time on either class, about 95 % have 0.8 in their interval."""
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(300):
        hits = rng.binomial(20, 0.8, 2)
        found = detection(judged(hits[0], 20 - hits[0], 20 - hits[1], hits[1]), None, rng, 400)
        assert found.ci_low is not None
        assert found.ci_high is not None
        inside += found.ci_low <= 0.8 <= found.ci_high
    assert 0.88 <= inside / 300 <= 0.99


def test_a_coin_hardly_ever_passes() -> None:
    rng = np.random.default_rng(2)
    passed = 0
    for _ in range(2000):
        hits = rng.binomial(20, 0.5, 2)
        passed += detection(judged(hits[0], 20 - hits[0], 20 - hits[1], hits[1]), None, rng, 100).passes
    # P(Binomial(40, ½) >= 28) is 0.0083.
    assert passed / 2000 < 0.016


@pytest.mark.parametrize(
    ("some", "why"),
    [
        (judged(15, 0, 0, 20, silent=5), "88 % of the pictures were answered"),
        (judged(7, 0, 0, 20), "answers for 7 pictures that fire it and 20 that do not"),
        (judged(20, 0, 0, 7), "answers for 20 pictures that fire it and 7 that do not"),
        ([], "0 %"),
        ([*judged(19, 0, 0, 20), Judged(99, True, True, math.nan)], "no numbers"),
    ],
)
def test_no_number_is_made_up(some: list[Judged], why: str) -> None:
    found = detection(some, None, RNG)
    assert (found.value, found.ci_low, found.ci_high, found.auroc) == (None, None, None, None)
    assert why in found.why
    assert not found.passes


def test_wilson_is_scipys() -> None:
    for hits, n in ((0, 5), (1, 5), (5, 5), (7, 20)):
        theirs = binomtest(hits, n).proportion_ci(method="wilson")
        assert wilson(hits, n) == pytest.approx((theirs.low, theirs.high))


def test_every_picture_is_shown_twice_in_two_orders_at_most_eight_at_once() -> None:
    batches = detect_batches(3, "loops", ITEMS, png, np.random.default_rng(0))
    assert [len(batch.places) for batch in batches] == [8] * 10
    first, second = (sum((batch.places for batch in half), ()) for half in (batches[:5], batches[5:]))
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second
    for batch in batches:
        assert [part for part in batch.request.parts if isinstance(part, bytes)] == [png(ITEMS[p].row) for p in batch.places]
        assert not any("fire" in part for part in batch.request.parts if isinstance(part, str))


def truth(places: tuple[int, ...], yes: int = 90) -> list[dict[str, object]]:
    return [{"image": n, "fits": ITEMS[p].fires, "confidence": yes if ITEMS[p].fires else 10} for n, p in enumerate(places, 1)]


def test_replies_are_read_by_number_and_nonsense_is_no_answer() -> None:
    batches = detect_batches(3, "loops", ITEMS, png, np.random.default_rng(0))
    good: list[Answer | Failure] = [answer({"answers": truth(batch.places)[::-1]}) for batch in batches]
    said, agreement = read_detection(ITEMS, batches, good)
    assert agreement == 1.0
    assert all(one.said == one.fires for one in said)
    odd = truth(batches[0].places)
    odd[0]["image"] = 99
    odd[1]["confidence"] = 101
    odd[3] = odd[2]
    silent = {batches[0].places[i] for i in (0, 1, 2, 3)}
    said, agreement = read_detection(ITEMS, batches[:5], [answer({"answers": odd}), *good[1:5]])
    assert {i for i, one in enumerate(said) if one.said is None} == silent
    assert agreement is None
    lost = Failure("server", "down", False, 0.0)
    said, _ = read_detection(ITEMS, batches, [lost, *good[1:]])
    assert all(one.said == one.fires for one in said)
    said, _ = read_detection(ITEMS, batches, [lost] * 10)
    assert all(one.said is None for one in said)


def test_where_the_orders_disagree_the_confidence_decides() -> None:
    one = [Item(0, "positive", 1.0)]
    batches = detect_batches(0, "x", one, png, np.random.default_rng(0))
    for first, second, expected in ((90, 20, True), (60, 20, False)):
        replies: list[Answer | Failure] = [
            answer({"answers": [{"image": 1, "fits": True, "confidence": first}]}),
            answer({"answers": [{"image": 1, "fits": False, "confidence": second}]}),
        ]
        said, agreement = read_detection(one, batches, replies)
        assert (said[0].said, said[0].confidence, agreement) == (expected, (first + second) / 2, 0.0)


def test_an_intruder_is_a_near_miss_among_four_that_fire() -> None:
    trials = intruder_trials(3, ITEMS, png, np.random.default_rng(0))
    assert len(trials) == 5
    for trial in trials:
        fires = [row < 20 for row in trial.rows]
        assert fires.count(False) == 1
        assert 20 <= trial.rows[trial.intruder - 1] < 30
        assert not any("loops" in part for part in trial.request.parts if isinstance(part, str))
    shown = [row for trial in trials for row in trial.rows]
    assert len(shown) == len(set(shown))
    hit: list[Answer | Failure] = [answer({"intruder": trial.intruder, "confidence": 1}) for trial in trials]
    found = read_intruders(trials, hit)
    assert (found.value, found.coverage, found.chance) == (1.0, 1.0, 0.2)
    assert (found.ci_low, found.ci_high) == pytest.approx(wilson(5, 5))
    assert read_intruders(trials, [*hit[:4], answer({"intruder": trials[4].intruder % 5 + 1, "confidence": 1})]).value == 0.8
    none = read_intruders(trials, [*hit[:4], answer({"intruder": 6, "confidence": 1})])
    assert (none.value, none.coverage) == (None, 0.8)
    for trial, one in zip(trials, none.to_json()["shown"], strict=True):
        assert (one["rows"], one["intruder"]) == (list(trial.rows), trial.intruder)
    assert [one["answer"] for one in none.shown] == [trial.intruder for trial in trials[:4]] + [None]
    assert "4 of 5" in none.why
    assert read_intruders([], []).value is None
