"""Dictionaries for the experiments: ours as `train_sae` makes them with nothing tuned, the controls, the seed's recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peers import Seed
from benchmarks.protocol import Job, _ids
from sae_core import train_sae
from sae_core.config import SaeConfig, Splice, TopK
from sae_core.sae import controls
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Arrays, Pool
from sae_core.sae.quality import Quality
from sae_core.sae.recipe import plan, scaling

Floats = NDArray[np.float32]

SEED_BATCH, SEED_STEPS = 64, 7800
"""The seed project's own training: ten epochs of about 50,000 pictures in batches of 64."""
SEED = "seed/relu_l1"
SEED_LONG = "seed/relu_l1, 7,800 steps"


@dataclass(frozen=True)
class Recipe:
    """A dictionary to make; `k` is its L0, l0, components or None, as the architecture has it, `l1` of relu_l1.

    `batch_size` is an upper bound, `steps` None is the recipe's own number (see `sae_core.sae.recipe.plan`). The seed's recipe
    gets the same batch and steps, or those of its own project as `SEED_LONG`.
    """

    kind: str
    width: int
    k: int | None = None
    l1: float | None = None
    batch_size: int = 256
    steps: int | None = None
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


Run = Callable[[Floats], tuple[Floats, float]]
"""From embeddings [n, d] to their reconstructions and L0."""


def make(recipe: Recipe, x: Floats, encoder: str | None = None) -> Run:
    """Train or compute a dictionary on x [n, d]; `encoder` names the CLIP whose text tower SpLiCE reads."""
    if recipe.kind in (SEED, SEED_LONG):
        return _seed(recipe, x)
    sae = _splice(recipe, x, encoder) if recipe.kind == "splice" else _ours(recipe, x)

    def run(rows: Floats) -> tuple[Floats, float]:
        indices, values = sae.encode_sparse(rows)
        return sae.decode_sparse(indices, values), float((values > 0).sum(axis=1).mean())

    return run


def _ours(recipe: Recipe, x: Floats) -> SAE:
    architecture: dict[str, Any] = {"kind": recipe.kind, **({} if recipe.l1 is None else {"l1": recipe.l1})}
    return train_sae(
        x,
        architecture,
        k=recipe.k,
        width=recipe.width,
        seed=recipe.seed,
        device="cpu",
        batch_size=recipe.batch_size,
        steps=recipe.steps,
    )


def _splice(recipe: Recipe, x: Floats, encoder: str | None) -> SAE:
    assert recipe.k is not None
    config = SaeConfig(architecture=Splice(k=recipe.k), seed=recipe.seed)
    pool = Pool([(Arrays([x]), np.arange(len(x)))], x.shape[1])
    mean, scale = scaling(pool, config.scaling)
    return controls.fit(config, pool, mean, scale, encoder).sae


def _seed(recipe: Recipe, x: Floats) -> Run:
    """The peer's class that `train_quality` measures, in this process: it needs torch alone."""
    config = SaeConfig(architecture=TopK(k=1), width=recipe.width, batch_size=recipe.batch_size, steps=recipe.steps)
    planned = plan(config, len(x))
    batch, steps = planned.batch, planned.steps
    if recipe.kind == SEED_LONG:
        batch, steps = SEED_BATCH, SEED_STEPS if recipe.steps is None else 2 * recipe.steps
    job = Job(recipe.kind, "", recipe.width, recipe.k or 1, min(batch, len(x)), steps, seed=recipe.seed)
    with torch.random.fork_rng(devices=[]):  # it seeds torch's global generator
        trainee = Seed(job, torch.from_numpy(np.ascontiguousarray(x)))
    ids = _ids(len(x), job.batch, job.seed, "cpu")
    trainee.train(next(ids) for _ in range(job.steps))
    frozen = trainee.frozen()

    def run(rows: Floats) -> tuple[Floats, float]:
        with torch.no_grad():
            x_hat, z = frozen(torch.from_numpy(np.ascontiguousarray(rows)))
        return x_hat.numpy(), float((z > 0).sum(1).float().mean())

    return run


def r2(x: Floats, x_hat: Floats) -> float:
    """R² of the rows given, by the project's one definition."""
    quality = Quality(x.shape[1], 1)
    quality.add(x, x_hat, torch.zeros(1, dtype=torch.int64), 0.0)
    return quality.metrics()["r2"]
