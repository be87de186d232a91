"""The training loop: batch, closed-form gradient, fused Adam, unit dictionary rows; live metrics, checkpoints, resume.

Everything a step needs is the state (weights, Adam's moments, step, who fired when) and (seed, step). A training killed at any
step and run again ends with the same bits as one that was left alone, on the same device with the same number of threads.
"""

from __future__ import annotations

import math
import shutil
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sae_core.config import ReluL1, SaeConfig
from sae_core.errors import Cancelled, InputError
from sae_core.progress import Event, Report
from sae_core.sae import checkpoint, recipe
from sae_core.sae.adam import Adam
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Batches, Pool
from sae_core.sae.log import Log
from sae_core.sae.monitor import Sums, fitting_threads, measure
from sae_core.sae.objective import Outcome, objective_of
from sae_core.sae.quality import Quality

HELD_OUT_LOOKS = 40
"""How often the held-out rows are looked at in a run."""
EPOCH_CHECKPOINTS = 10
"""At most so many `checkpoints/sae_epoch_XX.safetensors` are kept, evenly spaced, the last epoch always."""
STATE_SECONDS = 5.0


@dataclass
class _Best:
    """The weights with the lowest held-out loss so far (of TopK: the highest held-out R²)."""

    loss: float
    step: int
    weights: dict[str, Tensor]


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
        """
        self.config, self.pool, self.held, self.folder = config, pool, held, folder
        self.report, self.device, self.encoder_id = report, device, encoder_id
        self.identity = identity
        self.plan = recipe.plan(config, pool.n)
        self.objective = objective_of(config.architecture)
        self.epochs = max(1, self.plan.steps * self.plan.batch // pool.n)
        spaced = np.linspace(1, self.epochs, min(self.epochs, EPOCH_CHECKPOINTS)).round().astype(int)
        self._kept_epochs = set(spaced.tolist())
        # A look costs a forward pass: at most a tenth of the time.
        self._look_every = max(math.ceil(self.plan.steps / HELD_OUT_LOOKS), math.ceil(5 * held.n / self.plan.batch), 1)

    # ------------------------------------------------------------ state

    def _begin(self) -> None:
        config, device = self.config, self.device
        self.mean, self.scale = recipe.scaling(self.pool, config.scaling)
        first = recipe.first_weights(config, self.pool, self.mean, self.scale)
        self.mean = self.mean.to(device)
        self.weights = {name: tensor.to(device) for name, tensor in first.items()}
        trained = {name: tensor for name, tensor in self.weights.items() if name not in self.objective.frozen}
        self.adam = Adam(trained, config.weight_decay, decoupled=config.optimizer == "adamw")
        self.step = 0
        self.unfired = torch.zeros(config.width, dtype=torch.int64, device=device)  # embeddings since each latent fired
        self.best = _Best(math.inf, 0, {})
        self.window, self.epoch = Sums(self.pool.d, self.config.width), Sums(self.pool.d, self.config.width)

    def _state(self) -> checkpoint.State:
        self.epoch.merge(self.window)
        self.window = Sums(self.pool.d, self.config.width)
        tensors = {f"weights.{name}": tensor for name, tensor in self.weights.items()}
        tensors.update({f"adam.{name}": tensor for name, tensor in self.adam.state().items()})
        tensors.update({f"best.{name}": tensor for name, tensor in self.best.weights.items()})
        tensors.update({f"epoch.{name}": tensor for name, tensor in self.epoch.quality.state().items()})
        facts: dict[str, Any] = {
            "identity": self.identity,
            "best_loss": self.best.loss if self.best.weights else None,
            "best_step": self.best.step,
            "epoch_sums": [self.epoch.steps, self.epoch.loss],
            "logs": self.log.sizes(),
        }
        return checkpoint.State(self.step, facts, {**tensors, "unfired": self.unfired})

    def _restore(self, state: checkpoint.State) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            return {name[len(prefix) :]: value for name, value in state.tensors.items() if name.startswith(prefix)}

        self.step = state.step
        for name, value in part("weights.").items():
            self.weights[name].copy_(value)
        self.adam.restore(part("adam."))
        self.unfired.copy_(state.tensors["unfired"])
        best = {name: value.to(self.device) for name, value in part("best.").items()}
        self.best = _Best(state.facts["best_loss"] if best else math.inf, state.facts["best_step"], best)
        self.epoch.quality.restore(part("epoch."))
        self.epoch.steps, self.epoch.loss = state.facts["epoch_sums"]

    # ------------------------------------------------------------ the loop

    def threads(self) -> AbstractContextManager[None]:
        """The number of threads that suits this training's steps, for as long as the context lasts."""
        return fitting_threads(self.plan.batch * self.config.width * self.pool.d)

    def run(self) -> SAE:
        """Train; the dictionary with the lowest held-out loss, or the last one where nothing is held out.

        Raises: InputError when the loss stops being a number, or no saved state is sound; Cancelled, with the state saved.
        """
        with self.threads():
            return self._run()

    def _run(self) -> SAE:
        self._begin()
        found = None if self.folder is None else checkpoint.load(self.folder / "state", self._say)
        if self.folder is not None and found is not None and found.facts["identity"] != self.identity:
            self._say("the saved state is of another training; beginning anew")
            shutil.rmtree(self.folder / "state")  # or rotation would take its higher steps for the later ones
            found = None
        self.log = Log(self.folder, found.facts["logs"] if found is not None else {})
        if found is not None:
            self._restore(found)
            self._say(f"going on from step {self.step}")
        if self.step == 0:
            self._introduce()
        batches = Batches(self.pool, self.plan.batch, self.config.seed, self.scaled)
        saved = last = time.monotonic()
        save_cost = 0.0
        self._pace_from = (self.step, last)
        try:
            while self.step < self.plan.steps:
                self._one(batches.at(self.step))
                now = time.monotonic()
                if self.folder is not None and now - saved > max(STATE_SECONDS, 10 * save_cost):
                    checkpoint.save(self.folder / "state", self._state())
                    saved = time.monotonic()
                    save_cost = saved - now
        except Cancelled:
            if self.folder is not None:
                checkpoint.save(self.folder / "state", self._state())
            raise
        return self._sae(self.best.weights or self.weights)

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
        outcome = self._update(u)
        if not math.isfinite(outcome.loss):
            raise InputError(
                f"training diverged at step {self.step}: the loss is {outcome.loss}; lower sae.lr ({self.plan.lr:.2g})"
            )
        self.window.add(u, outcome)
        self.unfired += len(u)
        self.unfired[outcome.counts > 0] = 0
        before = self.step * self.plan.batch // self.pool.n
        self.step += 1
        last = self.step == self.plan.steps
        ended = self.step * self.plan.batch // self.pool.n
        held_out = self._look() if self.held.n and (last or self.step % self._look_every == 0) else {}
        told = self._record(held_out) if last or self.step % self.config.log_every == 0 or held_out else {}
        if ended > before or last:
            self._end_epoch(max(ended, 1))
        if told:  # last of all, since it may raise `Cancelled`: the step must be whole then
            self.report(Event("train", self.step, self.plan.steps, told))

    def _update(self, u: Tensor) -> Outcome:
        dead = (self.unfired > self.plan.dead_after).nonzero().flatten()
        outcome = self.objective(self.weights, u, dead)
        gradients = outcome.gradients
        dictionary = self.weights["W_dec"]
        unit_rows = self._unit_rows and "W_dec" in gradients
        if unit_rows:
            # The part along a row would be undone by the normalisation, but Adam's moments would remember it.
            along = torch.linalg.vecdot(gradients["W_dec"], dictionary).unsqueeze(1)
            gradients["W_dec"].addcmul_(dictionary, along, value=-1)
        self.adam.step(gradients, self.plan.rate(self.step, self.config.schedule), self.config.clip_norm)
        if unit_rows:
            dictionary.div_(torch.linalg.vector_norm(dictionary, dim=1, keepdim=True).clamp_min(1e-12))
        return outcome

    @property
    def _unit_rows(self) -> bool:
        architecture = self.config.architecture
        return not isinstance(architecture, ReluL1) or architecture.renormalise_decoder

    def _look(self) -> dict[str, float]:
        """Loss and R² of the held-out rows with the weights as they are; the best so far are kept."""
        quality = measure(self._sae(self.weights), self.held, self.device)
        loss = self.loss_of(quality)
        if loss < self.best.loss:
            self.best = _Best(loss, self.step, {name: tensor.clone() for name, tensor in self.weights.items()})
        return {"held_out_loss": loss, "held_out_r2": quality.metrics()["r2"]}

    def loss_of(self, quality: Quality) -> float:
        """The objective's value of measured rows."""
        return self.objective.value(quality.squared_error * quality.d * self.scale**2, quality.l1, quality.d)

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
        self.window = Sums(self.pool.d, self.config.width)
        return metrics

    def _dead(self) -> float:
        """Share of latents that have been silent for one epoch's embeddings."""
        return float((self.unfired >= self.pool.n).double().mean())

    def _end_epoch(self, number: int) -> None:
        self.epoch.merge(self.window)
        self.window = Sums(self.pool.d, self.config.width)
        self.log.epoch(number, self.epochs, self.step, {**self.epoch.metrics(self.scale), "dead_fraction": self._dead()})
        self.epoch = Sums(self.pool.d, self.config.width)
        if self.folder is not None and number in self._kept_epochs:
            from sae_core.sae.formats import write_weights

            target = self.folder / "checkpoints" / f"sae_epoch_{number:02d}.safetensors"
            target.parent.mkdir(exist_ok=True)
            write_weights(self._sae(self.weights), target)

    # ------------------------------------------------------------ small things

    def scaled(self, x: Tensor) -> Tensor:
        return x.to(self.device).sub_(self.mean).mul_(self.scale)

    def _sae(self, weights: dict[str, Tensor]) -> SAE:
        return SAE(self.config.architecture, weights, self.mean, self.scale, self.encoder_id)

    def _say(self, text: str) -> None:
        self.report(Event("train", getattr(self, "step", 0), self.plan.steps, {}, text))
