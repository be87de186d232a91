"""The two logs of a training: `metrics.jsonl` for pandas, one line each few steps, and `train.log` for people, one an epoch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sae_core.errors import InputError

METRICS, TEXT, EVENTS = "metrics.jsonl", "train.log", "tensorboard"
COLUMNS = {"loss": "loss", "mse": "mse", "l1": "l1", "l0": "l0", "r2": "r2", "dead_fraction": "dead"}
"""What an epoch's line says, as the seed project calls it."""
FORMATS = {"loss": ".5f", "mse": ".5g", "l0": ".2f"}


class Log:
    """Appends to both files; on a resume they are cut back to where the state was taken."""

    def __init__(self, folder: Path | None, sizes: Mapping[str, int], events: bool = False) -> None:
        """`events`: write the metrics to `tensorboard/` too. Raises InputError when TensorBoard is not installed."""
        self._folder = folder
        self._events = _event_writer(folder / EVENTS) if events and folder is not None else None
        for name in (METRICS, TEXT):
            if folder is not None:
                file = folder / name
                file.touch()
                os.truncate(file, min(sizes.get(name, 0), file.stat().st_size))

    def sizes(self) -> dict[str, int]:
        """Bytes of each file now."""
        return {} if self._folder is None else {name: (self._folder / name).stat().st_size for name in (METRICS, TEXT)}

    def step(self, record: Mapping[str, float]) -> None:
        """A line of metrics.jsonl: `pandas.read_json(path, lines=True)` reads it."""
        self._append(METRICS, json.dumps(dict(record)))
        if self._events is not None:
            for name, value in record.items():
                self._events.add_scalar(name, value, int(record["step"]))
            self._events.flush()

    def epoch(self, epoch: int, epochs: int, step: int, metrics: Mapping[str, float]) -> None:
        """A line of train.log."""
        numbers = " | ".join(f"{word} {metrics[name]:{FORMATS.get(name, '.4f')}}" for name, word in COLUMNS.items())
        self._append(TEXT, f"epoch {epoch}/{epochs} | step {step} | {numbers}")

    def note(self, text: str) -> None:
        """A remark in train.log."""
        self._append(TEXT, text)

    def _append(self, name: str, line: str) -> None:
        if self._folder is not None:
            with (self._folder / name).open("a", encoding="utf-8") as handle:
                handle.write(line + "\n")


def _event_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("TensorBoard events need the tensorboard package; install it or leave --tensorboard out") from None
    return SummaryWriter(str(folder))
