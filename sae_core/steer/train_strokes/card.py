"""The card that comes with the bundled stroke decoder: what it is, how it was trained, what held-out drawings gave."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
from dataclasses import asdict
from pathlib import Path

import torch

from sae_core.clip.encoder import Encoder
from sae_core.clip.train_bundled.pool import held_out_seed
from sae_core.data import drawn
from sae_core.steer.strokes.model import StrokeModel
from sae_core.steer.strokes.refine import STEPS
from sae_core.steer.train_strokes.gate import SHARE_OF_REAL, ClassesRead
from sae_core.steer.train_strokes.loop import Recipe
from sae_core.steer.train_strokes.pool import ALONE, train_seed


def write_card(
    weights: Path, model: StrokeModel, encoder: Encoder, recipe: Recipe, steps: int, seconds: float, result: ClassesRead
) -> None:
    """Write `MODEL_CARD.md` beside the weights."""
    flags = " ".join(f"--{name} {getattr(recipe, name)}" for name in ("steps", "scenes", "noise", "seed"))
    command = f"python -m sae_core.steer.train_strokes --out DIR {flags}"
    settings = ", ".join(f"{name} {value}" for name, value in asdict(recipe).items())
    data = weights.read_bytes()
    worst = ", ".join(f"{name} {share:.2f}" for name, share in result.worst)
    least = SHARE_OF_REAL * result.real
    verdict = "passes" if result.drawn >= least else "does not pass"
    text = f"""# The bundled stroke decoder

Draws embeddings of the bundled demo CLIP as parametric strokes: cubic curves with a width, and dots. **What it draws is
generated**: a plausible drawing of what the embedding says, not the picture it came from. This file is written by the command
that trains it.

| | |
|---|---|
| command | `{command}` |
| understands | embeddings of `{encoder.id}` (weights `{encoder.weights_sha256[:16]}`), d = {encoder.dim}; \
of those the direction alone |
| data | the drawn world, version {drawn.VERSION}: {recipe.scenes:,} scenes, each seen as a sketch and as a photo-like picture; \
one in {ALONE} holds one kind of primitive alone |
| seeds | training draws from seed {train_seed(recipe.seed):,}, the test from {held_out_seed(recipe.seed):,} |
| steps | {steps:,} of {recipe.steps:,} planned, {recipe.batch_size} drawings each, {seconds / 60:.0f} minutes |
| hardware | CPU ({platform.machine()}, {os.cpu_count()} cores), {torch.get_num_threads()} thread(s) |
| made | {datetime.datetime.now(datetime.UTC).date().isoformat()} |
| network | causal transformer over curves, width {recipe.width}, {recipe.layers} layers, {recipe.heads} heads; \
a head that chooses a curve's ten numbers one after another |
| parameters | {model.parameters_count:,} |
| size | {len(data) / 1e6:.1f} MB (fp16) |
| SHA-256 of the file | `{hashlib.sha256(data).hexdigest()}` |

## Held-out read-back
The bundled CLIP reads the class of the drawing, zero-shot over {len(drawn.CLASSES)} classes, as it does with real sketches.

| | |
|---|---:|
| held-out drawings | {result.n} |
| class of the real drawing | {result.real:.3f} |
| class of what is drawn | {result.drawn:.3f} |
| the same before its points are moved | {result.chosen:.3f} |
| cosine to the embedding asked for | {result.cosine:.3f} |
| median time of a drawing | {result.milliseconds:.0f} ms |

The bar is {SHARE_OF_REAL} of the real drawings' accuracy, {least:.3f}: it **{verdict}**. Least often read back: {worst}.

## How it works
A drawing is a row of tokens, one a cubic curve, in the order in which the drawn world's pen draws. The network reads the
embedding and chooses curve after curve; each number of a curve (what the pen does, width, ends, how far the inner control points
lie from the chord's thirds) is a choice among at most 128, so a drawing is sharp. Training minimises the negative log-likelihood,
with noise on the embeddings and drawings moved by a cell or two; AdamW, a plateau and a straight way down, an exponential
average of the weights. To draw, the likeliest choices are taken; then all points of the drawing are moved in {STEPS} steps along
the gradient of the cosine of what the CLIP sees in it and the embedding asked for. No stroke comes or goes in that, but lines
bend, and that is what makes a drawing follow a latent that is turned up.
Settings: {settings}.

## Limits
- It knows the drawn world's {len(drawn.CLASSES)} classes and seven primitives; other embeddings are drawn as mixtures.
- Position, size and style of a drawing follow the embedding only as far as the CLIP keeps them.
- The same command gives the same weights only on the same machine and library versions.
"""
    weights.with_name("MODEL_CARD.md").write_text(text, encoding="utf-8")
