"""The protocol of the benchmarks' workers: a JSON request a line on stdin, a JSON answer a line on stdout.

The peers' own python runs one side of it, so this file imports nothing of the project. Requests, by `op` (a build's fields are
those of `Job`; an answer holds `error` instead when its request failed):

    versions   of `packages`                                -> versions, cuda
    build      make a trainer at a given setting            -> lr, setting, threads
    calibrate  make one at each setting, keep the fastest   -> the same, step_seconds, tried
    steps      train `n` steps                              -> seconds, rows
    train      the whole training                           -> seconds, rows
    finish     end it, run it over `sets`, write to `out`   -> l0 of each set
    memory     build, train `n` steps                       -> mib by which this process' peak memory grew
    drop       forget the trainer
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor

BLOCK = 1024
"""Rows that are measured together."""

Frozen = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From rows [n, d] to reconstructions [n, d] and codes [n, m]."""


@dataclass
class Job:
    """What to train.

    `rows` is a .npy file [n, d]; `lr` None is the package's default; `tuned` adds warm-up and decay where the package can;
    `standardise` feeds rows of mean 0 and mean square norm 1 instead of raw ones; `setting` is one of the trainer's `offers`.
    """

    peer: str
    rows: str
    m: int
    k: int
    batch: int
    steps: int
    lr: float | None = None
    seed: int = 0
    tuned: bool = False
    standardise: bool = False
    device: str = "cpu"
    threads: int = 1
    setting: dict[str, Any] = field(default_factory=dict)

    def after(self, share: float, most: int) -> int:
        """A package's default number of steps, shortened where the run is too short for it."""
        return min(most, int(share * self.steps))


class Trainee:
    """One trainer at one setting, on rows [n, d] that are on the device already."""

    lr: float | None
    """The rate in use, where it is known."""

    def __init__(self, job: Job, rows: Tensor) -> None:
        self.job, self.rows = job, rows
        self.d, self.done = rows.shape[1], 0

    @classmethod
    def offers(cls, device: str) -> list[dict[str, Any]]:
        """The settings, beside the number of threads, among which the fastest is chosen."""
        return [{"precision": "fp32"}]

    def fit(self, ids: Iterable[Tensor]) -> None:
        """A training step for each batch of row numbers."""
        for batch in ids:
            self.step(self.rows[batch])
            self.done += 1

    def train(self, ids: Iterable[Tensor]) -> None:
        """The whole training, as a user of the package would run it."""
        self.fit(ids)

    def step(self, x: Tensor) -> None:
        raise NotImplementedError

    def frozen(self) -> Frozen:
        """End the training; the dictionary as the package's users run it afterwards."""
        raise NotImplementedError

    def decoder(self) -> Tensor:
        """Decoder directions [m, d]."""
        raise NotImplementedError


