"""Defaults that need no tuning: scaling, first weights, batch, steps, learning rate, each a stated rule."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sae_core.config import Architecture, AuxK, BatchTopK, Gated, JumpRelu, Matryoshka, Random, ReluL1, SaeConfig
from sae_core.sae.batches import Pool, stream
from sae_core.sae.codes import Codes
from sae_core.sae.rules import rule_of

WARMUP, HOLD = 0.05, 0.8
"""Shares of the steps: linear warm-up to WARMUP, full rate to HOLD, then linear to 0."""
FEWEST_STEPS, MOST_STEPS, EPOCHS = 1200, 20_000, 40
TURN = 0.05
"""How far a data row is turned at random before it becomes a latent: the length of what is added to the unit vector."""

SAMPLE = 2048
"""Rows on which the first weights are calibrated."""
SAMPLED = 1 << 24
"""Pre-activations among which the first threshold is found, 64 MiB."""
SCALED = ("W_enc", "b_enc", "b_gate", "b_mag", "threshold", "bandwidth")
FIRST_L1 = 0.05
"""Where Gated's penalty begins; it is steered from there."""


@dataclass(frozen=True)
class Plan:
    """What is settled before the first step."""

    batch: int
    steps: int
    lr: float
    dead_after: int
    """Embeddings without firing after which AuxK counts a latent as dead."""

    def rate(self, step: int, schedule: str) -> float:
        """Learning rate of a step (from 0)."""
        if schedule == "constant":
            return self.lr
        warm = (step + 1) / (WARMUP * self.steps)
        cool = (self.steps - step) / ((1 - HOLD) * self.steps)
        return self.lr * min(1.0, warm, cool)


