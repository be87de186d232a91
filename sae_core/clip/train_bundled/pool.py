"""Drawn images to learn from: a pool held in memory, random batches of it, and light augmentation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from sae_core.data import drawn
from sae_core.errors import InputError

TRAIN_SEEDS = 1_000_000
"""Seeds from here to HELD_OUT_SEEDS draw what the bundled model learns from; demos and users have those below."""
HELD_OUT_SEEDS = 2_000_000
"""Seeds from here draw what it is tested on."""
MEAN, STD = 0.5, 0.5
"""Pixel normalisation, the same for the three channels."""


def train_seed(seed: int) -> int:
    """The drawn world's seed for training run `seed`. Raises InputError outside 0..999,999, where ranges would overlap."""
    return TRAIN_SEEDS + _checked(seed)


def held_out_seed(seed: int) -> int:
    """The drawn world's seed for the test of run `seed`. Raises InputError outside 0..999,999."""
    return HELD_OUT_SEEDS + _checked(seed)


def _checked(seed: int) -> int:
    if not 0 <= seed < TRAIN_SEEDS:
        raise InputError(f"--seed {seed}: give 0 to {TRAIN_SEEDS - 1}; other seeds are kept for tests and users")
    return seed


@dataclass(frozen=True)
class Pool:
    """Scenes drawn in one rendering: images uint8 [n, c, h, w], labels [n], counts [n, primitives], captions.

    Labels are indices into `drawn.CLASSES` followed by `drawn.PRIMITIVES`.
    """

    images: torch.Tensor
    labels: NDArray[np.int64]
    counts: NDArray[np.float32]
    captions: list[str]

    @property
    def n(self) -> int:
        return len(self.labels)


def draw_pool(n: int, seed: int, rendering: str, device: torch.device, alone: int = 0) -> Pool:
    """Draw `n` objects of `seed`, and `alone` pictures of one primitive alone, whose labels follow those of the classes."""
    made = drawn.draw(n, seed, rendering, keep_scenes=False)
    kinds = len(drawn.PRIMITIVES)
    scenes = [drawn.primitive(drawn.PRIMITIVES[i % kinds], seed, i) for i in range(alone)]
    pictures = [made.images, *(drawn.render(scene, rendering)[None] for scene in scenes)]
    images = torch.from_numpy(np.concatenate(pictures))
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    counts = [made.counts, *(np.array([[scene.counts[name] for name in drawn.PRIMITIVES]]) for scene in scenes)]
    return Pool(
        images.contiguous().to(device),
        np.concatenate([made.labels, len(drawn.CLASSES) + np.arange(alone) % kinds]),
        np.concatenate(counts).astype(np.float32),
        [*made.captions, *(scene.caption(rendering) for scene in scenes)],
    )


@dataclass(frozen=True)
class Batch:
    """One step's images, normalised float32 [b, 3, s, s], with the truth of each."""

    pixels: torch.Tensor
    labels: NDArray[np.int64]
    counts: NDArray[np.float32]
    renderings: NDArray[np.int64]
    captions: list[str]


def sample(pools: list[Pool], size: int, image_size: int, rng: np.random.Generator, augmented: bool = True) -> Batch:
    """A batch with an equal share of every rendering's pool, in the order of the pools."""
    pixels, labels, counts, renderings, captions = [], [], [], [], []
    for which, pool in enumerate(pools):
        rows = rng.integers(pool.n, size=size // len(pools))
        pixels.append(prepare(pool.images[torch.from_numpy(rows).to(pool.images.device)], image_size))
        labels.append(pool.labels[rows])
        counts.append(pool.counts[rows])
        renderings.append(np.full(len(rows), which))
        captions += [pool.captions[row] for row in rows]
    batch = torch.cat(pixels)
    if augmented:
        batch = augment(batch, rng)
    return Batch(
        ((batch - MEAN) / STD).contiguous(memory_format=torch.channels_last),
        np.concatenate(labels),
        np.concatenate(counts),
        np.concatenate(renderings),
        captions,
    )


def prepare(images: torch.Tensor, image_size: int) -> torch.Tensor:
    """uint8 [b, 1 or 3, h, w] to float32 [b, 3, s, s] in [0, 1], resized as the model's preprocessing resizes."""
    x = images.float() / 255
    if x.shape[-1] != image_size or x.shape[-2] != image_size:
        # antialias takes PIL's bicubic kernel, which is what open_clip's transform uses.
        x = F.interpolate(x, (image_size, image_size), mode="bicubic", antialias=True).clamp(0, 1)
    return x.expand(-1, 3, -1, -1)


def augment(x: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Half of the images turned, scaled and moved a little; all with a little contrast, brightness and noise."""
    b = len(x)
    angle = rng.uniform(-0.2, 0.2, b)
    scale = rng.uniform(0.9, 1.2, b)  # above 1 the object gets smaller
    aspect = np.exp(rng.uniform(-0.1, 0.1, b))
    theta = np.zeros((b, 2, 3), dtype=np.float32)
    theta[:, 0, 0] = np.cos(angle) * scale * aspect
    theta[:, 0, 1] = -np.sin(angle) * scale * aspect
    theta[:, 1, 0] = np.sin(angle) * scale / aspect
    theta[:, 1, 1] = np.cos(angle) * scale / aspect
    theta[:, :, 2] = rng.uniform(-0.1, 0.1, (b, 2))
    still = rng.random(b) < 0.5
    theta[still] = np.eye(2, 3, dtype=np.float32)
    grid = F.affine_grid(torch.from_numpy(theta).to(x.device), [b, 3, *x.shape[2:]], align_corners=False)
    # Border padding continues white paper as white and a photo's background as itself.
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    contrast = torch.from_numpy(rng.uniform(0.8, 1.2, (b, 1, 1, 1)).astype(np.float32)).to(x.device)
    brightness = torch.from_numpy(rng.uniform(-0.1, 0.1, (b, 1, 1, 1)).astype(np.float32)).to(x.device)
    noise = torch.from_numpy(rng.standard_normal((b, 1, *x.shape[2:]), dtype=np.float32)).to(x.device)
    strength = torch.from_numpy(rng.uniform(0, 0.03, (b, 1, 1, 1)).astype(np.float32)).to(x.device)
    return ((x - 0.5) * contrast + 0.5 + brightness + noise * strength).clamp(0, 1)


def cosine_with_warmup(step: int, steps: int, warmup: float = 0.05) -> float:
    """Learning-rate factor: linear from 0 over the first `warmup` share of steps, then half a cosine to 0."""
    first = max(1, round(warmup * steps))
    if step < first:
        return (step + 1) / first
    return 0.5 * (1 + math.cos(math.pi * (step - first) / max(1, steps - first)))
