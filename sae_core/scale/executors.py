"""Map a function over shard ids, inline or over spawned processes that may die.

The unit of work is an immutable shard, so an engine only schedules ids: what is done is known by receipts on disk, and a
worker that is killed costs at most the shards it was on. A broken pool is rebuilt, finished shards are skipped, at most
`REBUILDS` times.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from sae_core.errors import InputError, SaeLabError

T = TypeVar("T")
EXECUTORS = ("inline", "processes")
REBUILDS = 3


def map_shards(
    fn: Callable[[int], T],
    shard_ids: Iterable[int],
    workers: int = 0,
    executor: str = "inline",
    done: Callable[[int], bool] = lambda shard: False,
) -> Iterator[tuple[int, T]]:
    """Yield `(shard, fn(shard))` for every shard that is not done, as they finish.

    Args:
        fn: what makes a shard; with `processes` it is pickled, so a function or a dataclass of a module, with plain values.
        shard_ids: the shards wanted.
        workers: processes; 0 means one a core. Inline runs one after the other whatever it says.
        executor: `inline` or `processes`.
        done: whether a shard's receipt exists. Asked before the first pool and again before each rebuilt one, so a shard whose
            worker died after the receipt is not done twice; such a shard is not yielded.

    Raises:
        InputError: an unknown executor.
        SaeLabError: workers died `REBUILDS` + 1 times; names the shards left.
        Whatever `fn` raises, first come first.
    """
    if executor not in EXECUTORS:
        raise InputError(f"no executor {executor!r}; give {' or '.join(EXECUTORS)}")
    wanted = [shard for shard in shard_ids if not done(shard)]
    if executor == "inline":
        for shard in wanted:
            yield shard, fn(shard)
    else:
        yield from _processes(fn, wanted, workers or os.cpu_count() or 1, done)


def _processes(fn: Callable[[int], T], wanted: list[int], workers: int, done: Callable[[int], bool]) -> Iterator[tuple[int, T]]:
    finished: set[int] = set()
    for _ in range(REBUILDS + 1):
        left = [shard for shard in wanted if shard not in finished and not done(shard)]
        if not left:
            return
        # Spawn, not fork: forking a process that holds torch threads or a CUDA context hangs.
        pool = ProcessPoolExecutor(min(workers, len(left)), mp_context=multiprocessing.get_context("spawn"))
        try:
            for shard, result in _completed(pool, fn, left, 2 * workers):
                finished.add(shard)
                yield shard, result
            return
        except BrokenProcessPool:
            continue
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    left = [shard for shard in wanted if shard not in finished and not done(shard)]
    if left:
        named = ", ".join(map(str, left[:8])) + ("..." if len(left) > 8 else "")
        raise SaeLabError(
            f"worker processes died {REBUILDS + 1} times; shards left: {named}; they may have run out of memory: "
            "use fewer workers, then run again (finished shards are kept)"
        )


def _completed(pool: ProcessPoolExecutor, fn: Callable[[int], T], shards: list[int], ahead: int) -> Iterator[tuple[int, T]]:
    """Submit at most `ahead` shards at a time, so that a million of them are not a million futures."""
    queue = iter(shards)
    running: dict[Future[T], int] = {}
    while True:
        while len(running) < ahead and (shard := next(queue, None)) is not None:
            running[pool.submit(fn, shard)] = shard
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future.result()
