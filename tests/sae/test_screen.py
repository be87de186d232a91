"""Screening in bf16 selects what float32 selects; a batch's largest entries are those of a sort, wherever it begins to look."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sae_core.sae import screen as module
from sae_core.sae.codes import Codes, above
from sae_core.sae.screen import Screen, halving_pays

Weights = dict[str, Tensor]


def world(m: int = 256, d: int = 32, members: int = 1, seed: int = 0, spread: float = 1.0) -> tuple[Weights, Tensor]:
    g = torch.Generator().manual_seed(seed)
    weights = {
        "W_enc": torch.randn(members * m, d, generator=g) * spread,
        "b_enc": 0.1 * torch.randn(members * m, generator=g),
    }
    return weights, torch.randn(40, d, generator=g)


def dense(codes: Codes) -> Tensor:
    z = torch.zeros(codes.rows, codes.m)
    z[torch.repeat_interleave(codes.ptr.diff()), codes.latents] = codes.values
    return z


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("k", [1, 8, 256])
def test_halved_rows_are_the_whole_ones(k: int, members: int) -> None:
    weights, u = world(members=members)
    whole, halved = (Screen(members, on).rows(weights, u, k) for on in (False, True))
    torch.testing.assert_close(dense(halved), dense(whole), rtol=1e-5, atol=1e-5)
    assert torch.equal(dense(halved) > 0, dense(whole) > 0)


def test_rows_that_bf16_cannot_tell_apart_are_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # Pre-activations between 100 and 100.3: bf16 rounds them to a handful of values, and its candidates are as good as random.
    g = torch.Generator().manual_seed(0)
    weights = {"W_enc": 0.01 * torch.randn(512, 16, generator=g), "b_enc": torch.full((512,), 100.0)}
    u = torch.randn(20, 16, generator=g)
    again: list[int] = []
    inner = Screen._again

    def counted(self: Screen, *args: Tensor) -> None:
        again.append(len(args[2]))
        inner(self, *args)

    monkeypatch.setattr(Screen, "_again", counted)
    whole, halved = (Screen(1, on).rows(weights, u, 8) for on in (False, True))
    assert again == [20]
    assert torch.equal(dense(halved) > 0, dense(whole) > 0)


def test_halved_ties_go_to_the_lowest_index() -> None:
    weights = {"W_enc": torch.ones(64, 4), "b_enc": torch.zeros(64)}
    codes = Screen(1, True).rows(weights, torch.ones(3, 4), 5)
    assert codes.latents.view(3, 5).sort(1).values.tolist() == [[0, 1, 2, 3, 4]] * 3


@pytest.mark.parametrize("halved", [False, True])
@pytest.mark.parametrize("members", [1, 3])
def test_batch_is_a_sort_cut_off(members: int, halved: bool) -> None:
    screen = Screen(members, halved)
    for seed, spread in ((0, 1.0), (1, 1.0), (2, 0.2), (3, 5.0)):  # as the scale changes the last bound is far off
        weights, u = world(members=members, seed=seed, spread=spread)
        counts = [200 + 50 * s for s in range(members)]
        codes, cut = screen.batch(weights, u, counts)
        pre = torch.addmm(weights["b_enc"], u, weights["W_enc"].T).view(len(u), members, 256)
        z = dense(codes).view(len(u), members, members, 256)
        for s, count in enumerate(counts):
            expected = pre[:, s].flatten().topk(count)
            assert int((z[:, s, s] > 0).sum()) == count
            assert float(cut[s]) == pytest.approx(float(expected.values[-1]), rel=1e-5)
            assert torch.equal((z[:, s, s].flatten() > 0).nonzero().flatten(), expected.indices.sort().values)


@pytest.mark.parametrize("halved", [False, True])
def test_batch_keeps_all_that_is_positive_when_that_is_less(halved: bool) -> None:
    weights, u = world()
    weights["b_enc"] -= 12.0
    pre = torch.addmm(weights["b_enc"], u, weights["W_enc"].T)
    positive = int((pre > 0).sum())
    assert 0 < positive < 2000
    for _ in range(2):
        codes, cut = (screen := Screen(1, halved)).batch(weights, u, [2000])
        assert torch.equal(dense(codes) > 0, pre > 0)
        assert float(cut) == pytest.approx(float(pre[pre > 0].min()), rel=1e-4)
    weights["b_enc"] -= 1e4
    codes, cut = screen.batch(weights, u, [2000])
    assert (len(codes.values), float(cut)) == (0, 0.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([7, 64, 200]), st.floats(-3, 3))
def test_above_lists_every_entry_in_order(seed: int, m: int, bound: float) -> None:
    g = torch.Generator().manual_seed(seed)
    pre, low = torch.randn(5, m, generator=g), bound + 0.5 * torch.randn(5, generator=g)
    row, column, values = above(pre, low)
    expected = (pre > low.unsqueeze(1)).nonzero()
    assert torch.equal(torch.stack([row, column], 1), expected)
    assert torch.equal(values, pre[row, column])


def test_whether_halving_pays_is_what_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, u = world()
    times = iter([0.0, 1.0] * 4 + [0.0, 0.5] * 4)
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(times))
    assert halving_pays(weights, u, 4)
    times = iter([0.0, 1.0] * 4 + [0.0, 0.99] * 4)
    assert not halving_pays(weights, u, 4)
