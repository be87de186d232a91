"""Training the stroke decoder: configuration, steps, averaged weights, checkpoints, and the file that is bundled."""

from __future__ import annotations

import io
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from sae_core.errors import InputError
from sae_core.progress import Event, Report
from sae_core.steer.strokes.model import Shape, StrokeModel
from sae_core.steer.train_strokes.pool import Pool, batches
from sae_core.store import write_atomic

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Recipe:
    """Everything that changes the weights."""

    steps: int = 4500
    batch_size: int = 64
    scenes: int = 16_000
    seed: int = 0
    lr: float = 2e-3
    warmup: int = 100
    decay: float = 0.3
    weight_decay: float = 0.05
    average: float = 0.998
    noise: float = 0.25
    shift: int = 2
    width: int = 128
    layers: int = 3
    heads: int = 4


def rate(step: int, recipe: Recipe) -> float:
    """The learning rate of step 0, 1, ...: warm-up, a plateau that does not know the end, and a straight way down to nothing.

    A longer run is the same run up to where the shorter one's way down began, so a checkpoint can be taken further.
    """
    down = max(1, round(recipe.steps * recipe.decay))
    return recipe.lr * min(1.0, (step + 1) / recipe.warmup, (recipe.steps - step) / down)


@dataclass
class Training:
    """A run in the middle: what a checkpoint holds."""

    model: StrokeModel
    average: StrokeModel
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    step: int = 0
    seconds: float = 0.0


def begin(pool: Pool, recipe: Recipe) -> Training:
    """A run at step 0; the pool's embeddings fix how the network reads embeddings."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = StrokeModel(Shape(pool.x.shape[2], recipe.width, recipe.layers, recipe.heads))
    directions = torch.nn.functional.normalize(torch.from_numpy(pool.x.reshape(-1, pool.x.shape[2])), dim=1)
    model.mean.copy_(directions.mean(dim=0))
    model.spread.copy_((directions - model.mean).square().mean().sqrt())
    return _with(model, recipe)


def _with(model: StrokeModel, recipe: Recipe) -> Training:
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.98), fused=True)
    average = StrokeModel(model.shape)
    average.load_state_dict(model.state_dict())
    return Training(model, average.requires_grad_(False), optimizer, recipe)


def run(training: Training, pool: Pool, report: Report, checkpoint: Path | None = None, every: float = 120.0) -> None:
    """Take a run to its last step; the same steps from a checkpoint as without one, bit for bit.

    Args:
        training: where it stands; changed in place.
        pool: what it learns from, the same at every resumption.
        report: told every 20 steps; may raise Cancelled.
        checkpoint: file to write every `every` seconds and at the end.
    """
    recipe, began, saved = training.recipe, time.monotonic() - training.seconds, time.monotonic()
    source = batches(pool, recipe.batch_size, recipe.noise, recipe.shift, recipe.seed, training.step)
    told: list[torch.Tensor] = []
    training.model.train()
    while training.step < recipe.steps:
        batch = next(source)
        for group in training.optimizer.param_groups:
            group["lr"] = rate(training.step, recipe)
        loss, parts = training.model.loss(batch.x, batch.tokens, batch.lengths)
        training.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(training.model.parameters(), 1.0)
        training.optimizer.step()
        training.step += 1
        _follow(training)
        told.append(torch.cat([loss.detach()[None], parts[:1]]))
        training.seconds = time.monotonic() - began
        if training.step % 20 == 0 or training.step == recipe.steps:
            mean = torch.stack(told).mean(dim=0).tolist()
            report(
                Event(
                    "train_strokes",
                    training.step,
                    recipe.steps,
                    {"loss": mean[0], "pen": mean[1], "lr": rate(training.step, recipe)},
                )
            )
            told.clear()
        if checkpoint is not None and (time.monotonic() - saved > every or training.step == recipe.steps):
            save_checkpoint(training, checkpoint)
            saved = time.monotonic()


@torch.no_grad()
def _follow(training: Training) -> None:
    """Move the averaged weights; at first they follow closely, so that the beginning is soon forgotten."""
    share = 1 - min(training.recipe.average, (1 + training.step) / (10 + training.step))
    torch._foreach_lerp_(list(training.average.parameters()), list(training.model.parameters()), share)


def save_checkpoint(training: Training, path: Path) -> None:
    """Write everything that is needed to go on: tensors and plain values only."""
    state: dict[str, Any] = {
        "model": training.model.state_dict(),
        "average": training.average.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "recipe": json.dumps(asdict(training.recipe)),
        "step": training.step,
        "seconds": training.seconds,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def load_checkpoint(path: Path, recipe: Recipe) -> Training:
    """Go on from a checkpoint, to as many steps as `recipe` says.

    Raises:
        InputError: the file is no checkpoint, or of another recipe in anything but the number of steps.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        made = Recipe(**json.loads(state["recipe"]))
    except Exception as error:  # torch raises a dozen classes for files it cannot read
        raise InputError(f"{path} is no checkpoint of this training: {str(error).splitlines()[0][:120]}; remove it") from error
    differs = [name for name, value in asdict(made).items() if name != "steps" and value != getattr(recipe, name)]
    if differs:
        told = ", ".join(f"{name} {getattr(made, name)}" for name in differs)
        raise InputError(f"{path} was made with {told}; give the same, or another --work folder")
    down = round(made.steps * (1 - made.decay))
    if made.steps != recipe.steps and state["step"] > down:
        raise InputError(
            f"{path} is past step {down}, where its way down began: it ends at {made.steps} steps; give --steps {made.steps}"
        )
    model = StrokeModel(Shape(state["model"]["mean"].shape[0], recipe.width, recipe.layers, recipe.heads))
    model.load_state_dict(state["model"])
    training = _with(model, recipe)
    training.average.load_state_dict(state["average"])
    training.optimizer.load_state_dict(state["optimizer"])
    training.step, training.seconds = int(state["step"]), float(state["seconds"])
    return training
