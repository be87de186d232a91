"""Paired zero-shot classification on embeddings whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from sae_core.errors import InputError
from sae_core.evaluate.recall import KS, caption_recall, distinct_captions
from sae_core.evaluate.zero_shot import classify, zero_shot

WEIGHTS = np.eye(3, 4, dtype=np.float32)


def planted(answers: list[int]) -> np.ndarray:
    """Embeddings of any length that point at the class given."""
    rng = np.random.default_rng(0)
    x = WEIGHTS[answers] * rng.uniform(0.1, 20, (len(answers), 1)) + 0.01 * rng.normal(size=(len(answers), 4))
    return x.astype(np.float32)


def test_classify_is_the_nearest_direction() -> None:
    assert classify(planted([2, 0, 1, 1]), WEIGHTS * np.array([[100], [1], [0.01]], dtype=np.float32)).tolist() == [2, 0, 1, 1]
    assert classify(np.zeros((0, 4), dtype=np.float32), WEIGHTS).shape == (0,)


def test_paired_numbers() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2, -1, 0])
    clip = planted([0, 0, 1, 2, 2, 1, 0, 0])  # 5 of 7 right
    sae = planted([0, 1, 1, 1, 0, 1, 0, 0])  # 4 of 7 right: loses rows 1 and 4, gains row 3
    found = zero_shot(clip, sae, labels, WEIGHTS, bootstrap=500, rng=np.random.default_rng(0))
    assert found.rows.tolist() == [0, 1, 2, 3, 4, 5, 7]
    metrics = found.metrics()
    assert metrics["n"] == 7
    assert metrics["accuracy_clip"] == pytest.approx(5 / 7)
    assert metrics["accuracy_sae"] == pytest.approx(4 / 7)
    assert metrics["delta"] == pytest.approx(-1 / 7)
    assert (found.flips.lost, found.flips.gained) == (2, 1)
    assert metrics["mcnemar_p"] == 1.0
    assert metrics["delta_ci_low"] <= metrics["delta"] <= metrics["delta_ci_high"]
    table = found.per_class(["line", "curve", "dot"])
    assert table["class"].tolist() == ["line", "curve", "dot"]
    assert table["n"].tolist() == [3, 2, 2]
    assert table["accuracy_clip"].tolist() == pytest.approx([1, 0.5, 0.5])
    assert table["accuracy_sae"].tolist() == pytest.approx([2 / 3, 1, 0])
    assert table["delta"].tolist() == pytest.approx([-1 / 3, 0.5, -0.5])
    assert table["delta_ci_low"].tolist() == pytest.approx([-1, 0, -1])
    assert table["delta_ci_high"].tolist() == pytest.approx([0, 1, 0])
    before, after = found.confusion(3)
    assert before.tolist() == [[3, 0, 0], [0, 1, 1], [0, 1, 1]]
    assert after.tolist() == [[2, 1, 0], [0, 2, 0], [1, 1, 0]]
    assert (table["accuracy_sae"] * table["n"]).sum() / 7 == pytest.approx(metrics["accuracy_sae"])


def test_a_class_without_images_has_no_row() -> None:
    x = planted([0, 0])
    assert zero_shot(x, x, np.array([0, 0]), WEIGHTS).per_class(["a", "b", "c"])["class"].tolist() == ["a"]


def test_a_perfect_reconstruction_costs_nothing() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 4)).astype(np.float32)
    found = zero_shot(x, x.copy(), rng.integers(0, 3, 50), WEIGHTS)
    assert (found.delta, found.interval, found.flips) == (0.0, (0.0, 0.0), (0, 0, 1.0))


def test_same_generator_same_interval() -> None:
    rng = np.random.default_rng(2)
    x, y, labels = rng.normal(size=(80, 4)), rng.normal(size=(80, 4)), rng.integers(0, 3, 80)
    first, again = (zero_shot(x, y, labels, WEIGHTS, rng=np.random.default_rng(7)).interval for _ in range(2))
    assert first == again
    assert first.low < first.high


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_hat": np.ones((4, 4))}, "do not belong together"),
        ({"labels": np.zeros(2, dtype=int)}, "do not belong together"),
        ({"labels": np.full(3, -1)}, "no labelled row"),
        ({"labels": np.array([0, 3, 1])}, "label 3 has no class among 3"),
        ({"weights": np.ones((3, 5))}, "do not fit class weights"),
    ],
)
def test_bad_arrays_are_refused(change: dict, message: str) -> None:
    good = {"x": np.ones((3, 4)), "x_hat": np.ones((3, 4)), "labels": np.zeros(3, dtype=int), "weights": WEIGHTS}
    with pytest.raises(InputError, match=message):
        zero_shot(**{**good, **change})


def test_distinct_captions_pass_over_missing_ones() -> None:
    own, first = distinct_captions(["b", "", None, "a", "b", "  ", "B"])
    assert own.tolist() == [0, -1, -1, 1, 0, -1, 2]
    assert first.tolist() == [0, 3, 6]


def test_caption_recall_is_paired() -> None:
    rng = np.random.default_rng(3)
    texts = rng.normal(size=(20, 6)).astype(np.float32)
    own = np.arange(20)
    found = caption_recall(texts * 3, np.zeros_like(texts), own, texts, 300, rng)
    metrics = found.metrics()
    for k in KS:
        assert metrics[f"recall_{k}_clip"] == 1.0
        assert metrics[f"recall_{k}_sae"] == pytest.approx(k / 20)
        assert metrics[f"recall_{k}_delta"] == pytest.approx(k / 20 - 1)
    assert metrics["n"] == 20
    assert [(f.lost, f.gained) for f in found.flips] == [(20, 0)] * 3
