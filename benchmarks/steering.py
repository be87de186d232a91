"""What steers, where the truth is known: `python -m benchmarks.steering`.

Directions with a known meaning are planted as latents of a dictionary over the demo run's pictures, beside random directions that
are turned as far, and the scan rates them on held-out pictures:

    classes       mean embedding of a class minus the mean of all, from training pictures; the labels are the classes
    primitives    mean embedding of scenes that hold one primitive alone, minus the mean of all; labels: the primitives' words
    random        isotropic unit vectors

A second table is the time that a scan takes, on random dictionaries of the sizes that are used.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

import sae_core
from benchmarks import tables
from benchmarks.names import SCENES, Floats, primitives
from benchmarks.worlds import World, parser, publish, versions, worlds
from sae_core.clip.prompts import class_directions
from sae_core.clip.train_bundled.texts import NAMES
from sae_core.config import TopK
from sae_core.evaluate.metrics import unit
from sae_core.interpret.naming import random_directions
from sae_core.sae.architectures import SAE
from sae_core.steer.effects import probabilities
from sae_core.steer.rating import Start, rank_correlation, rate, read_back

STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0)
IMAGES, RANDOM, DRAWS = 16, 20, 5
SOME = 256
SIZES = ((1024, 512, 50), (8192, 512, 50), (8192, 512, 1000))
"""Latents, width of the embeddings, labels."""


def planted(world: World, encoder: sae_core.Encoder, quick: bool) -> dict[str, tuple[Floats, list[str], list[str]]]:
    """By kind: directions float32 [j, d], what each means, and the labels that are followed."""
    train = (world.manifest.table["split"] == "train").to_numpy()
    x, labels, names = world.x[train], world.labels[train], list(world.manifest.classes)
    means = np.stack([x[labels == c].mean(axis=0) for c in range(len(names))]) - x.mean(axis=0)
    found = {"classes": (means, names, names)}
    if world.manifest.rendering == "sketch":
        directions, meant = primitives(world, encoder, 1 if quick else DRAWS)
        words = {primitive: many[0] if many else one[0] for primitive, (one, many) in NAMES.items()}
        found["primitives"] = (directions, [words[name] for name in meant], list(words.values()))
    return found


def dictionary(directions: Floats, x: Floats, encoder: str) -> SAE:
    """A dictionary whose latents are these directions, around the mean of the pictures."""
    weights = torch.from_numpy(unit(directions).astype(np.float32))
    parts = {"W_enc": weights, "W_dec": weights, "b_enc": torch.zeros(len(weights)), "b_dec": torch.zeros(x.shape[1])}
    return SAE(TopK(k=min(8, len(weights))), parts, torch.from_numpy(x.mean(axis=0)), 1.0, encoder)


def own_label(latents: NDArray[np.int64], meant: list[str], maximum: float, starts: list[Start], sae: SAE) -> list[float]:
    """For each latent the median over the pictures of Spearman's ρ of strength and the probability of what the latent means."""
    decoder = sae.decoder_raw.numpy()
    x = np.stack([start.x for start in starts])
    z, kappa, found = sae.encode(x), np.array(STRENGTHS), []
    for latent, word in zip(latents, meant, strict=True):
        amounts = kappa[None] * maximum - z[:, latent, None]
        moved = (x[:, None] + amounts[..., None] * decoder[latent]).astype(np.float32)
        p = probabilities(moved, starts[0].texts, starts[0].logit_scale)[..., starts[0].labels.index(word)]
        found.append(float(np.median(rank_correlation(kappa, p))))
    return found


