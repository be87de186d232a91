"""Testing the trained model on drawings it has not seen, and the model card that says what came out."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sae_core.clip.encoder import Encoder
from sae_core.clip.prompts import class_directions
from sae_core.clip.train_bundled.loop import Recipe
from sae_core.clip.train_bundled.pool import HELD_OUT_SEEDS, TRAIN_SEEDS, held_out_seed, train_seed
from sae_core.data import drawn


@dataclass(frozen=True)
class Held:
    """What held-out drawings of one rendering gave.

    Attributes:
        n: how many.
        accuracy: zero-shot, class names in the rendering's own templates.
        pca: share of the raw embeddings' variance that their first 16 and 32 principal components hold.
        confused: the three most frequent mistakes, `(true, taken for, times)`.
    """

    n: int
    accuracy: float
    pca: tuple[float, float]
    confused: tuple[tuple[str, str, int], ...]


def held_out(encoder: Encoder, rendering: str, n: int, seed: int) -> Held:
    """Zero-shot accuracy and spread of `n` held-out drawings of run `seed`."""
    made = drawn.draw(n, held_out_seed(seed), rendering, keep_scenes=False)
    x = encoder.images(made.images).astype(np.float64)
    weights = class_directions(encoder, drawn.CLASSES, rendering)
    guess = (x @ weights.T).argmax(axis=1)  # the norm of x scales a row, so its largest cosine stays the largest
    pairs, times = np.unique(np.stack([made.labels, guess])[:, guess != made.labels], axis=1, return_counts=True)
    worst = np.argsort(-times, kind="stable")[:3]
    named = tuple((drawn.CLASSES[pairs[0, i]], drawn.CLASSES[pairs[1, i]], int(times[i])) for i in worst)
    return Held(n, float((guess == made.labels).mean()), _pca(x), named)


def _pca(x: NDArray[np.float64]) -> tuple[float, float]:
    squares = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    share = np.cumsum(squares) / squares.sum()
    return float(share[min(15, len(share) - 1)]), float(share[min(31, len(share) - 1)])


def write_card(
    folder: Path,
    recipe: Recipe,
    command: str,
    steps: int,
    seconds: float,
    device: torch.device,
    encoder: Encoder,
    results: dict[str, Held],
) -> None:
    """Write `MODEL_CARD.md`: data, command, time, hardware, size, accuracy and limits."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (".safetensors", ".json", ".gz")]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    hardware = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"CPU ({platform.machine()}, {os.cpu_count()} cores), {torch.get_num_threads()} thread(s)"
    )
    rows = [
        f"| {name} | {r.n} | {r.accuracy:.3f} | {r.pca[0]:.2f} / {r.pca[1]:.2f} "
        f"| {', '.join(f'{a} for {b} ({k})' for b, a, k in r.confused) or 'none'} |"
        for name, r in results.items()
    ]
    settings = ", ".join(f"{name} {value}" for name, value in asdict(recipe).items() if name != "steps")
    text = f"""# The bundled demo model

A real open_clip model, small enough to live in the package, for a first minute and for tests without a network. It knows the
drawn world of this project and nothing else. **It is a stand-in: conclusions about CLIP need CLIP** (`clip.model: ViT-B-32`,
`clip.pretrained: openai`). This file is written by the command that trains the model.

| | |
|---|---|
| command | `{command}` |
| data | the drawn world, version {drawn.VERSION}: {recipe.scenes:,} scenes of {len(drawn.CLASSES)} classes, each as a sketch \
(64x64) and as a photo-like picture (32x32), with captions; and {recipe.primitives:,} pictures of one primitive alone |
| seeds | training draws from seed {train_seed(recipe.seed):,}, the test from {held_out_seed(recipe.seed):,}; \
{TRAIN_SEEDS:,} to {HELD_OUT_SEEDS - 1:,} are kept for training, \
{HELD_OUT_SEEDS:,} and above for its tests, smaller ones for users |
| steps | {steps:,} of {recipe.batch_size} images, {seconds / 60:.1f} minutes, drawing included |
| hardware | {hardware} |
| made | {datetime.datetime.now(datetime.UTC).date().isoformat()} |
| image tower | open_clip ModifiedResNet, layers {list(recipe.image_layers)}, width {recipe.image_width}, \
{recipe.image_size} px input, embeddings of {recipe.embed_dim} |
| text tower | {recipe.text_layers} layers, width {recipe.text_width}, context {recipe.context_length}, \
a subset of CLIP's own BPE merges |
| parameters | {encoder.parameters:,} |
| size | {megabytes:.1f} MB (weights stored as fp16) |
| SHA-256 of the loaded tensors | `{encoder.weights_sha256}` |

## Held-out zero-shot accuracy
Class names in each rendering's own templates; chance is {1 / len(drawn.CLASSES):.3f}.

| rendering | images | accuracy | variance in 16 / 32 components | most frequent mistakes |
|---|---|---|---|---|
{chr(10).join(rows)}

## How it was trained
The text tower first learns to tell the names of classes and primitives apart. Then each step contrasts images with all those
names in random words, with phrases about primitives ("three curves", "hatching", "a sketch with corners") whose truth follows
from the drawing's counts, and with the drawings' own captions; whatever is true of an image counts as a positive. A penalty on
the squared cosine between different classes keeps embeddings from sharing a dozen dimensions. AdamW with warm-up and a cosine,
gradients clipped at norm 1, light augmentation, an exponential average of the weights.
Settings: {settings}.

## Loading it
```python
import sae_core as sc
clip = sc.load_encoder("bundled")
```
or with open_clip alone, where the tokenizer must be told where the merges are:
```python
import open_clip
model, _, preprocess = open_clip.create_model_and_transforms("local-dir:<this folder>")
tokenizer = open_clip.get_tokenizer("local-dir:<this folder>", bpe_path="<this folder>/bpe.txt.gz")
```

## Limits
- Only the {len(drawn.CLASSES)} drawn classes, the seven primitives and the words around them mean anything to it; any text
  becomes tokens, but words it has not read land in arbitrary directions, and so do pictures of the real world.
- Its sketches are clean ink on white and its photos are synthetic: numbers on them say nothing about ImageNet-Sketch or CIFAR.
- The same command gives the same weights only on the same machine and library versions.
"""
    (folder / "MODEL_CARD.md").write_text(text, encoding="utf-8")
