"""Single trainings of the quality benchmark: each one line of a file, done once, whatever was interrupted."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.datasets import DataSet
from benchmarks.workers import ROOT, Worker, is_ours, start
from sae_core.sae.quality import Quality

GRID = (3e-4, 1e-3, 3e-3, 1e-2)
BEYOND = (3e-2, 1e-1)
"""Rates that are tried after the grid, one after the other, while the highest so far is the best."""
SETS = ("test", "validate", "train")


@dataclass(frozen=True)
class Setup:
    """Dictionary, batch and steps of a data set, the same for every trainer."""

    m: int
    k: int
    batch: int
    steps: int


@dataclass(frozen=True)
class Run:
    """One training. `lr` None is the trainer's own default; see `protocol.Job` for `tuned` and `standardise`."""

    trainer: str
    seed: int
    lr: float | None = None
    tuned: bool = False
    standardise: bool = False


class Results:
    """The file of finished runs."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, threading.Lock()
        self._found: dict[str, dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                self._found[_key(record["settings"])] = record

    def get(self, settings: dict[str, Any]) -> dict[str, Any] | None:
        """What a run with these settings found, if it was made."""
        with self._lock:
            return self._found.get(_key(settings))

    def add(self, settings: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
        """Append a finished run."""
        record = {"settings": settings, **found}
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            self._found[_key(settings)] = record
        return record


def _key(settings: dict[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def code_of(trainer: str) -> str:
    """What a trainer's results depend on beside its settings: our trainer's source, or the peers' pinned versions."""
    digest = hashlib.sha256()
    if is_ours(trainer):
        for path in sorted([*(ROOT / "sae_core" / "sae").rglob("*.py"), *(ROOT / "sae_core" / "config").rglob("*.py")]):
            digest.update(path.read_bytes())
    else:
        digest.update((ROOT / "requirements-peers.txt").read_bytes())
    return digest.hexdigest()[:12]


class Chain:
    """All trainings of one trainer on one data set, one after the other in one worker."""

    def __init__(self, trainer: str, data: DataSet, setup: Setup, results: Results, peers: Path, log: Path) -> None:
        self.trainer, self.data, self.setup = trainer, data, setup
        self._results, self._peers, self._log = results, peers, log
        self._code = code_of(trainer)
        self._worker: Worker | None = None

    def settings(self, run: Run) -> dict[str, Any]:
        """Everything that a run's result follows from."""
        where = {"data": self.data.name, "data_identity": self.data.identity, "code": self._code}
        return {**where, **asdict(self.setup), **asdict(run)}

    def do(self, run: Run) -> dict[str, Any]:
        """The record of a run, made now where it was not made before."""
        settings = self.settings(run)
        return self._results.get(settings) or self._results.add(settings, self._train(run))

    def _train(self, run: Run) -> dict[str, Any]:
        if self._worker is None:
            self._worker = start(self.trainer, self._peers, self._log)
        part = "train" if is_ours(self.trainer) else "fit"  # ours keeps rows aside itself, as many
        job = {"peer": run.trainer, "rows": self.data.path(part), **asdict(self.setup)}
        fields = {name: value for name, value in asdict(run).items() if name != "trainer"}
        built = self._worker.ask("build", **job, **fields, threads=1)
        trained = self._worker.ask("train")
        with tempfile.TemporaryDirectory() as folder:
            self._worker.ask("finish", sets={name: self.data.path(name) for name in SETS}, out=folder)
            found = measured(self.data, Path(folder))
        return {"lr_used": built["lr"], "seconds": round(trained["seconds"], 2), **found}

    def close(self) -> None:
        """End the worker, if one was needed."""
        if self._worker is not None:
            self._worker.close()


def measured(data: DataSet, folder: Path) -> dict[str, float]:
    """What a finished training is worth, from what its worker wrote: by the project's own definitions, the same for everybody.

    Returns: r2, l0, cosine on the test rows; validation_r2; dead_fraction over training and test rows; mmcs where truth is known.
    """
    found, counts = {}, {}
    for name in SETS:
        counts[name] = np.load(folder / f"{name}.counts.npy", allow_pickle=False)
        if name == "train":
            continue
        x = np.load(data.path(name), allow_pickle=False)
        quality = Quality(x.shape[1], len(counts[name]))
        quality.add(x, np.load(folder / f"{name}.x_hat.npy", allow_pickle=False), torch.from_numpy(counts[name]), 0.0)
        metrics = quality.metrics()
        if name == "test":
            found.update({key: metrics[key] for key in ("r2", "l0", "cosine")})
        else:
            found["validation_r2"] = metrics["r2"]
    found["dead_fraction"] = float(np.mean(counts["train"] + counts["test"] == 0))
    truth = data.truth()
    if truth is not None:
        found["mmcs"] = mmcs(truth, np.load(folder / "decoder.npy", allow_pickle=False))
    return found


def mmcs(truth: NDArray[np.float32], decoder: NDArray[np.float32]) -> float:
    """Mean over true features of the largest cosine to any decoder direction: mean_t max_j cos(f_t, D_j)."""
    unit = decoder / np.maximum(np.linalg.norm(decoder, axis=1, keepdims=True), 1e-12)
    return float((truth / np.linalg.norm(truth, axis=1, keepdims=True) @ unit.T).max(1).mean())


def searched(trainer: str) -> bool:
    """Whether a best setting is looked for: not for ours, which is given none, nor for the seed's recipe, which is one."""
    return not is_ours(trainer) and not trainer.startswith("seed/")


def trainings(chain: Chain, seeds: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The rows of a table that a chain gives: ("default", records by seed), and for a peer ("best", records by seed).

    The best setting is chosen at seed 0 by R² on the held-out training rows, among the default and each rate of `GRID` (and
    `BEYOND`, where the best is its last) with warm-up, decay and standardised rows.
    """
    default = Run(chain.trainer, 0)
    yield "default", [chain.do(replace(default, seed=seed)) for seed in range(seeds)]
    if searched(chain.trainer):
        tuned = [Run(chain.trainer, 0, lr, tuned=True, standardise=True) for lr in (*GRID, *BEYOND)]
        scores = {run: _score(chain.do(run)) for run in tuned[: len(GRID)]}
        for run in tuned[len(GRID) :]:
            if max(scores, key=scores.__getitem__) != tuned[len(scores) - 1]:
                break
            scores[run] = _score(chain.do(run))
        scores[default] = _score(chain.do(default))
        best = max(scores, key=scores.__getitem__)
        yield "best", [chain.do(replace(best, seed=seed)) for seed in range(seeds)]


def count(trainer: str, seeds: int) -> int:
    """How many trainings a chain makes."""
    return seeds + (len(GRID) + seeds - 1 if searched(trainer) else 0)


def _score(record: dict[str, Any]) -> float:
    value = float(record["validation_r2"])
    return value if math.isfinite(value) else -math.inf  # a rate at which a peer diverges is not its best
