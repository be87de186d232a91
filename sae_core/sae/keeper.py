"""Which weights of a training are kept: those with the lowest loss on training rows that are held out of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from sae_core.config import BatchTopK, Matryoshka
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Pool
from sae_core.sae.learner import Learner
from sae_core.sae.monitor import measure
from sae_core.sae.quality import Quality
from sae_core.sae.recipe import Plan
from sae_core.sae.screen import Screen

HELD_OUT_LOOKS = 40
"""How often the held-out rows are looked at in a run."""


def look_every(plan: Plan, rows: int) -> int:
    """After how many steps so many held-out rows are looked at: a look costs a forward pass, at most a tenth of the time."""
    return max(math.ceil(plan.steps / HELD_OUT_LOOKS), math.ceil(5 * rows / plan.batch), 1)


class Keeper:
    """Looks at one member of a learner now and then: with few rows it overfits, and its last weights are not its best."""

    def __init__(self, learner: Learner, member: int, held: Pool, mean: Tensor, scale: float, encoder_id: str | None) -> None:
        """`held` may be empty: then the last weights are kept. `mean`, `scale`: of the input scaling, on the learner's device."""
        self._learner, self._member, self._held = learner, member, held
        self._mean, self._scale, self._encoder_id = mean, scale, encoder_id
        self.loss, self.step, self.weights = math.inf, 0, dict[str, Tensor]()

    def look(self, step: int) -> dict[str, float]:
        """held_out_loss, held_out_r2 and held_out_l0 of the weights as they are; they are kept if they are the best so far."""
        weights = {**self._learner.parameters(self._member), **self._threshold()}
        quality = measure(self._sae(weights), self._held, self._mean.device)
        loss = self.loss_of(quality)
        if loss < self.loss:
            self.loss, self.step = loss, step
            self.weights = {name: tensor.clone() for name, tensor in weights.items()}
        metrics = quality.metrics()
        return {"held_out_loss": loss, "held_out_r2": metrics["r2"], "held_out_l0": metrics["l0"]}

    def loss_of(self, quality: Quality) -> float:
        """The objective's value of measured rows (of the TopK family: 1 - R², but for the rows' own mean)."""
        squares = quality.squared_error * quality.d * self._scale**2
        l0 = float(quality.counts.sum()) / max(quality.n, 1)
        return self._learner.objective.value(squares, quality.l1, l0, quality.d)

    def sae(self) -> SAE:
        """The dictionary kept, or of the last weights where none was looked at."""
        return self._sae(self.weights or self._learner.parameters(self._member))

    def now(self) -> SAE:
        """The dictionary of the weights as they are."""
        return self._sae(self._learner.parameters(self._member))

    def facts(self) -> dict[str, Any]:
        """What a checkpoint says beside the tensors in `weights`."""
        return {"loss": self.loss if self.weights else None, "step": self.step}

    def restore(self, facts: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Go on from `facts` and `weights`."""
        self.weights = {name: tensor.to(self._mean.device) for name, tensor in weights.items()}
        self.loss, self.step = (facts["loss"] if weights else math.inf), facts["step"]

    def _threshold(self) -> dict[str, Tensor]:
        """BatchTopK's threshold, set so that held-out rows have k codes: rows that were learned pass more (72 against 32)."""
        architecture = self._learner.configs[self._member].architecture
        if not isinstance(architecture, (BatchTopK, Matryoshka)):
            return {}
        u = (self._held.take(np.arange(self._held.n)).to(self._mean.device) - self._mean) * self._scale
        _, cut = Screen().batch(self._learner.parameters(self._member), u, [architecture.k * len(u)])
        return {"threshold": cut.view(())}

    def _sae(self, weights: Mapping[str, Tensor]) -> SAE:
        architecture = self._learner.configs[self._member].architecture
        return SAE(architecture, weights, self._mean, self._scale, self._encoder_id)
