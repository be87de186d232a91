"""Our trainer for the workers' protocol, and the machine's bare GEMM beside it: `python -m benchmarks.ours`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.protocol import Frozen, Job, Trainee, main
from sae_core import train_sae
from sae_core.config import SaeConfig, validate
from sae_core.errors import InputError
from sae_core.progress import silent
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Arrays, Pool
from sae_core.sae.log import Log
from sae_core.sae.trainer import Trainer

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "topk": {"kind": "topk", "k": None},
    "batch_topk": {"kind": "batch_topk", "k": None},
    "matryoshka": {"kind": "matryoshka", "k": None},
    "relu_l1": {"kind": "relu_l1"},
    "gated": {"kind": "gated", "l0": None},
    "jumprelu": {"kind": "jumprelu", "l0": None},
    "pca": {"kind": "pca", "components": None},
    "kmeans": {"kind": "kmeans"},
    "random": {"kind": "random", "k": None},
}
"""What `ours/NAME` trains; None is where the job's k goes."""


class Timed(Trainer):
    """The trainer, told whether to screen in bf16 instead of finding out."""

    screening = False

    def _pays(self, first: dict[str, Tensor]) -> bool:
        return self.screening

    def start(self) -> None:
        """What `run` does before its first step, without logs and checkpoints on disk."""
        self._begin(None)
        self.log = Log(None, {})
        self._pace_from = (0, time.monotonic())


class Ours(Trainee):
    """Quality through `train_sae`, speed through the very trainer that it makes, without rows held out to look at."""

    kind: str
    screening = False
    """Whether pre-activations are screened in bf16 while timed; `train_sae` decides for itself."""

    def __init__(self, job: Job, rows: Tensor) -> None:
        super().__init__(job, rows)
        wanted = ARCHITECTURES[self.kind]
        self.architecture = {name: job.k if value is None else value for name, value in wanted.items()}
        self.settings: dict[str, Any] = {"width": job.m, "steps": job.steps, "batch_size": job.batch, "seed": job.seed}
        if job.lr is not None:
            self.settings["lr"] = job.lr
        self.lr = job.lr
        self.x = rows.cpu().numpy()
        self.sae: SAE | None = None
        self.trainer: Timed | None = None

    @classmethod
    def offers(cls, device: str) -> list[dict[str, Any]]:
        return [{"precision": "bf16 screening" if cls.screening else "fp32"}]

    def fit(self, ids: Iterable[Tensor]) -> None:
        """As many steps as there are batches; the trainer draws its own rows, which is part of a step."""
        trainer = self.trainer = self.trainer or self._started()
        with trainer.threads():
            for _ in ids:
                trainer._one(trainer.batches.at(trainer.step))

    def train(self, ids: Iterable[Tensor]) -> None:
        self.sae = train_sae(self.x, self.architecture, device=self.job.device, **self.settings)

    def frozen(self) -> Frozen:
        if self.sae is None:
            assert self.trainer is not None
            self.sae = self.trainer.keeper.now()
        sae = self.sae

        def run(x: Tensor) -> tuple[Tensor, Tensor]:
            z = sae.encode(x)
            return sae.decode(z), z

        return run

    def decoder(self) -> Tensor:
        assert self.sae is not None
        return self.sae.weights["W_dec"]

    def _started(self) -> Timed:
        config = validate(SaeConfig, {"architecture": self.architecture, **self.settings}, "benchmark")
        pool = Pool([(Arrays([self.x]), np.arange(len(self.x)))], self.d)
        trainer = Timed(config, pool, Pool([], self.d), None, None, "benchmark", silent, torch.device(self.job.device))
        if trainer.plan.batch != self.job.batch:
            raise InputError(
                f"batch {self.job.batch} would be {trainer.plan.batch}, as {len(self.x)} rows are few; give more rows"
            )
        trainer.screening = self.screening
        trainer.start()
        return trainer


class Gemm(Trainee):
    """The encoder's GEMM alone, [batch d] x [d m] into memory that is there: what no sparse trainer is faster than."""

    dtype = torch.float32

    def __init__(self, job: Job, rows: Tensor) -> None:
        super().__init__(job, rows)
        self.lr = None
        self.x = rows[: job.batch].to(self.dtype)
        if len(self.x) < job.batch:
            raise InputError(f"{len(rows)} rows are fewer than one batch of {job.batch}: {job.rows}; give more rows")
        generator = torch.Generator().manual_seed(job.seed)
        self.w = torch.randn(job.m, self.d, generator=generator).to(self.x)
        self.out = self.x.new_empty(job.batch, job.m)

    @classmethod
    def offers(cls, device: str) -> list[dict[str, Any]]:
        return [{"precision": str(cls.dtype).removeprefix("torch.")}]

    def fit(self, ids: Iterable[Tensor]) -> None:
        for _ in ids:
            torch.mm(self.x, self.w.T, out=self.out)


class HalfGemm(Gemm):
    """The same in bf16."""

    dtype = torch.bfloat16


def _ours(kind: str, screening: bool = False) -> type[Ours]:
    return type("Ours", (Ours,), {"kind": kind, "screening": screening, "__doc__": Ours.__doc__})


TRAINERS: dict[str, type[Trainee]] = {
    **{f"ours/{kind}": _ours(kind) for kind in ARCHITECTURES},
    **{f"ours/{kind}+bf16": _ours(kind, screening=True) for kind in ("topk", "batch_topk", "matryoshka")},
    "gemm/fp32": Gemm,
    "gemm/bf16": HalfGemm,
}


if __name__ == "__main__":
    main(TRAINERS)
