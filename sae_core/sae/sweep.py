"""The sweep stage: a grid of dictionaries on one pass over the data, and the Pareto table of L0 against R² that comes of it.

Every batch is read, scaled and shuffled once. Members of the TopK family with the same kind and width are stacked, so that their
encoders are one GEMM; the others learn from the same batch one after the other. The batches follow from `sae.seed`; a member's
own seed sets its first weights.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.config import Runtime, SaeConfig, SweepRun
from sae_core.errors import Cancelled, DamagedArtifact, InputError
from sae_core.progress import Event, Report, silent
from sae_core.sae import checkpoint, controls, recipe
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Batches, Pool, held_out
from sae_core.sae.formats import CONFIG, WEIGHTS, describe, load_sae, write_weights
from sae_core.sae.keeper import Keeper, look_every
from sae_core.sae.learner import Learner
from sae_core.sae.monitor import fitting_threads, is_small, measure_split
from sae_core.sae.objectives.topk import Member
from sae_core.sae.rows import HELD_OUT, MOST_HELD_OUT, pick_device, training_rows
from sae_core.sae.screen import halving_pays
from sae_core.store import Inputs, canonical, write_atomic

VERSION = 1
TABLE, MEMBERS, COUNTS = "sweep.json", "members", "counts.npy"
MOST_STACKED = 8
"""Members in one stack: more gain nothing, and their pre-activations would outgrow the cache."""
STATE_SECONDS = 10.0


class Swept:
    """A sweep artifact, read back."""

    def __init__(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        self.folder, self._rows = folder, rows

    @classmethod
    def load(cls, folder: str | Path) -> Swept:
        """Read the artifact in a folder."""
        return cls(Path(folder), json.loads((Path(folder) / TABLE).read_text(encoding="utf-8"))["members"])

    @property
    def table(self) -> pd.DataFrame:
        """A row for each member: name, architecture, sparsity, width, lr, seed, its metrics on the test rows, and `pareto`."""
        return pd.DataFrame(self._rows)

    def sae(self, name: str) -> SAE:
        """The dictionary of one member. Raises InputError for a name that is not in the table."""
        return load_sae(self._member(name))

    def counts(self, name: str) -> NDArray[np.int64]:
        """On how many of the train and test rows each latent of a member fires, int64 [m]; 0 is what `dead_fraction` counts.

        Raises: InputError for a name that is not in the table, DamagedArtifact when the counts cannot be read.
        """
        folder = self._member(name)
        try:
            counts: NDArray[np.int64] = np.load(folder / COUNTS, allow_pickle=False)
        except (OSError, ValueError):
            raise DamagedArtifact(f"sweep {self.folder.name} has no firing counts of {name}; sweep again") from None
        return counts

    def _member(self, name: str) -> Path:
        if name not in {row["name"] for row in self._rows}:
            raise InputError(f"the sweep has no member {name!r}; its table lists them")
        return self.folder / MEMBERS / name

    def metrics(self) -> dict[str, float]:
        """members, and the best r2 among them with its l0."""
        best = max(self._rows, key=lambda row: row["r2"])
        return {"members": float(len(self._rows)), "best_r2": best["r2"], "best_r2_l0": best["l0"]}


def run(config: SweepRun, inputs: Inputs, out_dir: Path, report: Report = silent, runtime: Runtime = Runtime()) -> Swept:
    """Train every member on the training rows of the domains in `inputs`, resuming what a killed attempt left in `out_dir`.

    Raises: InputError on rows that do not suit, or when a member diverges (it is named); Cancelled, with the state saved.
    """
    device = pick_device(runtime.device)
    out_dir.mkdir(parents=True, exist_ok=True)
    rows = training_rows(inputs)
    sweep = Sweep(config, rows.train, rows.groups, rows.encoder, out_dir, report, device)
    with sweep.threads():
        found = sweep.run()
        measured = {name: measure_split(sae, rows.train, rows.test, device) for name, sae in found.items()}
        table = [
            _row(name, member, found[name].m, sweep.rate(member), measured[name][0]) for name, member in config.members().items()
        ]
    for row, best in zip(table, pareto([(row["l0"], row["r2"]) for row in table]), strict=True):
        row["pareto"] = best
    for name, sae in found.items():
        folder = out_dir / MEMBERS / name
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(sae, folder / WEIGHTS)
        write_atomic(folder / CONFIG, json.dumps(describe(sae), indent=2).encode())
        np.save(folder / COUNTS, measured[name][2].cpu().numpy())
    write_atomic(out_dir / TABLE, json.dumps({"members": table, "steps": sweep.steps, "batch": sweep.batch}, indent=2).encode())
    shutil.rmtree(out_dir / "state", ignore_errors=True)
    return Swept.load(out_dir)


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether no other point (L0, R²) has as few latents and explains more, or explains as much with fewer.

    >>> pareto([(8, 0.7), (16, 0.9), (16, 0.8), (32, 0.9)])
    [True, True, False, False]
    """
    return [not any(l0 <= mine and r2 >= own and (l0 < mine or r2 > own) for l0, r2 in points) for mine, own in points]


