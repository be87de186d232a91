"""Progress is an injected object: a stage calls `report(Event(...))` and knows nothing of terminals or pages.

A report may raise `Cancelled`; that is how a running stage is stopped.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from tqdm import tqdm


@dataclass(frozen=True)
class Event:
    """Where a stage stands: `step` of `total` (0 when unknown), with the numbers it has at hand."""

    stage: str
    step: int
    total: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    message: str = ""

    def to_json(self) -> str:
        """One line of JSON, with the wall clock in seconds."""
        record = {"time": round(time.time(), 3), "stage": self.stage, "step": self.step, "total": self.total}
        return json.dumps({**record, "metrics": dict(self.metrics), "message": self.message})


Report = Callable[[Event], None]


def silent(event: Event) -> None:
    """Report nothing."""


class Lines:
    """Plain lines on a stream, at most one every `seconds` for each stage, the last step always."""

    def __init__(self, stream: TextIO | None = None, seconds: float = 2.0) -> None:
        self._stream = stream or sys.stderr
        self._seconds = seconds
        self._last: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        finished = event.total and event.step >= event.total
        if not finished and not event.message and now - self._last.get(event.stage, -1e9) < self._seconds:
            return
        self._last[event.stage] = now
        of = f"{event.step}/{event.total}" if event.total else str(event.step)
        print(
            " ".join(part for part in (event.stage, of, _numbers(event.metrics), event.message) if part),
            file=self._stream,
        )


class Bars:
    """One tqdm bar a stage, for a terminal. Messages are written above the bar."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._bar: tqdm[Any] | None = None
        self._stage = ""

    def __call__(self, event: Event) -> None:
        if self._bar is None or self._stage != event.stage:
            self.close()
            self._stage = event.stage
            self._bar = tqdm(total=event.total or None, desc=event.stage, file=self._stream, leave=True, dynamic_ncols=True)
        if event.total:
            self._bar.total = event.total
        if event.message:
            self._bar.write(f"{event.stage}: {event.message}", file=self._stream)
        self._bar.n = event.step
        self._bar.set_postfix_str(_numbers(event.metrics), refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        """End the current bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def both(*reports: Report) -> Report:
    """A report that passes every event to each of `reports`, in order."""

    def report(event: Event) -> None:
        for one in reports:
            one(event)

    return report


def _numbers(metrics: Mapping[str, float]) -> str:
    return " ".join(f"{name}={value:.4g}" for name, value in metrics.items())
