"""Shards are each done once, in one process or several, also when a worker is killed."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from sae_core.errors import InputError, SaeLabError
from sae_core.scale import map_shards
from sae_core.scale.executors import REBUILDS


@dataclass(frozen=True)
class Square:
    """Squares a shard id, leaves a receipt, and kills its own process on `deadly` as long as `lives` files are missing."""

    folder: Path
    deadly: int | None = None
    deaths: int = 0
    after_receipt: bool = False

    def __call__(self, shard: int) -> int:
        if self.after_receipt:
            self._receipt(shard)
        if shard == self.deadly and len(list(self.folder.glob("death-*"))) < self.deaths:
            (self.folder / f"death-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        self._receipt(shard)
        return shard * shard

    def _receipt(self, shard: int) -> None:
        with (self.folder / f"receipt-{shard}").open("a") as handle:
            handle.write("x")

    def done(self, shard: int) -> bool:
        return (self.folder / f"receipt-{shard}").is_file()


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_every_shard_once(tmp_path: Path, executor: str) -> None:
    work = Square(tmp_path)
    found = dict(map_shards(work, range(7), workers=2, executor=executor))
    assert found == {i: i * i for i in range(7)}
    assert all((tmp_path / f"receipt-{i}").read_text() == "x" for i in range(7))


def test_done_shards_are_skipped(tmp_path: Path) -> None:
    work = Square(tmp_path)
    (tmp_path / "receipt-2").touch()
    assert [shard for shard, _ in map_shards(work, range(4), done=work.done)] == [0, 1, 3]


def test_a_killed_worker_costs_only_its_shard(tmp_path: Path) -> None:
    work = Square(tmp_path, deadly=3, deaths=2)
    found = dict(map_shards(work, range(6), workers=1, executor="processes", done=work.done))
    assert len(list(tmp_path.glob("death-*"))) == 2
    # A shard whose result was on its way when the pool broke is known by its receipt instead.
    assert all(work.done(i) for i in range(6))
    assert all(value == shard * shard for shard, value in found.items())
    assert all((tmp_path / f"receipt-{i}").read_text() == "x" for i in range(6))


def test_a_worker_killed_after_its_receipt_is_not_run_again(tmp_path: Path) -> None:
    work = Square(tmp_path, deadly=0, deaths=99, after_receipt=True)
    assert dict(map_shards(work, [0], workers=1, executor="processes", done=work.done)) == {}
    assert len(list(tmp_path.glob("death-*"))) == 1


def test_gives_up_with_one_line(tmp_path: Path) -> None:
    work = Square(tmp_path, deadly=1, deaths=99)
    with pytest.raises(SaeLabError, match=r"died 4 times; shards left: 1;.*fewer workers"):
        list(map_shards(work, [1], workers=1, executor="processes", done=work.done))
    assert len(list(tmp_path.glob("death-*"))) == REBUILDS + 1


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_what_the_function_raises_comes_out(executor: str) -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_shards(divide, [1, 0], workers=1, executor=executor))


def divide(shard: int) -> float:
    return 1 / shard


def test_unknown_executor() -> None:
    with pytest.raises(InputError, match="'ray'; give inline or processes"):
        list(map_shards(divide, [1], executor="ray"))
