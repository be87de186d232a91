"""All latents through a vision model: several at once, each finished record handed over at once, and an orderly end.

What ends a job early (a stop, a refused key, the cap) loses nothing: finished records are with the caller, and the replies of
unfinished latents are in the client's call cache, so that going on pays for none of them again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from sae_core.interpret.vision.messages import Failure

Record = dict[str, Any]
TICK_SECONDS = 0.5


class Stopped(Exception):
    """Raised within a worker when the job ends before its latent is finished."""


@dataclass(frozen=True)
class Ended:
    """How a job ended: `failure` is what stopped it, None when it ran through or was asked to stop."""

    finished: int
    failure: Failure | None
    stopped: bool


def run_vision(
    latents: Iterable[int],
    record: Callable[[int, Callable[[], bool]], Record | Failure],
    on_record: Callable[[Record], None],
    *,
    workers: int = 4,
    stop: Callable[[], bool] = lambda: False,
    tick: Callable[[], None] = lambda: None,
    over: threading.Event | None = None,
) -> Ended:
    """Make the records of latents, `workers` at once.

    Args:
        latents: ids, in the order in which they are begun.
        record: makes one record in a worker thread. It asks its second argument before each request whether the job is over,
            and then raises Stopped. A Failure it returns ends the job.
        on_record: receives every finished record, in the caller's thread; what it raises ends the job and is raised here.
        workers: latents at once.
        stop: asked twice a second and with every record; True ends the job.
        tick: called as often, for a sign of life; what it raises ends the job and is raised here.
        over: set when the job ends, for whoever waits between sends.

    Returns: how many records were handed over, and why it ended. Requests under way are waited for, since they are paid.
    """
    over = threading.Event() if over is None else over
    todo = iter(latents)
    finished, failure, stopped = 0, None, False
    pending: set[Future[Record | Failure]] = set()
    with ThreadPoolExecutor(workers, thread_name_prefix="vision") as pool:
        try:
            while True:
                stopped = stopped or stop()
                if stopped:
                    over.set()
                while not over.is_set() and len(pending) < 2 * workers:
                    latent = next(todo, None)
                    if latent is None:
                        break
                    pending.add(pool.submit(record, latent, over.is_set))
                if not pending:
                    return Ended(finished, failure, stopped)
                done, pending = wait(pending, TICK_SECONDS, FIRST_COMPLETED)
                for future in done:
                    made = _result(future)
                    if isinstance(made, Failure):
                        failure = failure or made
                        over.set()
                    elif made is not None:
                        on_record(made)
                        finished += 1
                tick()
        finally:
            over.set()
            for future in pending:
                future.cancel()


def _result(future: Future[Record | Failure]) -> Record | Failure | None:
    try:
        return future.result()
    except Stopped:
        return None
