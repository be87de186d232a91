"""The training loop: batch, closed-form gradient, fused Adam, unit dictionary rows; live metrics, checkpoints, resume.

Everything a step needs is the state (weights, Adam's moments, step, who fired when) and (seed, step). A training killed at any
step and run again ends with the same bits as one that was left alone, on the same device with the same number of threads.
"""

from __future__ import annotations

import math
import shutil
import time
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sae_core.config import SaeConfig
from sae_core.errors import Cancelled, InputError
from sae_core.progress import Event, Report
from sae_core.sae import checkpoint, recipe
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Batches, Pool
from sae_core.sae.keeper import Keeper, look_every
from sae_core.sae.learner import Learner
from sae_core.sae.log import Log
from sae_core.sae.monitor import Sums, fitting_threads, is_small
from sae_core.sae.objectives.topk import Member
from sae_core.sae.screen import halving_pays

EPOCH_CHECKPOINTS = 10
"""At most so many `checkpoints/sae_epoch_XX.safetensors` are kept, evenly spaced, the last epoch always."""
STATE_SECONDS = 5.0
TRIAL_SECONDS = 2.0
"""How long steps are timed where the budget is a time; a tenth of it where that is less."""


class Trainer:
    """One training. `run` does it, from where a killed one stopped if `folder` holds its state."""

    def __init__(
        self,
        config: SaeConfig,
        pool: Pool,
        held: Pool,
        folder: Path | None,
        encoder_id: str | None,
        identity: str,
        report: Report,
        device: torch.device,
        events: bool = False,
    ) -> None:
        """
        Args:
            config: what to train.
            pool: the rows to train on.
            held: rows of the training split that are kept for the choice of the best weights; may be empty.
            folder: where logs, checkpoints and state go; None keeps nothing.
            encoder_id: the CLIP of these embeddings.
            identity: of the configuration and the data; a state of another one is not resumed.
            report: told of progress; may raise `Cancelled`.
            device: where to compute.
            events: whether the metrics are written for TensorBoard as well.
        """
        self.config, self.pool, self.held, self.folder = config, pool, held, folder
        self.report, self.device, self.encoder_id = report, device, encoder_id
        self.identity, self.events = identity, events
        self.plan = recipe.plan(config, pool.n)

    # ------------------------------------------------------------ state

    def _begin(self, found: checkpoint.State | None) -> None:
        """Everything as it is before the first step, but for what a saved state has settled already."""
        config, device = self.config, self.device
        self.mean, self.scale = recipe.scaling(self.pool, config.scaling)
        drawn = recipe.first_weights(config, self.pool, self.mean, self.scale)
        first = {name: tensor.to(device) for name, tensor in drawn.items()}
        self.mean = self.mean.to(device)
        self.batches = Batches(self.pool, self.plan.batch, config.seed, self.scaled)
        if found is not None:
            self.halved, self.plan = bool(found.facts["halved"]), recipe.Plan(**found.facts["plan"])
        else:
            # What is measured on this machine, and so may come out differently on the next; a resumed run keeps it.
            self.halved = self._pays(first)
            if config.seconds is not None:
                self.plan = recipe.plan(config, self.pool.n, max(1, round(config.seconds / self._step_seconds(first))))
        self.learner = Learner([config], [self.plan], [first], self.halved)
        self.keeper = Keeper(self.learner, 0, self.held, self.mean, self.scale, self.encoder_id)
        self.step = 0
        self.window, self.epoch = Sums(self.pool.d), Sums(self.pool.d)
        self.epochs = max(1, self.plan.steps * self.plan.batch // self.pool.n)
        spaced = np.linspace(1, self.epochs, min(self.epochs, EPOCH_CHECKPOINTS)).round().astype(int)
        self._kept_epochs = set(spaced.tolist())
        self._look_every = look_every(self.plan, self.held.n)

    def _pays(self, first: dict[str, Tensor]) -> bool:
        """Whether screening in bf16 is faster here, for steps that are worth the question."""
        architecture = self.config.architecture
        if not isinstance(architecture, Member) or is_small(self.work):
            return False
        return halving_pays(first, self.batches.at(0), architecture.k)

    def _step_seconds(self, first: dict[str, Tensor]) -> float:
        """What a step takes, looks at the held-out rows included: of trial steps on a learner that is thrown away."""
        learner = Learner([self.config], [self.plan], [first], self.halved)
        keeper = Keeper(learner, 0, self.held, self.mean, self.scale, self.encoder_id)
        learner.update(self.batches.at(0), 0)  # the first is slower than any other
        start, steps = time.monotonic(), 0
        while time.monotonic() - start < min(TRIAL_SECONDS, 0.1 * (self.config.seconds or 0)) or not steps:
            learner.update(self.batches.at(steps), steps)
            steps += 1
        seconds = (time.monotonic() - start) / steps
        start = time.monotonic()
        if self.held.n:
            keeper.look(0)
        return seconds + (time.monotonic() - start) / look_every(self.plan, self.held.n)

    def _state(self) -> checkpoint.State:
        self.epoch.merge(self.window)
        self.window = Sums(self.pool.d)
        tensors = dict(self.learner.state())
        tensors.update({f"best.{name}": tensor for name, tensor in self.keeper.weights.items()})
        tensors.update({f"epoch.{name}": tensor for name, tensor in self.epoch.state().items()})
        facts: dict[str, Any] = {
            "identity": self.identity,
            "halved": self.halved,
            "plan": asdict(self.plan),
            "best": self.keeper.facts(),
            "logs": self.log.sizes(),
        }
        return checkpoint.State(self.step, facts, tensors)

    def _restore(self, state: checkpoint.State) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            return {name[len(prefix) :]: value for name, value in state.tensors.items() if name.startswith(prefix)}

        self.step = state.step
        self.learner.restore(state.tensors)
        self.keeper.restore(state.facts["best"], part("best."))
        self.epoch.restore(part("epoch."))

    # ------------------------------------------------------------ the loop

    def threads(self) -> AbstractContextManager[None]:
        """The number of threads that suits this training's steps, for as long as the context lasts."""
        return fitting_threads(self.work)

    @property
    def work(self) -> int:
        """Multiplications in the encoder's GEMM of one step."""
        return self.plan.batch * self.config.width * self.pool.d

    def run(self) -> SAE:
        """Train; the dictionary with the lowest held-out loss, or the last one where nothing is held out.

        Raises: InputError when the loss stops being a number, or no saved state is sound; Cancelled, with the state saved.
        """
        with self.threads():
            return self._run()

    def _run(self) -> SAE:
        found = None if self.folder is None else checkpoint.load(self.folder / "state", self._say)
        if self.folder is not None and found is not None and found.facts["identity"] != self.identity:
            self._say("the saved state is of another training; beginning anew")
            shutil.rmtree(self.folder / "state")  # or rotation would take its higher steps for the later ones
            found = None
        self._begin(found)
        self.log = Log(self.folder, found.facts["logs"] if found is not None else {}, self.events)
        if found is not None:
            self._restore(found)
            self._say(f"going on from step {self.step}")
        if self.step == 0:
            self._introduce()
        saved = last = time.monotonic()
        save_cost = 0.0
        self._pace_from = (self.step, last)
        try:
            while self.step < self.plan.steps:
                self._one(self.batches.at(self.step))
                now = time.monotonic()
                if self.folder is not None and now - saved > max(STATE_SECONDS, 10 * save_cost):
                    checkpoint.save(self.folder / "state", self._state())
                    saved = time.monotonic()
                    save_cost = saved - now
        except Cancelled:
            if self.folder is not None:
                checkpoint.save(self.folder / "state", self._state())
            raise
        return self.keeper.sae()

    def _introduce(self) -> None:
        """What is about to be trained, and whether the rows are too few for it."""
        kind, plan = self.config.architecture.kind, self.plan
        self.log.note(
            f"{kind} | width {self.config.width} | {self.pool.n} rows of {self.pool.d} | {plan.steps} steps of {plan.batch} "
            f"({plan.steps * plan.batch / self.pool.n:.4g} epochs) | lr {plan.lr:.4g} | seed {self.config.seed}"
        )
        advice = recipe.width_advice(self.config.width, self.pool.n)
        if advice:
            self.log.note(advice)
            self._say(advice)

    def _one(self, u: Tensor) -> None:
        """One step and all that is due after it."""
        outcome = self.learner.update(u, self.step)
        loss = float(outcome.losses[0])
        if not math.isfinite(loss):
            raise InputError(f"training diverged at step {self.step}: the loss is {loss}; lower sae.lr ({self.plan.lr:.2g})")
        self.window.add(u, outcome)
        before = self.step * self.plan.batch // self.pool.n
        self.step += 1
        last = self.step == self.plan.steps
        ended = self.step * self.plan.batch // self.pool.n
        held_out = self.keeper.look(self.step) if self.held.n and (last or self.step % self._look_every == 0) else {}
        told = self._record(held_out) if last or self.step % self.config.log_every == 0 or held_out else {}
        if ended > before or last:
            self._end_epoch(max(ended, 1))
        if told:  # last of all, since it may raise `Cancelled`: the step must be whole then
            self.report(Event("train", self.step, self.plan.steps, told))

    def _record(self, held_out: dict[str, float]) -> dict[str, float]:
        """Write the metrics since the last record to metrics.jsonl, and return them."""
        now = time.monotonic()
        since, at = self._pace_from
        pace = (self.step - since) * self.plan.batch / max(now - at, 1e-9)
        self._pace_from = (self.step, now)
        metrics = {
            **self.window.metrics(self.scale),
            "dead_fraction": self._dead(),
            **held_out,
            "embeddings_per_second": round(pace, 1),
        }
        epoch = self.step * self.plan.batch / self.pool.n
        rate = self.plan.rate(self.step - 1, self.config.schedule)
        self.log.step({"step": self.step, "epoch": round(epoch, 4), **metrics, "lr": rate})
        self.epoch.merge(self.window)
        self.window = Sums(self.pool.d)
        return metrics

    def _dead(self) -> float:
        """Share of latents that have been silent for one epoch's embeddings."""
        return float((self.learner.unfired >= self.pool.n).double().mean())

    def _end_epoch(self, number: int) -> None:
        self.epoch.merge(self.window)
        self.window = Sums(self.pool.d)
        self.log.epoch(number, self.epochs, self.step, {**self.epoch.metrics(self.scale), "dead_fraction": self._dead()})
        self.epoch = Sums(self.pool.d)
        if self.folder is not None and number in self._kept_epochs:
            from sae_core.sae.formats import write_weights

            target = self.folder / "checkpoints" / f"sae_epoch_{number:02d}.safetensors"
            target.parent.mkdir(exist_ok=True)
            write_weights(self.keeper.now(), target)

    # ------------------------------------------------------------ small things

    def scaled(self, x: Tensor) -> Tensor:
        return x.to(self.device).sub_(self.mean).mul_(self.scale)

    def _say(self, text: str) -> None:
        self.report(Event("train", getattr(self, "step", 0), self.plan.steps, {}, text))
