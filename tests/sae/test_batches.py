"""Batches: every row once an epoch, whatever the pool's size, and the same for a step however one comes to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sae_core.errors import InputError
from sae_core.sae import batches as module
from sae_core.sae.batches import Arrays, Batches, Pool, held_out


def counting(n: int, cuts: tuple[int, ...] = ()) -> Arrays:
    """Rows [i, i]."""
    return Arrays([part.astype(np.float32) for part in np.split(np.repeat(np.arange(n)[:, None], 2, axis=1), cuts)])


def pool(n: int, cuts: tuple[int, ...] = ()) -> Pool:
    return Pool([(counting(n, cuts), np.arange(n))], 2)


@pytest.fixture(params=[1, 3, 100])
def _small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 4 rows: one or three in a window, or all of them."""
    monkeypatch.setattr(module, "BLOCK", 4)
    monkeypatch.setattr(module, "WINDOW", request.param)


def ids(stream: Batches, steps: range) -> np.ndarray:
    return torch.cat([stream.at(step) for step in steps])[:, 0].numpy().astype(int)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize(("n", "batch"), [(35, 7), (35, 10), (36, 4), (5, 12)])
def test_each_epoch_has_every_row_once(n: int, batch: int) -> None:
    seen = ids(Batches(pool(n, (10, 11)), batch, 3, lambda x: x), range(2 * n))
    for epoch in range(2 * batch):
        assert sorted(seen[epoch * n : (epoch + 1) * n]) == list(range(n))
    assert list(seen[:n]) != list(seen[n : 2 * n])


@pytest.mark.usefixtures("_small_blocks")
def test_a_step_has_the_same_batch_in_any_order_of_asking() -> None:
    forward = Batches(pool(35), 6, 3, lambda x: x)
    expected = [forward.at(step) for step in range(20)]
    for step in (13, 2, 19, 0, 13):
        fresh = Batches(pool(35), 6, 3, lambda x: x)
        assert torch.equal(forward.at(step), expected[step])
        assert torch.equal(fresh.at(step), expected[step])
    assert not torch.equal(Batches(pool(35), 6, 4, lambda x: x).at(0), expected[0])


def test_memory_holds_one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 4)
    monkeypatch.setattr(module, "WINDOW", 2)
    taken = []

    def prepare(x: torch.Tensor) -> torch.Tensor:
        taken.append(x[:, 0].numpy().astype(int))
        return x

    ids(Batches(pool(40), 8, 0, prepare), range(5))
    assert [len(rows) for rows in taken] == [8] * 5
    for rows in taken:  # whole blocks, so that a disk reads in long runs
        assert all(len(set(block // 4)) == 1 for block in rows.reshape(2, 4))


def test_a_pool_of_one_window_is_read_once() -> None:
    reads = []
    stream = Batches(pool(40), 8, 0, lambda x: reads.append(len(x)) or x)
    ids(stream, range(50))
    assert reads == [40]


def test_pools_over_several_sources() -> None:
    one, two = counting(10), Arrays([100 + np.arange(12, dtype=np.float32).reshape(6, 2)])
    both = Pool([(one, np.array([9, 2, 4])), (two, np.array([], dtype=int)), (two, np.array([5, 0]))], 2)
    assert both.n == 5
    assert both.take(np.array([4, 0, 2, 3]))[:, 0].tolist() == [100, 9, 4, 110]
    assert torch.cat(list(both.blocks(2)))[:, 0].tolist() == [9, 2, 4, 110, 100]
    assert torch.cat(list(both.without(np.array([0, 3])).blocks()))[:, 0].tolist() == [2, 4, 100]
    assert torch.cat(list(both.only(np.array([4, 1])).blocks()))[:, 0].tolist() == [2, 100]


def test_a_row_that_is_no_number_is_named() -> None:
    x = np.ones((8, 2), dtype=np.float32)
    x[5, 1] = np.nan
    with pytest.raises(InputError, match="embedding row 5 of the training rows"):
        Pool([(Arrays([x]), np.arange(8))], 2).take(np.arange(8))


@pytest.mark.parametrize("arrays", [[], [np.zeros(3)], [np.zeros((2, 3)), np.zeros((2, 4))]])
def test_arrays_of_no_common_width_are_refused(arrays: list[np.ndarray]) -> None:
    with pytest.raises(InputError, match="must be arrays"):
        Arrays(arrays)


def test_held_out_rows_are_whole_groups() -> None:
    groups = np.repeat(np.arange(100), 3)
    chosen = held_out(groups, 0.1, 2048, seed=0)
    assert len(chosen) == 30
    assert (np.bincount(groups[chosen], minlength=100) % 3 == 0).all()
    assert not np.array_equal(chosen, held_out(groups, 0.1, 2048, seed=1))
    assert len(held_out(groups, 0.1, 12, seed=0)) == 12
    assert len(held_out(np.zeros(50, dtype=int), 0.1, 2048, seed=0)) == 0
    one_huge = np.concatenate([np.zeros(80, dtype=int), np.arange(1, 21)])
    assert 0 not in one_huge[held_out(one_huge, 0.1, 2048, seed=0)]