def compared(
    world: World, kind: str, directions: Floats, meant: list[str], labels: list[str], encoder: sae_core.Encoder
) -> list[list[str]]:
    """Rows of planted and of as many random directions, at least 100."""
    rng = np.random.default_rng(0)
    count = max(100, len(directions))
    every = np.concatenate([unit(directions), random_directions("isotropic", count, world.x, rng)]).astype(np.float32)
    sae = dictionary(every, world.x, encoder.id)
    # All are turned as far: what they reach for the same push is compared.
    maximum = float(np.median(((world.x - world.x.mean(axis=0)) @ unit(directions).T).max(axis=0)))
    texts = class_directions(encoder, labels, world.manifest.rendering)
    held_out = np.flatnonzero((world.manifest.table["split"] == "test").to_numpy())
    starts = [Start(world.x[i], tuple(labels), texts, encoder.logit_scale) for i in rng.choice(held_out, IMAGES, replace=False)]
    latents = np.arange(len(every))
    rated = rate(latents, np.full(len(every), maximum), starts, sae, STRENGTHS, RANDOM, 0)
    real = latents < len(directions)
    area = roc_auc_score(real, rated["beyond"])
    rises = own_label(latents[real], meant, maximum, starts, sae)
    own = float((rated["label"].to_numpy()[real] == np.array(meant)).mean())
    first = [f"{world.name}: {kind}", *_cells(rated[real]), f"{100 * own:.0f} %", f"{np.median(rises):.2f}", f"{area:.3f}"]
    return [first, [f"{world.name}: random beside {kind}", *_cells(rated[~real]), "", "", ""]]


def _cells(rated: pd.DataFrame) -> list[str]:
    share = rated["verdict"].value_counts(normalize=True)
    verdicts = [f"{100 * share.get(name, 0.0):.0f} %" for name in ("steerable", "weak", "no effect beyond random")]
    return [str(len(rated)), *verdicts, f"{rated['effect'].median():.3f}", f"{rated['random_high'].median():.3f}"]


def seconds(m: int, d: int, labels: int) -> list[str]:
    """How long rating SOME latents of a random dictionary takes, and what that makes for all."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, d)).astype(np.float32)
    weights = torch.from_numpy(unit(rng.standard_normal((m, d))).astype(np.float32))
    parts = {"W_enc": weights, "W_dec": weights, "b_enc": torch.zeros(m), "b_dec": torch.zeros(d)}
    sae = SAE(TopK(k=32), parts, torch.from_numpy(x.mean(axis=0)), 1.0)
    texts = unit(rng.standard_normal((labels, d))).astype(np.float32)
    starts = [Start(row, tuple(map(str, range(labels))), texts, 100.0) for row in x[:IMAGES]]
    latents, maxima = np.arange(min(m, SOME)), np.full(m, 8.0)
    begin = time.perf_counter()
    rate(latents, maxima[latents], starts, sae, STRENGTHS, RANDOM, 0)
    middle = time.perf_counter()
    read_back(latents, maxima, x[:IMAGES], sae)
    parted = middle - begin, time.perf_counter() - middle
    whole = sum(parted) * m / len(latents)
    return [f"{m:,}", str(d), f"{labels:,}", *(f"{part:.1f}" for part in parted), f"{whole:.0f}"]


def main() -> int:
    options = parser("steering", __doc__).parse_args()
    encoder = sae_core.load_encoder("bundled", None, "cpu")
    rows = []
    for world in worlds("configs/demo.yaml", [], options.cache).values():
        for kind, (directions, meant, labels) in planted(world, encoder, options.quick).items():
            rows += compared(world, kind, directions, meant, labels, encoder)
    head = ["directions", "number", "steerable", "weak", "no effect beyond random", "effect, median", "to exceed, median"]
    head += ["raises its own label most", "Spearman of strength and its own label, median", "AUROC against random"]
    times = [seconds(*size) for size in (((64, 16, 5),) if options.quick else SIZES)]
    notes = [
        f"{IMAGES} held-out pictures, strengths {', '.join(f'{s:g}' for s in STRENGTHS)}; effect: the most that any label gains, "
        f"mean over strengths and pictures; to exceed: the highest of {RANDOM} isotropic directions as long, which 1 in "
        f"{RANDOM + 1} random directions does by chance. A primitive's direction is the mean of {SCENES} scenes.",
        f"Times are for {SOME} latents ({IMAGES} pictures, {RANDOM} random directions a latent, random dictionaries and labels, "
        "TopK 32), the last column for all at that rate.",
    ]
    parts = [
        "**What steers: planted directions against random ones.**",
        tables.table(head, rows),
        "**How long a scan takes.**",
        tables.table(["latents", "width", "labels", "rating, s", "reading back, s", "all latents, s"], times),
        tables.foot({name: str(value) for name, value in versions().items()}, notes, "benchmarks.steering"),
    ]
    publish("steering", "\n\n".join(parts), options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
