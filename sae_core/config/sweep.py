"""A grid of dictionaries that learn from the same batches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sae_core.config.base import Model
from sae_core.config.sae import Count, SaeConfig

Kind = Literal["topk", "batch_topk", "matryoshka", "relu_l1", "gated", "jumprelu", "random", "pca", "kmeans"]
SPARSITY = {"gated": "l0", "jumprelu": "l0", "pca": "components"}
"""What `k` sets where an architecture has another name for it; ReLU+L1 and k-means have nothing of the kind."""
MOST = 256


class SweepConfig(Model):
    """Which settings of `sae` are tried in every combination; one that is null stays as `sae` says.

    `k` stands for the sparsity of every architecture: Gated's and JumpReLU's l0, PCA's components. `l1` is ReLU+L1's coefficient.
    """

    architecture: tuple[Kind, ...] | None = None
    k: tuple[Count, ...] | None = None
    l1: tuple[Annotated[float, Field(ge=0)], ...] | None = None
    width: tuple[Annotated[int, Field(ge=2, le=1_048_576)], ...] | None = None
    lr: tuple[Annotated[float, Field(gt=0, le=1)], ...] | None = None
    seed: tuple[Annotated[int, Field(ge=0)], ...] | None = None

    @model_validator(mode="after")
    def _something(self) -> SweepConfig:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if not given or any(not getattr(self, name) for name in given):
            raise ValueError("give at least one list that is not empty, such as k: [8, 16, 32]")
        return self


class SweepRun(Model):
    """What a sweep artifact is made of: the settings that all members share, and the grid."""

    sae: SaeConfig
    sweep: SweepConfig

    @model_validator(mode="after")
    def _possible(self) -> SweepRun:
        if self.sae.seconds is not None:
            raise ValueError("a sweep has no budget of seconds; give sae.steps or sae.epochs")
        count = len(self.members())
        if count > MOST:
            raise ValueError(f"the sweep has {count} members; at most {MOST} are trained together, so shorten a list")
        return self

    def members(self) -> dict[str, SaeConfig]:
        """The members by a name that says what sets each apart, such as `topk-k16-w1024-s0`; equal ones stand once."""
        return {_name(member): member for member in self._combined()}

    def _combined(self) -> Iterator[SaeConfig]:
        sae, sweep = self.sae, self.sweep
        kinds: tuple[str, ...] = sweep.architecture or (sae.architecture.kind,)
        shared = ("width", "lr", "seed")
        plain = sae.model_dump(mode="json")
        lists = [getattr(sweep, name) or (getattr(sae, name),) for name in shared]
        for kind in kinds:
            base = sae.architecture.model_dump(mode="json") if kind == sae.architecture.kind else {"kind": kind}
            if kind == "relu_l1":
                sparsities: list[dict[str, Any]] = [{"l1": value} for value in sweep.l1 or ()]
            elif kind == "kmeans":
                sparsities = []
            else:
                sparsities = [{SPARSITY.get(kind, "k"): value} for value in sweep.k or ()]
            for sparsity in sparsities or [{}]:
                for values in product(*lists):
                    changed = {**dict(zip(shared, values, strict=True)), "architecture": {**base, **sparsity}}
                    yield SaeConfig.model_validate_json(json.dumps({**plain, **changed}))


def _name(member: SaeConfig) -> str:
    architecture = member.architecture
    sparsity = next(
        (getattr(architecture, name) for name in ("k", "l0", "components", "l1") if hasattr(architecture, name)), None
    )
    parts = [
        architecture.kind,
        f"{'l1_' if architecture.kind == 'relu_l1' else 'k'}{sparsity:g}" if sparsity is not None else None,
        f"w{member.width}",
        f"lr{member.lr:g}" if member.lr is not None else None,
        f"s{member.seed}",
    ]
    return "-".join(part for part in parts if part)