def plan(config: SaeConfig, rows: int, timed: int | None = None) -> Plan:
    """Batch, steps and rate for so many training rows. What the config sets stands, and the steps `timed` for it; the rest is:

    - batch: `batch_size`, but at most a twelfth of the rows, as a power of two, and at least 16: with few rows small batches
      generalise better (in trials on 800 CLIP embeddings, F 1024, k 32, held-out R² .718 at 64 and .713 at 256).
    - steps: 40 epochs, but at least 1,200 and at most 20,000 steps.
    - lr: see `learning_rate`.
    - dead_after: a twentieth of the run. On the demo AuxK leaves 1 % dead instead of 7; reviving twice as soon left more dead,
      not fewer. (Waiting an epoch where that is longer: R² .840 instead of .846 on 36,000 synthetic rows in 600 steps.)
    """
    batch = min(config.batch_size, max(16, 1 << int(math.log2(max(rows // 12, 1)))))
    if timed is not None:
        steps = timed
    elif config.steps is not None:
        steps = config.steps
    elif config.epochs is not None:
        steps = max(1, math.ceil(config.epochs * rows / batch))
    else:
        steps = min(max(math.ceil(EPOCHS * rows / batch), FEWEST_STEPS), MOST_STEPS)
    lr = config.lr if config.lr is not None else learning_rate(config.width, steps, batch)
    after = config.architecture.dead_after if isinstance(config.architecture, AuxK) else None
    return Plan(batch, steps, lr, after if after is not None else max(1, steps * batch // 20))


def learning_rate(width: int, steps: int, batch: int) -> float:
    """Adam's rate for TopK: 0.0043 · √(batch / steps) · (1024 / width)^¼, at most 0.01.

    Found on 721 CLIP embeddings (batch 32: 0.001), 5,742 of the bundled demo model (batch 256: 0.002, R² flat up to 0.007 while
    dead latents grow from 2 to 29 %) and synthetic ones (batch 512: 0.005 at 600 steps, 0.002 at 2,000), F 1024.
    """
    return min(0.0043 * math.sqrt(batch / steps) * math.sqrt(math.sqrt(1024 / width)), 1e-2)


def scaling(pool: Pool, kind: str) -> tuple[Tensor, float]:
    """Mean [d] and scale of u = (x - mean) · scale, so that u has mean 0 and mean square norm 1; (0, 1) for kind "none".

    Rows that are all equal have no scale: it is 1.
    """
    if kind == "none":
        return torch.zeros(pool.d), 1.0
    mean, centred = moments(pool)
    return mean.float(), 1.0 / math.sqrt(centred) if centred > 0 else 1.0


def moments(pool: Pool) -> tuple[Tensor, float]:
    """Mean float64 [d] and mean square distance from it, in float64; about the first row, so that no digits are lost."""
    shift = pool.take(np.zeros(1, dtype=np.int64))[0].double()
    total, squares = torch.zeros(pool.d, dtype=torch.float64), 0.0
    for block in pool.blocks():
        rows = block.double() - shift
        total += rows.sum(0)
        squares += float(rows.square().sum())
    return shift + total / pool.n, max(squares / pool.n - float((total / pool.n).square().sum()), 0.0)


def first_weights(config: SaeConfig, pool: Pool, mean: Tensor, scale: float) -> dict[str, Tensor]:
    """Parameters and buffers at step 0, float32, by the config's `init` and seed."""
    rng = stream(config.seed, "weights")
    if config.init == "seed_project":
        first = _linear(config, pool.d, rng)
    else:
        rows = 0 if isinstance(config.architecture, Random) else config.width
        first = _data_rows(config.width, rows, pool, mean, scale, rng)
    sample = (pool.take(np.sort(rng.permutation(pool.n)[:SAMPLE])) - mean) * scale
    weights = _gated(config.architecture, first, sample[: max(1, SAMPLED // config.width)])
    return weights if config.init == "seed_project" else _calibrated(config.architecture, weights, sample)


def _gated(architecture: Architecture, first: dict[str, Tensor], u: Tensor) -> dict[str, Tensor]:
    """What an architecture has beyond encoder and dictionary: the gate at which the sample has the L0 that is asked for."""
    if not isinstance(architecture, (Gated, JumpRelu, BatchTopK, Matryoshka)):
        return first
    m = len(first["b_enc"])
    l0 = architecture.k if isinstance(architecture, (BatchTopK, Matryoshka)) else architecture.l0
    pre = torch.addmm(first["b_enc"], u, first["W_enc"].T).flatten()
    cut = pre.topk(min(max(1, round(l0 * len(u))), len(pre))).values[-1].clamp_min(0)
    match architecture:
        case Gated(l1=l1):
            bias = first.pop("b_enc")
            rate = torch.tensor(FIRST_L1 if l1 is None else l1)
            return {**first, "b_gate": bias - cut, "b_mag": bias.clone(), "r_mag": torch.zeros(m), "l1": rate}
        case JumpRelu(bandwidth=bandwidth):
            return {**first, "threshold": cut.expand(m).clone(), "bandwidth": bandwidth * cut.clamp_min(1e-6)}
        case _:
            return {**first, "threshold": cut}


def _data_rows(m: int, count: int, pool: Pool, mean: Tensor, scale: float, rng: np.random.Generator) -> dict[str, Tensor]:
    """m unit rows, W_enc = W_dec: as many training rows about their mean as `count`, random directions beyond.

    On 800 CLIP embeddings, F 1024, k 32, held-out R²: data rows .698, random directions .588, differences of rows .629.
    """
    chosen = np.sort(rng.permutation(pool.n)[:count])
    centre = mean.double() if scale != 1.0 or bool(mean.any()) else moments(pool)[0]
    parts = [pool.take(part).double() - centre for part in np.array_split(chosen, max(1, len(chosen) // 2048))]
    rows = torch.cat(parts)
    rows = rows[torch.from_numpy(rng.permutation(len(rows)))]
    lengths = rows.norm(dim=1, keepdim=True)
    random = torch.from_numpy(rng.standard_normal((m, pool.d)))
    random /= random.norm(dim=1, keepdim=True)
    directions = random.clone()
    # A row at the mean has no direction; equal rows would stay twins for good, so each is turned a little.
    directions[: len(rows)] = torch.where(
        lengths > 1e-9, rows / lengths.clamp_min(1e-9) + TURN * random[: len(rows)], random[: len(rows)]
    )
    directions = (directions / directions.norm(dim=1, keepdim=True)).float()
    offset = ((centre - mean.double()) * scale).float()  # 0 unless the input is not scaled: then the mean is b_dec's
    return {"W_enc": directions.clone(), "b_enc": -(directions @ offset), "W_dec": directions, "b_dec": offset}


def _calibrated(architecture: Architecture, weights: dict[str, Tensor], u: Tensor) -> dict[str, Tensor]:
    """The same directions with the encoder shortened by the one factor with which û is nearest to u.

    k data rows that resemble one another overshoot together: on the demo the loss began at 71 instead of 1, and that decided the
    run. Held-out R² .912 without, .934 with.
    """
    pre = u @ weights["W_enc"].T
    if "b_enc" in weights:
        pre += weights["b_enc"]
    indices, values = rule_of(architecture, weights).sparse(pre)
    estimate = Codes.padded(indices, values, len(weights["W_dec"])).decode(weights["W_dec"])
    energy = float(estimate.square().sum())
    factor = float((estimate * (u - weights["b_dec"])).sum()) / energy if energy > 0 else 1.0
    if factor <= 0:
        return weights
    # What is compared with pre-activations shrinks with them, so that the same latents fire.
    shorter = {name: weights[name] * factor for name in SCALED if name in weights}
    return {**weights, **shorter}


def _linear(config: SaeConfig, d: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """torch.nn.Linear's defaults, U(-1/√fan_in, 1/√fan_in), the decoder's columns normalised where the config asks for it."""

    def uniform(bound: float, *shape: int) -> Tensor:
        return torch.from_numpy(rng.uniform(-bound, bound, shape).astype(np.float32))

    m = config.width
    into, out = 1 / math.sqrt(d), 1 / math.sqrt(m)
    decoder = uniform(out, m, d)
    if not isinstance(config.architecture, ReluL1) or config.architecture.renormalise_decoder:
        decoder /= decoder.norm(dim=1, keepdim=True)
    return {"W_enc": uniform(into, m, d), "b_enc": uniform(into, m), "W_dec": decoder, "b_dec": uniform(out, d)}


def width_advice(width: int, rows: int) -> str:
    """A warning when there are too few rows for the width; empty otherwise."""
    if rows >= 4 * width:
        return ""
    best = 1 << max(1, int(math.log2(max(rows, 2))))
    return (
        f"{rows:,} training rows are few for {width:,} latents: expect dead latents and overfitting; the dictionary kept is the "
        f"one best on held-out training rows. About {best:,} latents suit this many rows"
    )
