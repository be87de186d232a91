"""Seed stability on dictionaries whose matching is known."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sae_core.config import TopK
from sae_core.errors import InputError
from sae_core.evaluate import stability as module
from sae_core.evaluate.stability import stability, stability_of
from sae_core.sae.architectures import SAE
from sae_core.sae.sweep import Swept


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


# ---------------------------------------------------------------- of a sweep


class Planted(Swept):
    """A sweep whose dictionaries and firing counts are given."""

    def __init__(self, members: dict[str, tuple[np.ndarray, list[int]]], table: list[dict[str, object]]) -> None:
        super().__init__(Path("nowhere"), [{"name": name, **row} for name, row in zip(members, table, strict=True)])
        self.members = members

    def sae(self, name: str) -> SAE:
        decoder = torch.from_numpy(self.members[name][0]).float()
        m, d = decoder.shape
        weights = {"W_enc": decoder, "b_enc": torch.zeros(m), "W_dec": decoder, "b_dec": torch.zeros(d)}
        return SAE(TopK(k=1), weights)

    def counts(self, name: str) -> np.ndarray:
        return np.array(self.members[name][1])


def settings(seed: int, k: float | None = 1, **changed: object) -> dict[str, object]:
    return {"architecture": "topk", "k": k, "l1": None, "width": 6, "lr": 0.01, "seed": seed, **changed}


def test_members_that_differ_in_the_seed_only_are_compared() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.normal(size=(6, 9)), rng.normal(size=(6, 9))
    fires = [1] * 6
    swept = Planted(
        {"a": (one, fires), "b": (one[::-1].copy(), fires), "c": (one, fires), "d": (other, fires), "e": (one, fires)},
        [settings(0), settings(1), settings(0, k=2), settings(1, k=2), settings(0, k=3)],
    )
    found = stability_of(swept).set_index("k")
    assert found.index.tolist() == [1, 2], "k = 3 has one seed"
    assert found.loc[1, ["matched", "mmcs", "seeds", "alive"]].tolist() == pytest.approx([1.0, 1.0, 2, 6])
    alone = stability([one, other])
    assert found.loc[2, ["matched", "mmcs"]].tolist() == pytest.approx([alone.matched, alone.mmcs], abs=1e-5)
    assert set(found["note"]) == {""}


def test_pairs_of_three_seeds_have_a_least_and_a_greatest() -> None:
    rng = np.random.default_rng(4)
    one, other = rng.normal(size=(6, 9)), rng.normal(size=(6, 9))
    members = {"a": (one, [1] * 6), "b": (one, [1] * 6), "c": (other, [1] * 6)}
    (row,) = stability_of(Planted(members, [settings(seed) for seed in range(3)])).to_dict("records")
    apart = stability([one, other]).matched
    assert (row["seeds"], row["greatest"], row["least"]) == (3, pytest.approx(1.0), pytest.approx(apart, abs=1e-5))
    assert row["matched"] == pytest.approx((1 + 2 * apart) / 3, abs=1e-5)


def test_dead_latents_of_a_member_are_not_matched() -> None:
    rng = np.random.default_rng(5)
    one = rng.normal(size=(6, 9))
    other = one.copy()
    other[4:] = rng.normal(size=(2, 9))
    fires = [5, 1, 9, 2, 0, 0]
    (row,) = stability_of(Planted({"a": (one, fires), "b": (other, fires)}, [settings(0), settings(1)])).to_dict("records")
    assert (row["matched"], row["alive"]) == (pytest.approx(1.0, abs=1e-6), 4)
    (row,) = stability_of(Planted({"a": (one, [0] * 6), "b": (other, fires)}, [settings(0), settings(1)])).to_dict("records")
    assert np.isnan(row["matched"])
    assert "at least one alive" in row["note"]


def test_settings_that_an_architecture_does_not_have_do_not_part_its_members() -> None:
    one = np.random.default_rng(6).normal(size=(6, 9))
    rows = [settings(seed, k=None, lr=None, architecture="kmeans") for seed in range(2)]
    assert stability_of(Planted({"a": (one, [1] * 6), "b": (one, [1] * 6)}, rows))["seeds"].tolist() == [2]


def test_a_sweep_of_one_seed_has_an_empty_table() -> None:
    found = stability_of(Planted({"a": (np.eye(6), [1] * 6)}, [settings(0)]))
    assert found.empty
    assert isinstance(found, pd.DataFrame)
    assert {"architecture", "k", "width", "lr", "seeds", "matched", "mmcs", "alive"} <= set(found)
