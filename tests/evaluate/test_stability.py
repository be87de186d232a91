"""Seed stability on dictionaries whose matching is known."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_core.errors import InputError
from sae_core.evaluate import stability as module
from sae_core.evaluate.stability import stability


def test_a_shuffled_dictionary_is_the_same() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(30, 12))
    order = rng.permutation(30)
    found = stability([a, a[order] * rng.uniform(0.2, 5, (30, 1))])
    assert found.matched == pytest.approx(1.0, abs=1e-6)
    assert found.mmcs == pytest.approx(1.0, abs=1e-6)


def test_by_hand_where_the_two_measures_differ() -> None:
    # Both rows of a are nearest to (1, 0): MMCS takes it twice (1, .8), a matching cannot (1 + .6, or 0 + .8).
    a = np.array([[1.0, 0.0], [0.8, 0.6]])
    b = np.array([[1.0, 0.0], [0.0, 1.0]])
    found = stability([a, b])
    assert found.matched == pytest.approx((1.0 + 0.6) / 2)
    assert found.mmcs == pytest.approx(((1.0 + 0.8) / 2 + (1.0 + 0.6) / 2) / 2)
    assert found.best[1] == pytest.approx([1.0, 0.6])


@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 5))
def test_matching_is_the_best_of_all(seed: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(first, 3)), rng.normal(size=(second, 3))
    a, b = a / np.linalg.norm(a, axis=1, keepdims=True), b / np.linalg.norm(b, axis=1, keepdims=True)
    small, large = (a, b) if first <= second else (b, a)
    cosine = small @ large.T
    best = max(np.mean([cosine[i, p] for i, p in enumerate(order)]) for order in permutations(range(len(large)), len(small)))
    found = stability([a, b])
    assert found.matched == pytest.approx(best, abs=1e-6)
    assert found.mmcs == pytest.approx((cosine.max(axis=0).mean() + cosine.max(axis=1).mean()) / 2, abs=1e-6)


def test_dead_latents_are_left_out_where_a_peer_keeps_them() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=(10, 8))
    b = a.copy()
    b[6:] = rng.normal(size=(4, 8))
    alive = np.arange(10) < 6
    ours, peers = stability([a, b], [alive, alive]), stability([a, b])
    assert ours.matched == pytest.approx(1.0, abs=1e-6)
    assert ours.alive == (6, 6)
    assert np.isnan(ours.best[0]).tolist() == (~alive).tolist()
    assert peers.matched < 0.9  # MSAE's convention: all latents, dead ones at their initial directions


def test_three_dictionaries_are_three_pairs() -> None:
    rng = np.random.default_rng(2)
    dictionaries = [rng.normal(size=(m, 5)) for m in (6, 7, 9)]
    found = stability(dictionaries)
    for (a, b), value in found.pairs.items():
        assert value == pytest.approx(stability([dictionaries[a], dictionaries[b]]).matched)
    assert sorted(found.pairs) == [(0, 1), (0, 2), (1, 2)]
    assert found.matched == pytest.approx(np.mean(list(found.pairs.values())))
    both = [stability([dictionaries[0], dictionaries[i]]).best[0] for i in (1, 2)]
    np.testing.assert_allclose(found.best[0], np.mean(both, axis=0))
    assert found.metrics()["stability_dictionaries"] == 3


def test_what_cannot_be_compared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one = np.ones((3, 2))
    with pytest.raises(InputError, match="two or more dictionaries of one width"):
        stability([one])
    with pytest.raises(InputError, match="one width"):
        stability([one, np.ones((3, 4))])
    with pytest.raises(InputError, match="at least one alive"):
        stability([one, one], [np.zeros(3, dtype=bool)] * 2)
    monkeypatch.setattr(module, "MEMORY", 8)
    with pytest.raises(InputError, match="GiB"):
        stability([one, one])
