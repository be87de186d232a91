"""How a dictionary is trained: one model for each architecture and control, and what they share."""

from __future__ import annotations

import math
from itertools import accumulate, pairwise
from typing import Annotated, Literal, Union

from pydantic import Field, field_validator, model_validator

from sae_core.config.base import Model

Count = Annotated[int, Field(ge=1)]


class AuxK(Model):
    """What the TopK family does for latents that have not fired for long (Gao et al. 2024, arXiv:2406.04093, appendix A.2)."""

    aux_k: Annotated[int, Field(ge=0)] | None = None
    aux_coefficient: Annotated[float, Field(ge=0)] = 1 / 32
    dead_after: Count | None = None


class TopK(AuxK):
    """Keep the `k` largest pre-activations of each row (Gao et al. 2024, arXiv:2406.04093)."""

    kind: Literal["topk"] = "topk"
    k: Count = 32


class BatchTopK(AuxK):
    """Keep the `k` x rows largest pre-activations of a batch, at inference those above a threshold (arXiv:2412.06410)."""

    kind: Literal["batch_topk"] = "batch_topk"
    k: Count = 32


class Matryoshka(AuxK):
    """BatchTopK whose first latents must reconstruct alone (Bussmann et al. 2025, arXiv:2503.17547).

    `groups` are shares of the dictionary: each group and all before it form one of the nested dictionaries.
    """

    kind: Literal["matryoshka"] = "matryoshka"
    k: Count = 32
    groups: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.0625, 0.1875, 0.25, 0.5)

    @field_validator("groups")
    @classmethod
    def _whole(cls, groups: tuple[float, ...]) -> tuple[float, ...]:
        if not math.isclose(sum(groups), 1, abs_tol=1e-6):
            raise ValueError(f"the shares of the groups must sum to 1, not {sum(groups):g}")
        return groups

    def sizes(self, m: int) -> tuple[int, ...]:
        """Latents in each group of a dictionary of m; they sum to m."""
        ends = [0, *(round(m * min(share, 1.0)) for share in accumulate(self.groups))]
        return tuple(high - low for low, high in pairwise(ends))


class ReluL1(Model):
    """ReLU codes with an L1 penalty; `frozen_decoder` reproduces what the seed project really trained."""

    kind: Literal["relu_l1"] = "relu_l1"
    l1: Annotated[float, Field(ge=0)] = 0.001
    frozen_decoder: bool = False
    renormalise_decoder: bool = True


class Gated(Model):
    """A gate says which latents fire, a magnitude how much (Rajamanoharan et al. 2024, arXiv:2404.16014).

    The L1 penalty on the gate is steered until `l0` latents a row fire; with `l1` it is fixed instead.
    """

    kind: Literal["gated"] = "gated"
    l0: Annotated[float, Field(gt=0)] = 32
    l1: Annotated[float, Field(ge=0)] | None = None


class JumpRelu(Model):
    """Pre-activations above a threshold learned for each latent (Rajamanoharan et al. 2024, arXiv:2407.14435).

    The penalty is coefficient x (L0 / l0 - 1)², so that L0 ends where it is asked to; `bandwidth` is the width of the kernel
    that estimates the threshold's gradient, as a share of the mean threshold at the start.
    """

    kind: Literal["jumprelu"] = "jumprelu"
    l0: Annotated[float, Field(gt=0)] = 32
    coefficient: Annotated[float, Field(ge=0)] = 1.0
    bandwidth: Annotated[float, Field(gt=0)] = 0.1


class Random(AuxK):
    """Control: TopK over random directions that are never trained; only the encoder and the biases learn."""

    kind: Literal["random"] = "random"
    k: Count = 32


class Pca(Model):
    """Control: the first `components` principal axes, each as two latents, one for either direction, so that L0 = components.

    Its dictionary has 2 x components latents, whatever `width` says.
    """

    kind: Literal["pca"] = "pca"
    components: Count = 32


class KMeans(Model):
    """Control: `width` centres, and a code that is 1 at the nearest."""

    kind: Literal["kmeans"] = "kmeans"


class Splice(Model):
    """Control: a non-negative sparse combination of at most `k` text concepts (SpLiCE, Bhalla et al. 2024, arXiv:2402.10376).

    Nothing is trained; there are as many latents as concepts, whatever `width` says.
    """

    kind: Literal["splice"] = "splice"
    k: Count = 32


Architecture = Annotated[
    Union[TopK, BatchTopK, Matryoshka, ReluL1, Gated, JumpRelu, Random, Pca, KMeans, Splice], Field(discriminator="kind")
]


def sparsity(architecture: Architecture) -> str:
    """What sets how many latents fire, in words: "k = 32"."""
    match architecture:
        case Gated(l1=float(l1)) | ReluL1(l1=l1):
            return f"L1 coefficient {l1:g}"
        case Gated(l0=l0) | JumpRelu(l0=l0):
            return f"L0 = {l0:g}"
        case Pca(components=components):
            return f"{components} components"
        case KMeans():
            return "one centre a row"
        case _:
            return f"k = {architecture.k}"


class SaeConfig(Model):
    """How the dictionary is trained. What is null follows the rules of `sae_core.sae.recipe`.

    `batch_size` is an upper bound: with few rows smaller batches generalise better, so a batch is at most a twelfth of the rows.
    `clip_norm` is null by default: the recipe's first weights are calibrated, so that no gradient is ever large.
    `seconds` is a budget of time: as many steps as this machine is measured to do in it, decided before the first.
    """

    architecture: Architecture = TopK()
    width: Annotated[int, Field(ge=2, le=1_048_576)] = 4096
    domains: tuple[str, ...] | None = None
    epochs: Annotated[float, Field(gt=0)] | None = None
    steps: Count | None = None
    seconds: Annotated[float, Field(gt=0)] | None = None
    batch_size: Count = 1024
    optimizer: Literal["adam", "adamw"] = "adam"
    lr: Annotated[float, Field(gt=0, le=1)] | None = None
    schedule: Literal["trapezoid", "constant"] = "trapezoid"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    scaling: Literal["mean_square", "none"] = "mean_square"
    init: Literal["recipe", "seed_project"] = "recipe"
    seed: Annotated[int, Field(ge=0)] = 0
    log_every: Count = 20

    @model_validator(mode="after")
    def _consistent(self) -> SaeConfig:
        given = [name for name in ("steps", "epochs", "seconds") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of steps, epochs and seconds, not {' and '.join(given)}")
        k = getattr(self.architecture, "k", 0)
        if not isinstance(self.architecture, Splice) and k > self.width:
            raise ValueError(f"k = {k} is above the dictionary size, width = {self.width}")
        if isinstance(self.architecture, Matryoshka) and min(self.architecture.sizes(self.width)) < 1:
            raise ValueError(f"a group of the {len(self.architecture.groups)} has no latent at width = {self.width}")
        return self
