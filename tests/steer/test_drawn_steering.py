"""Steering in the drawn world, where the truth is known: class latents raise their class, random ones raise nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from sae_core.clip.encoder import load_encoder
from sae_core.clip.prompts import class_directions
from sae_core.config import Edit, TopK
from sae_core.data import drawn
from sae_core.evaluate.metrics import unit
from sae_core.interpret.naming import random_directions
from sae_core.sae.architectures import SAE
from sae_core.steer.edits import Recipe
from sae_core.steer.effects import label_curves, sweep
from sae_core.steer.rating import Start, rate

EACH = 8
STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0)
CLASSES = len(drawn.CLASSES)


@dataclass(frozen=True)
class Planted:
    """A dictionary whose first latents are the classes and whose others are random directions."""

    x: NDArray[np.float32]
    labels: NDArray[np.int64]
    texts: NDArray[np.float32]
    logit_scale: float
    sae: SAE
    maxima: NDArray[np.float32]


@pytest.fixture(scope="module")
def planted() -> Planted:
    encoder = load_encoder("bundled", None, "cpu")
    made = drawn.draw(EACH * CLASSES, 12, "sketch")
    x = encoder.images(list(made.images))
    mean = x.mean(axis=0)
    classes = unit(np.stack([x[made.labels == c].mean(axis=0) for c in range(CLASSES)]) - mean)
    rows = np.concatenate([classes, random_directions("isotropic", CLASSES, x, np.random.default_rng(0))])
    weights = torch.from_numpy(rows)
    parameters = {"W_enc": weights, "W_dec": weights, "b_enc": torch.zeros(len(rows)), "b_dec": torch.zeros(x.shape[1])}
    sae = SAE(TopK(k=8), parameters, torch.from_numpy(mean), 1.0, encoder.id)
    # Both kinds are turned as far: what they reach for the same push is compared.
    furthest = np.full(len(rows), float(np.median(((x - mean) @ classes.T).max(axis=0))), dtype=np.float32)
    texts = class_directions(encoder, drawn.CLASSES, "sketch")
    return Planted(x, made.labels, texts, encoder.logit_scale, sae, furthest)


def test_class_latents_raise_their_class_and_random_ones_have_no_such_effect(planted: Planted) -> None:
    rng = np.random.default_rng(1)
    rises, effects, judgements = [], [], []
    for latent in range(2 * CLASSES):
        start = int(rng.choice(np.flatnonzero(planted.labels != latent % CLASSES)))
        directions = random_directions("isotropic", 20, planted.x, rng)
        recipe = Recipe(edits=[Edit(latent=latent, op="clamp", value=1.0)])
        swept = sweep(planted.x[start], recipe, planted.sae, planted.maxima, STRENGTHS, directions)
        curves, verdict = label_curves(swept, drawn.CLASSES, planted.texts, planted.logit_scale)
        effects.append(verdict.effect)
        judgements.append(verdict.judgement)
        if latent < CLASSES:
            own = curves[curves["label"] == drawn.CLASSES[latent]]
            rises.append(spearmanr(own["strength"], own["probability"]).statistic)
    assert np.median(rises) >= 0.9
    assert roc_auc_score([1] * CLASSES + [0] * CLASSES, effects) >= 0.95
    assert judgements[:CLASSES].count("steerable") >= 0.8 * CLASSES
    assert judgements[CLASSES:].count("no effect beyond random") >= 0.85 * CLASSES


def test_the_scan_tells_planted_latents_from_random_ones(planted: Planted) -> None:
    rows = np.random.default_rng(2).choice(len(planted.x), 8, replace=False)
    starts = [Start(planted.x[row], tuple(drawn.CLASSES), planted.texts, planted.logit_scale) for row in rows]
    latents, unit_of = np.arange(2 * CLASSES), planted.maxima.astype(np.float64)
    found = rate(latents, unit_of, starts, planted.sae, STRENGTHS, 20, 0)
    classes = found.iloc[:CLASSES]
    assert roc_auc_score(latents < CLASSES, found["beyond"]) >= 0.95
    assert (classes["verdict"] == "steerable").mean() >= 0.9
    assert np.mean(classes["label"].to_numpy() == np.array(drawn.CLASSES)) >= 0.9
    assert classes["spearman"].median() >= 0.9
    assert (found["verdict"][CLASSES:] == "no effect beyond random").mean() >= 0.85
