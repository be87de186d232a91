"""Adam on named tensors by torch's fused kernel, with its state in the open, so that it can be saved and restored.

The functional form: constructing `torch.optim.Adam` imports torch's compiler, which takes seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Adam (Kingma & Ba 2014, arXiv:1412.6980) with β = (0.9, 0.999), ε = 1e-8; AdamW where the decay is decoupled."""

    def __init__(self, parameters: Mapping[str, Tensor], weight_decay: float, decoupled: bool) -> None:
        """`step` changes the parameters in place. `decoupled`: decay as in AdamW (arXiv:1711.05101), not through the gradient."""
        self._parameters = dict(parameters)
        self._decay, self._decoupled = weight_decay, decoupled
        self._first = {name: torch.zeros_like(tensor) for name, tensor in self._parameters.items()}
        self._second = {name: torch.zeros_like(tensor) for name, tensor in self._parameters.items()}
        self._steps = {name: torch.zeros((), device=tensor.device) for name, tensor in self._parameters.items()}

    def step(self, gradients: Mapping[str, Tensor], rate: float, clip_norm: float | None = None) -> None:
        """One step down the gradients at a learning rate, their joint norm first cut to `clip_norm`; they may be overwritten."""
        chosen = [gradients[name] for name in self._parameters]
        if clip_norm is not None:
            norm = math.sqrt(sum(float(gradient.square().sum(dtype=torch.float64)) for gradient in chosen))
            if norm > clip_norm:
                for gradient in chosen:
                    gradient *= clip_norm / (norm + 1e-6)  # torch's clip_grad_norm_ has the same 1e-6
        adam(
            list(self._parameters.values()),
            chosen,
            list(self._first.values()),
            list(self._second.values()),
            [],
            list(self._steps.values()),
            fused=True,
            decoupled_weight_decay=self._decoupled,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=rate,
            weight_decay=self._decay,
            eps=1e-8,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """Both moments and the step count of every parameter, as they are, not copied."""
        parts = {"first": self._first, "second": self._second, "steps": self._steps}
        return {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
