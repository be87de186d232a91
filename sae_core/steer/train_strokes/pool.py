"""What the stroke decoder learns from: drawn scenes as tokens, with what the bundled CLIP sees in each rendering of them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sae_core.clip.encoder import Encoder, load_encoder
from sae_core.clip.train_bundled.pool import prepare
from sae_core.data import drawn
from sae_core.errors import InputError
from sae_core.progress import Event, Report
from sae_core.scale import map_shards
from sae_core.steer.strokes.curves import fit
from sae_core.steer.strokes.tokens import ATTRIBUTES, BINS, LONGEST, Tokens, encode

TRAIN_SEED = 1_500_000
"""Seed of the drawings learned from; the bundled CLIP's own training starts at 1,000,000 and draws nothing from this one."""
SEEDS = 500_000
SHARD = 1000
BAND = 16
"""Batches cut from one band of drawings sorted by length."""
ALONE = 12
"""Every so many scenes, one holds a single kind of primitive: that is where latents for primitives point."""


def train_seed(seed: int) -> int:
    """The drawn world's seed for training run `seed`. Raises InputError outside 0..499,999, where other seeds begin."""
    if not 0 <= seed < SEEDS:
        raise InputError(f"--seed {seed}: give 0 to {SEEDS - 1}; other seeds are kept for tests and users")
    return TRAIN_SEED + seed


@dataclass(frozen=True)
class Pool:
    """Scenes as tokens, int16 [n, LONGEST, 10] with lengths [n], and embeddings float32 [n, renderings, d]."""

    tokens: NDArray[np.int16]
    lengths: NDArray[np.int64]
    x: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.lengths)


def scene(seed: int, index: int) -> drawn.Scene:
    """Scene `index` of a series: mostly objects, every twelfth a primitive alone."""
    if index % ALONE == ALONE - 1:
        number = index // ALONE
        return drawn.primitive(drawn.PRIMITIVES[number % len(drawn.PRIMITIVES)], seed, number)
    return drawn.scene(seed, index)


def draw_shard(encoder: Encoder, seed: int, start: int, n: int) -> Pool:
    """Scenes `start` to `start + n`; one with more curves than `LONGEST` is left out, so there may be fewer."""
    tokens = np.zeros((n, LONGEST, len(ATTRIBUTES)), dtype=np.int16)
    lengths = np.zeros(n, dtype=np.int64)
    scenes: list[drawn.Scene] = []
    for index in range(start, start + n):
        item = scene(seed, index)
        rows = encode(fit(item))
        if 0 < len(rows) <= LONGEST:
            tokens[len(scenes), : len(rows)] = rows
            lengths[len(scenes)] = len(rows)
            scenes.append(item)
    pictures = [np.stack([drawn.render(item, rendering) for item in scenes]) for rendering in drawn.RENDERINGS]
    x = np.stack([embedded(encoder, stack) for stack in pictures], axis=1)
    return Pool(tokens[: len(scenes)], lengths[: len(scenes)], x)


def embedded(encoder: Encoder, pictures: NDArray[np.uint8], batch: int = 64) -> NDArray[np.float32]:
    """Raw embeddings [n, d] of equal pictures [n, h, w] or [n, h, w, 3], as `Encoder.images` gives them but in half the time."""
    rows = []
    with torch.inference_mode():
        for at in range(0, len(pictures), batch):
            images = torch.from_numpy(pictures[at : at + batch])
            images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
            pixels = (prepare(images, encoder.image_size) - 0.5) / 0.5
            pixels = pixels.to(encoder.device).contiguous(memory_format=torch.channels_last)
            rows.append(encoder.forward_pixels(pixels).cpu().numpy())
    return np.concatenate(rows)


