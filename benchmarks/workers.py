"""Worker processes, asked over pipes, and turns taken among them: one trainer computes while the others wait."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from sae_core.errors import InputError

ROOT = Path(__file__).parents[1]
PEERS = Path(".peers/bin/python")
NOISE = 0.05
"""Share of the cores that other programs may take before a table says that the machine was not quiet."""


class WorkerError(InputError):
    """A worker's request failed, or the worker died."""


class Worker:
    """A process that answers one JSON line for each it reads."""

    def __init__(self, command: list[str], log: Path) -> None:
        """`log`: where its stderr goes, appended."""
        self.name, self._log = " ".join(command[1:]), log
        log.parent.mkdir(parents=True, exist_ok=True)
        # Libraries' progress bars would cost time, and each row sets its own number of threads.
        environment = {**os.environ, "TQDM_DISABLE": "1"}
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """The answer to a request. Raises WorkerError when it failed or the worker is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"op": op, **fields}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"worker {self.name} died (exit code {self._process.wait()}): see the end of {self._log}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{fields.get('peer', self.name)}: {answer['error']}")
        return answer

    def close(self) -> None:
        """Let it end, and wait until it has."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it may be gone, with a request half written
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def is_ours(trainer: str) -> bool:
    """Whether a row of a table is served by our own python."""
    return trainer.split("/")[0] in ("ours", "gemm")


def start(trainer: str, peers: Path, log: Path) -> Worker:
    """A worker for a trainer, under our python or the peers'."""
    if is_ours(trainer):
        return Worker([sys.executable, "-m", "benchmarks.ours"], log)
    return Worker([str(peers.absolute()), "-m", "benchmarks.peers"], log)


def available(trainers: Iterable[str], peers: Path, say: Callable[[str], None]) -> list[str]:
    """The trainers that can run here; says in one line what is missing where the peers' python is not there."""
    if peers.is_file():
        return list(trainers)
    say(
        f"no peers: {peers} is not there; python -m venv .peers && .peers/bin/pip install -r requirements-peers.txt, "
        "or --peers PATH; measuring our own rows only"
    )
    return [trainer for trainer in trainers if is_ours(trainer)]


def interleave(turns: Mapping[str, Callable[[], float]], rounds: int, say: Callable[[str], None]) -> dict[str, list[float]]:
    """What each turn returns in each round; a round is one turn of everybody, so that a disturbance meets all alike.

    Odd rounds go in the opposite order, so that nobody always follows the same neighbour.
    """
    found: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds):
        names = list(turns)
        for name in names if number % 2 == 0 else reversed(names):
            found[name].append(turns[name]())
        say(f"round {number + 1} of {rounds}")
    return found


class Quiet:
    """How quiet the machine was: load average before and after, and what share of its cores other programs took meanwhile."""

    def __init__(self, workers: Iterable[Worker]) -> None:
        self._workers = [psutil.Process(worker.pid) for worker in workers]

    def __enter__(self) -> Quiet:
        self.load_before = os.getloadavg()[0]
        self._busy, self._own, self._all = self._now()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        busy, own, everything = self._now()
        elapsed = max(everything - self._all, 1e-9)
        self.others = max(0.0, (busy - self._busy) - (own - self._own)) / elapsed
        self.load_after = os.getloadavg()[0]

    def _now(self) -> tuple[float, float, float]:
        """Seconds of all cores: busy, in our workers and this process, and altogether."""
        times = psutil.cpu_times()
        everything = sum(times)
        processes = [*self._workers, psutil.Process()]
        own = sum(sum(process.cpu_times()[:2]) for process in processes)
        return everything - times.idle - getattr(times, "iowait", 0.0), own, everything

    def line(self) -> str:
        """For the foot of a table; a warning when the machine was not quiet."""
        load = f"Load average {self.load_before:.2f} before, {self.load_after:.2f} after"
        warning = "" if self.others < NOISE else "**Not a quiet machine.** "
        return f"{warning}{load}; other programs took {self.others:.1%} of the cores."