class Session:
    """What a worker does with its requests: one trainer at a time."""

    def __init__(self, trainers: dict[str, type[Trainee]]) -> None:
        self.trainers = trainers
        self.trainee: Trainee | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request; `{"error": ...}` when it fails."""
        asked = dict(request)
        try:
            action = getattr(self, f"op_{asked.pop('op', None)}", None)
            if action is None:
                raise ValueError(f"unknown op {request.get('op')!r}")
            return action(**asked)  # type: ignore[no-any-return]
        except Exception as error:  # whatever a package raises becomes the answer; the parent says which row it was
            traceback.print_exc()
            return {"error": _line(error)}

    # ------------------------------------------------------------ what can be asked

    def op_versions(self, packages: list[str]) -> dict[str, Any]:
        found = {}
        for package in packages:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                found[package] = importlib.metadata.version(package)
        cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        return {"versions": found, "cuda": cuda}

    def op_build(self, **wanted: Any) -> dict[str, Any]:
        self.op_drop()
        unknown = set(wanted) - {f.name for f in fields(Job)}
        if unknown:
            raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
        job = Job(**wanted)
        if job.peer not in self.trainers:
            raise ValueError(f"no trainer {job.peer!r}; there are {', '.join(self.trainers)}")
        kind = self.trainers[job.peer]
        job.setting = job.setting or kind.offers(job.device)[0]
        torch.set_num_threads(job.threads)
        self.mean, self.scale = torch.zeros((), device=job.device), 1.0
        rows = _rows(job.rows, job.device)
        if job.standardise:
            self.mean = rows.mean(0)
            self.scale = float((rows - self.mean).square().sum(1).mean().rsqrt())
            rows = (rows - self.mean).mul_(self.scale)
        self.trainee = kind(job, rows)
        self.ids = _ids(len(rows), job.batch, job.seed, job.device)
        return {"lr": self.trainee.lr, "setting": job.setting, "threads": job.threads}

    def op_calibrate(self, cores: int, n: int, **wanted: Any) -> dict[str, Any]:
        tried: list[dict[str, Any]] = []
        for setting in self.trainers[wanted["peer"]].offers(wanted.get("device", "cpu")):
            last = math.inf
            for threads in _halved(cores):
                built: dict[str, Any] = {"setting": setting, "threads": threads}
                try:
                    built.update(self.op_build(**wanted, **built))
                    self.op_steps(1)
                    last, before = min(self.op_steps(1)["seconds"] for _ in range(n)), last
                except Exception as error:  # a setting that a package offers and that fails here is none
                    tried.append({**built, "error": _line(error)})
                    break
                tried.append({**built, "step_seconds": last})
                if last > before:  # fewer threads are slower already; still fewer will be
                    break
        sound = [one for one in tried if "error" not in one]
        if not sound:
            raise ValueError(tried[-1]["error"])
        best = min(sound, key=lambda one: one["step_seconds"])
        self.op_build(**wanted, setting=best["setting"], threads=best["threads"])
        self.op_steps(1)
        return {**best, "tried": tried}

    def op_steps(self, n: int) -> dict[str, Any]:
        trainee = self._trainee()
        ids = [next(self.ids) for _ in range(n)]
        start = _now()
        trainee.fit(iter(ids))
        return {"seconds": _now() - start, "rows": n * trainee.job.batch}

    def op_train(self) -> dict[str, Any]:
        trainee = self._trainee()
        ids = [next(self.ids) for _ in range(trainee.job.steps)]
        start = _now()
        trainee.train(iter(ids))
        return {"seconds": _now() - start, "rows": trainee.job.steps * trainee.job.batch}

    def op_finish(self, sets: dict[str, str], out: str) -> dict[str, Any]:
        trainee, folder, l0 = self._trainee(), Path(out), {}
        folder.mkdir(parents=True, exist_ok=True)
        with torch.no_grad():
            run = trainee.frozen()
            for name, path in sets.items():
                rows = _rows(path, "cpu")
                x_hat = np.empty(rows.shape, np.float32)
                fired = []
                for start in range(0, len(rows), BLOCK):
                    x = rows[start : start + BLOCK].to(trainee.job.device)
                    u_hat, z = run((x - self.mean) * self.scale)
                    x_hat[start : start + BLOCK] = (u_hat / self.scale + self.mean).float().cpu().numpy()
                    fired.append((z > 0).sum(0).cpu())
                counts = torch.stack(fired).sum(0)
                np.save(folder / f"{name}.x_hat.npy", x_hat)
                np.save(folder / f"{name}.counts.npy", counts.numpy())
                l0[name] = float(counts.sum()) / len(rows)
            np.save(folder / "decoder.npy", trainee.decoder().detach().float().cpu().numpy())
        return {"l0": l0}

    def op_memory(self, n: int, **wanted: Any) -> dict[str, Any]:
        # Imports are over once a first trainer was built: what is measured is training.
        self.op_build(**{**wanted, "m": 64, "k": 4, "batch": 64})
        self.op_steps(1)
        self.op_drop()
        if wanted.get("device", "cpu") == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            self.op_build(**wanted)
            self.op_steps(n)
            return {"mib": (torch.cuda.max_memory_allocated() - before) / 2**20}
        before = _reset_peak()
        self.op_build(**wanted)
        self.op_steps(n)
        return {"mib": (_status("VmHWM") - before) / 1024}

    def op_drop(self) -> dict[str, Any]:
        self.trainee = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return {}

    def _trainee(self) -> Trainee:
        if self.trainee is None:
            raise ValueError("build a trainer first")
        return self.trainee


def _rows(path: str, device: str) -> Tensor:
    # Copy-on-write, since torch has no read-only tensors; nobody writes.
    return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False)).to(device, torch.float32)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _ids(n: int, batch: int, seed: int, device: str) -> Iterator[Tensor]:
    """Batches of row numbers: one permutation after another, cut into equal batches."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.empty(0, dtype=torch.int64)
    while True:
        while len(left) < batch:
            left = torch.cat([left, torch.randperm(n, generator=generator)])
        yield left[:batch].to(device)
        left = left[batch:]


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def _halved(cores: int) -> Iterator[int]:
    while cores >= 1:
        yield cores
        cores //= 2


def _status(key: str) -> int:
    """A size in KiB out of /proc/self/status."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise ValueError(f"/proc/self/status has no {key}")


def _reset_peak() -> int:
    """Forget this process' peak of memory, which its imports set; what it holds now, in KiB."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def serve(session: Session, requests: TextIO, answers: TextIO) -> None:
    """Answer every request until there are none."""
    for line in requests:
        if line.strip():
            answers.write(json.dumps(session.answer(json.loads(line))) + "\n")
            answers.flush()


def main(trainers: dict[str, type[Trainee]]) -> None:
    """Serve on stdin and stdout; whatever a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(Session(trainers), sys.stdin, answers)