def draw_pool(folder: Path, scenes: int, seed: int, report: Report, workers: int = 1) -> Pool:
    """Draw scenes 0 to `scenes` of a series, or read what lies in `folder` from an earlier call; any workers, the same pool."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = -(-scenes // SHARD)
    make = functools.partial(_make, folder, seed)
    executor = "processes" if workers > 1 else "inline"
    for count, _ in enumerate(map_shards(make, range(shards), workers, executor), start=1):
        report(Event("strokes_pool", count, shards))
    parts = [_read(_path(folder, seed, i)) for i in range(shards)]
    return Pool(
        np.concatenate([p.tokens for p in parts])[:scenes],
        np.concatenate([p.lengths for p in parts])[:scenes],
        np.concatenate([p.x for p in parts])[:scenes],
    )


def _path(folder: Path, seed: int, shard: int) -> Path:
    return folder / f"strokes-{seed}-{shard:05d}.npz"


def _make(folder: Path, seed: int, shard: int) -> int:
    path = _path(folder, seed, shard)
    if not path.is_file():
        torch.set_num_threads(1)
        pool = draw_shard(_encoder(), seed, shard * SHARD, SHARD)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, tokens=pool.tokens, lengths=pool.lengths, x=pool.x)
        partial.replace(path)
    return shard


@functools.lru_cache(maxsize=1)
def _encoder() -> Encoder:
    return load_encoder(device="cpu")


def _read(path: Path) -> Pool:
    with np.load(path, allow_pickle=False) as stored:
        return Pool(stored["tokens"], stored["lengths"], stored["x"])


@dataclass(frozen=True)
class Batch:
    """Embeddings float32 [b, d], tokens int64 [b, n, 10] and their lengths [b]."""

    x: torch.Tensor
    tokens: torch.Tensor
    lengths: torch.Tensor


def batches(pool: Pool, size: int, noise: float, shift: int, seed: int, first: int = 0) -> Iterator[Batch]:
    """Endless batches of drawings of like length, so that little is padding; batch number `first` and on, each its own chance.

    Each drawing comes with one rendering's embedding, with noise of up to `noise` times its norm. The whole drawing is moved
    by up to `shift` cells of the grid, which CLIP hardly sees and which keeps the network from learning drawings by heart.
    """
    each = max(1, len(pool) // size)
    for epoch in range(first // each, sys.maxsize):
        order = np.random.default_rng([seed, 0, epoch]).permutation(len(pool))
        # Cut into as many parts as batches, in bands within which drawings are sorted by length.
        bands = np.array_split(order, max(1, each // BAND))
        parts = [
            np.array_split(band[np.argsort(pool.lengths[band], kind="stable")], _share(len(bands), each, i))
            for i, band in enumerate(bands)
        ]
        rows = [part for band in parts for part in band]
        turn = np.random.default_rng([seed, 1, epoch]).permutation(len(rows))
        for at in range(first - epoch * each if epoch == first // each else 0, len(rows)):
            yield _batch(pool, rows[turn[at]], noise, shift, np.random.default_rng([seed, 2, epoch, at]))


def _share(bands: int, batches: int, i: int) -> int:
    """How many of `batches` fall to band i."""
    return batches * (i + 1) // bands - batches * i // bands


def _batch(pool: Pool, rows: NDArray[Any], noise: float, shift: int, rng: np.random.Generator) -> Batch:
    x = pool.x[rows, rng.integers(pool.x.shape[1], size=len(rows))]
    strength = noise * rng.random((len(rows), 1)) * np.linalg.norm(x, axis=1, keepdims=True)
    x = x + (strength / np.sqrt(x.shape[1]) * rng.standard_normal(x.shape)).astype(np.float32)
    lengths = pool.lengths[rows]
    tokens = pool.tokens[rows, : lengths.max()].astype(np.int64)
    return Batch(
        torch.from_numpy(x.astype(np.float32)), torch.from_numpy(moved(tokens, lengths, shift, rng)), torch.from_numpy(lengths)
    )


def moved(tokens: Tokens, lengths: NDArray[np.int64], shift: int, rng: np.random.Generator) -> Tokens:
    """Each drawing [b, n, 10] moved by up to `shift` cells either way, as far as the frame allows."""
    real = np.arange(tokens.shape[1]) < lengths[:, None]
    out = tokens.copy()
    for axes in ((2, 4), (3, 5)):
        ends = tokens[:, :, axes]
        low = np.where(real[..., None], ends, BINS).min(axis=(1, 2))
        high = np.where(real[..., None], ends, -1).max(axis=(1, 2))
        by = np.clip(rng.integers(-shift, shift + 1, size=len(tokens)), -low, BINS - 1 - high)
        out[:, :, axes] += np.where(real, by[:, None], 0)[..., None]
    return out
