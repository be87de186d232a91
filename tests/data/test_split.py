"""The split: together what belongs together, every class on both sides, the same for the same content."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sae_core.data.split import split


def identities(n: int) -> list[str]:
    return [f"content {i}" for i in range(n)]


def singles(labels: list[int], fraction: float = 0.2, seed: int = 0) -> np.ndarray:
    n = len(labels)
    return split(np.array(labels), np.arange(n), identities(n), fraction, seed)


def test_each_class_gives_its_share() -> None:
    labels = [0] * 50 + [1] * 10 + [2] * 5
    test = singles(labels)
    assert [int(test[np.array(labels) == c].sum()) for c in range(3)] == [10, 2, 1]


def test_a_small_class_is_on_both_sides_and_a_single_picture_is_trained_on() -> None:
    test = singles([0, 0, 1], fraction=0.01)
    assert test[:2].sum() == 1
    assert not test[2]
    assert singles([0, 0], fraction=0.99).sum() == 1


def test_rows_without_a_class_are_split_too() -> None:
    assert singles([-1] * 100, fraction=0.25).sum() == 25


def test_order_and_names_do_not_matter_but_the_seed_does() -> None:
    n = 200
    labels, order = np.arange(n) % 4, np.random.default_rng(0).permutation(n)
    test = split(labels, np.arange(n), identities(n), 0.3, 7)
    shuffled = split(labels[order], np.arange(n), [identities(n)[i] for i in order], 0.3, 7)
    assert np.array_equal(shuffled, test[order])
    assert not np.array_equal(test, split(labels, np.arange(n), identities(n), 0.3, 8))


def test_adding_pictures_hardly_moves_the_others() -> None:
    before, after = singles([0] * 200), singles([0] * 210)
    assert (before != after[:200]).sum() <= 10


def test_a_group_that_is_larger_than_the_share_does_not_empty_a_side() -> None:
    groups = np.array([0] * 9 + [9])
    assert split(np.zeros(10, dtype=np.int64), groups, identities(10), 0.05, 0).tolist() == [False] * 9 + [True]
    assert split(np.zeros(9, dtype=np.int64), np.array([0] * 4 + [4] * 5), identities(9), 0.1, 0).sum() == 4


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), min_size=1, max_size=40), st.floats(0.01, 0.99), st.integers(0, 5)
)
def test_groups_stay_whole_and_classes_have_both_sides(made: list[tuple[int, int]], fraction: float, seed: int) -> None:
    labels = np.array([label for label, size in made for _ in range(size)])
    groups = np.array([number for number, (_, size) in enumerate(made) for _ in range(size)])
    test = split(labels, groups, identities(len(labels)), fraction, seed)
    for number in range(len(made)):
        assert len(set(test[groups == number].tolist())) == 1
    for label in set(labels.tolist()):
        own = labels == label
        assert len(set(test[own].tolist())) == min(2, len(set(groups[own].tolist())))


@given(
    st.integers(4, 30).flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(0, 3), min_size=n, max_size=n), st.lists(st.integers(0, n // 2), min_size=n, max_size=n)
        )
    )
)
def test_groups_that_span_classes_stay_whole(made: tuple[list[int], list[int]]) -> None:
    labels, groups = np.array(made[0]), np.array(made[1])
    test = split(labels, groups, identities(len(labels)), 0.3, 0)
    for number in set(groups.tolist()):
        assert len(set(test[groups == number].tolist())) == 1


def test_a_class_left_on_one_side_by_a_shared_group_gets_a_group_on_the_other() -> None:
    # Class 0 has groups {a} and {b, shared with the rarer class 1}; whatever class 1 does, class 0 ends up on both sides.
    labels, groups = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 3, 4])
    for seed in range(20):
        test = split(labels, groups, identities(5), 0.3, seed)
        assert len(set(test[labels == 0].tolist())) == 2, seed
