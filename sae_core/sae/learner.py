"""One step: gradient in closed form, fused Adam, unit dictionary rows. All that it changes can be saved and restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sae_core.config import ReluL1, SaeConfig
from sae_core.sae.adam import Adam
from sae_core.sae.objectives import Outcome, objective_of
from sae_core.sae.recipe import Plan
from sae_core.sae.rules import shapes_of

State = dict[str, Tensor]


class Learner:
    """One dictionary, or several of one kind and shape that learn from the same batches, stacked along the latents."""

    def __init__(
        self, configs: Sequence[SaeConfig], plans: Sequence[Plan], first: Sequence[Mapping[str, Tensor]], halved: bool = False
    ) -> None:
        """
        Args:
            configs: of each member; they may differ in k, lr, seed and coefficients.
            plans: of each member.
            first: parameters and buffers of each at step 0, on the device to learn on.
            halved: screen in bf16, see `screen`.
        """
        self.configs, self.plans, self.members = tuple(configs), tuple(plans), len(configs)
        self.width, self.halved = len(first[0]["W_dec"]), halved
        self.objective = objective_of([config.architecture for config in configs], self.width, halved)
        self.weights = {name: _stacked([weights[name] for weights in first]) for name in first[0]}
        trained = [name for name in self.weights if name not in self.objective.frozen]
        self._adams = [
            Adam({name: self._part(self.weights[name], s) for name in trained}, config.weight_decay, config.optimizer == "adamw")
            for s, config in enumerate(self.configs)
        ]
        device = self.weights["W_dec"].device
        self.unfired = torch.zeros(self.members * self.width, dtype=torch.int64, device=device)
        """Embeddings since each latent fired."""

    def update(self, u: Tensor, step: int) -> Outcome:
        """Learn from scaled rows u [B, d]; `step` (from 0) sets the rates. The outcome is of the weights before."""
        after = torch.tensor([plan.dead_after for plan in self.plans], device=u.device).repeat_interleave(self.width)
        outcome = self.objective(self.weights, u, (self.unfired > after).nonzero().flatten())
        for s, (config, plan, adam) in enumerate(zip(self.configs, self.plans, self._adams, strict=True)):
            own = {name: self._part(gradient, s) for name, gradient in outcome.gradients.items()}
            adam.step(own, plan.rate(step, config.schedule), config.clip_norm)
        if "W_dec" in outcome.gradients and self._unit_rows:
            dictionary = self.weights["W_dec"]
            dictionary.div_(torch.linalg.vector_norm(dictionary, dim=1, keepdim=True).clamp_min(1e-12))
        if "threshold" in outcome.gradients:
            self.weights["threshold"].clamp_(min=0)
        self.weights.update(outcome.buffers)
        self.unfired += len(u)
        self.unfired[outcome.counts > 0] = 0
        return outcome

    def parameters(self, member: int = 0) -> State:
        """What an SAE of one member is made of: views, not copies."""
        d = self.weights["W_dec"].shape[1]
        names = shapes_of(self.configs[member].architecture, d, self.width)
        return {name: self._part(self.weights[name], member).view(shape) for name, shape in names.items()}

    def state(self) -> State:
        """Everything a later step depends on, as it is, not copied."""
        moments = {f"adam{s}.{name}": tensor for s, adam in enumerate(self._adams) for name, tensor in adam.state().items()}
        return {**{f"weights.{name}": tensor for name, tensor in self.weights.items()}, **moments, "unfired": self.unfired}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        for name, tensor in self.weights.items():
            tensor.copy_(state[f"weights.{name}"])
        for s, adam in enumerate(self._adams):
            prefix = f"adam{s}."
            adam.restore({name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)})
        self.unfired.copy_(state["unfired"])

    @property
    def _unit_rows(self) -> bool:
        architecture = self.configs[0].architecture
        return not isinstance(architecture, ReluL1) or architecture.renormalise_decoder

    def _part(self, tensor: Tensor, member: int) -> Tensor:
        if self.members == 1:
            return tensor
        size = len(tensor) // self.members
        return tensor[member * size : (member + 1) * size]


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """One tensor of all members' along the first dimension; scalars become a vector."""
    if len(tensors) == 1:
        return tensors[0].clone()
    return torch.cat([tensor.view(-1) if tensor.ndim == 0 else tensor for tensor in tensors])
