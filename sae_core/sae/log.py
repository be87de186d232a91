"""The two logs of a training: `metrics.jsonl` for pandas, one line each few steps, and `train.log` for people, one an epoch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

METRICS, TEXT = "metrics.jsonl", "train.log"
COLUMNS = {"loss": "loss", "mse": "mse", "l1": "l1", "l0": "l0", "r2": "r2", "dead_fraction": "dead"}
"""What an epoch's line says, as the seed project calls it."""
FORMATS = {"loss": ".5f", "mse": ".5g", "l0": ".2f"}


class Log:
    """Appends to both files; on a resume they are cut back to where the state was taken."""

    def __init__(self, folder: Path | None, sizes: Mapping[str, int]) -> None:
        self._folder = folder
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