class Sweep:
    """One training of many."""

    def __init__(
        self,
        config: SweepRun,
        pool: Pool,
        groups: NDArray[np.int64],
        encoder_id: str | None,
        folder: Path | None,
        report: Report,
        device: torch.device,
    ) -> None:
        self.members = config.members()
        self._config, self._folder, self._report, self._device, self._encoder = config.sae, folder, report, device, encoder_id
        aside = held_out(groups, HELD_OUT, MOST_HELD_OUT, config.sae.seed)
        self._pool, self._held = pool.without(aside), pool.only(aside)
        plan = recipe.plan(config.sae, self._pool.n)
        self.steps, self.batch = plan.steps, plan.batch
        facts = {"version": VERSION, "config": config.model_dump(mode="json"), "rows": pool.n, "d": pool.d, "device": device.type}
        self._identity = hashlib.sha256(canonical(facts)).hexdigest()

    def threads(self) -> Any:
        """The number of threads that suits the largest stack."""
        return fitting_threads(max(self._work(stack) for stack in self._stacks()) if self._trained() else 0)

    def run(self) -> dict[str, SAE]:
        """The dictionary of every member."""
        mean, scale = recipe.scaling(self._pool, self._config.scaling)
        made = {
            name: controls.fit(member, self._pool, mean, scale, self._encoder, self._device, self._alive).sae
            for name, member in self.members.items()
            if controls.is_fitted(member.architecture)
        }
        return {**made, **(self._learn(mean, scale) if self._trained() else {})}

    def rate(self, member: SaeConfig) -> float | None:
        """The learning rate a member is trained at; None for a control that is computed."""
        return None if controls.is_fitted(member.architecture) else recipe.plan(member, self._pool.n).lr

    # ------------------------------------------------------------ parts

    def _trained(self) -> dict[str, SaeConfig]:
        return {name: member for name, member in self.members.items() if not controls.is_fitted(member.architecture)}

    def _stacks(self) -> Iterator[list[str]]:
        """Names of members that learn as one."""
        alike: dict[tuple[str, int, str], list[str]] = {}
        for name, member in self._trained().items():
            # Of a matryoshka the groups are part of the shape.
            shape = str(getattr(member.architecture, "groups", "")) if isinstance(member.architecture, Member) else name
            alike.setdefault((member.architecture.kind, member.width, shape), []).append(name)
        for names in alike.values():
            for start in range(0, len(names), MOST_STACKED):
                yield names[start : start + MOST_STACKED]

    def _work(self, stack: list[str]) -> int:
        return self.batch * len(stack) * self.members[stack[0]].width * self._pool.d

    def _learn(self, mean: Tensor, scale: float) -> dict[str, SAE]:
        batches = Batches(self._pool, self.batch, self._config.seed, lambda x: ((x - mean) * scale).to(self._device))
        found = None if self._folder is None else checkpoint.load(self._folder / "state", self._say)
        if self._folder is not None and found is not None and found.facts["identity"] != self._identity:
            shutil.rmtree(self._folder / "state")
            found = None
        learners, keepers = self._learners(batches, mean, scale, None if found is None else found.facts["halved"])
        step = 0
        if found is not None:
            step = found.step
            for number, learner in enumerate(learners):
                learner.restore(_part(found.tensors, f"learner{number}."))
            for name, keeper in keepers.items():
                keeper.restore(found.facts["kept"][name], _part(found.tensors, f"kept.{name}."))
            self._say(f"going on from step {step}")
        every, saved = look_every(recipe.plan(self._config, self._pool.n), self._held.n), time.monotonic()
        try:
            while step < self.steps:
                u = batches.at(step)
                for learner in learners:
                    self._step(learner, u, step)
                step += 1
                if self._held.n and (step % every == 0 or step == self.steps):
                    looks = {name: keeper.look(step) for name, keeper in keepers.items()}
                    best = max(look["held_out_r2"] for look in looks.values())
                    self._report(Event("sweep", step, self.steps, {"members": float(len(keepers)), "best_held_out_r2": best}))
                elif step % self._config.log_every == 0 or step == self.steps:
                    self._report(Event("sweep", step, self.steps))
                if self._folder is not None and time.monotonic() - saved > STATE_SECONDS:
                    self._save(step, learners, keepers)
                    saved = time.monotonic()
        except Cancelled:
            if self._folder is not None:
                self._save(step, learners, keepers)
            raise
        return {name: keeper.sae() for name, keeper in keepers.items()}

    def _learners(
        self, batches: Batches, mean: Tensor, scale: float, halved: list[bool] | None
    ) -> tuple[list[Learner], dict[str, Keeper]]:
        learners: list[Learner] = []
        keepers: dict[str, Keeper] = {}
        for number, stack in enumerate(self._stacks()):
            configs = [self.members[name] for name in stack]
            plans = [recipe.plan(config, self._pool.n) for config in configs]
            first = [
                {name: tensor.to(self._device) for name, tensor in recipe.first_weights(config, self._pool, mean, scale).items()}
                for config in configs
            ]
            learner = Learner(configs, plans, first)
            if halved[number] if halved is not None else self._pays(learner, batches.at(0)):
                learner = Learner(configs, plans, first, halved=True)
            learners.append(learner)
            for member, name in enumerate(stack):
                keepers[name] = Keeper(learners[-1], member, self._held, mean.to(self._device), scale, self._encoder)
        return learners, keepers

    def _pays(self, learner: Learner, u: Tensor) -> bool:
        architectures = [config.architecture for config in learner.configs]
        ks = [architecture.k for architecture in architectures if isinstance(architecture, Member)]
        if not ks or is_small(len(u) * learner.members * learner.width * u.shape[1]):
            return False
        return halving_pays(learner.weights, u, max(ks), learner.members)

    def _step(self, learner: Learner, u: Tensor, step: int) -> None:
        outcome = learner.update(u, step)
        if not bool(torch.isfinite(outcome.losses).all()):
            worst = int((~torch.isfinite(outcome.losses)).nonzero()[0])
            config = learner.configs[worst]
            name = next(name for name, member in self.members.items() if member is config)
            raise InputError(f"sweep member {name} diverged at step {step}; leave its lr ({learner.plans[worst].lr:.2g}) out")

    def _save(self, step: int, learners: list[Learner], keepers: dict[str, Keeper]) -> None:
        assert self._folder is not None
        tensors = {
            f"learner{number}.{name}": tensor
            for number, learner in enumerate(learners)
            for name, tensor in learner.state().items()
        }
        for name, keeper in keepers.items():
            tensors.update({f"kept.{name}.{part}": tensor for part, tensor in keeper.weights.items()})
        facts = {
            "identity": self._identity,
            "kept": {name: keeper.facts() for name, keeper in keepers.items()},
            "halved": [learner.halved for learner in learners],
        }
        checkpoint.save(self._folder / "state", checkpoint.State(step, facts, tensors))

    def _alive(self, event: Event) -> None:
        """What a control reports: passes over the rows, which are not this training's steps. It can be stopped by it."""
        self._report(Event("sweep", 0, self.steps))

    def _say(self, text: str) -> None:
        self._report(Event("sweep", 0, self.steps, {}, text))


def _row(name: str, member: SaeConfig, width: int, lr: float | None, metrics: dict[str, float]) -> dict[str, Any]:
    architecture = member.architecture
    return {
        "name": name,
        "architecture": architecture.kind,
        "k": getattr(architecture, "k", getattr(architecture, "l0", getattr(architecture, "components", None))),
        "l1": getattr(architecture, "l1", None),
        "width": width,
        "lr": lr,
        "seed": member.seed,
        **metrics,
    }


def _part(tensors: Any, prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
