"""Names in the drawn world, where the truth is known: class directions get their class, random directions get nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from sae_core.clip.encoder import load_encoder
from sae_core.clip.words import drawn_words
from sae_core.config import InterpretConfig
from sae_core.data import drawn
from sae_core.interpret.naming import name_latents, random_directions
from sae_core.interpret.vocabulary import Vocabulary, vocabulary_from_words

EACH = 16


@dataclass(frozen=True)
class World:
    x: NDArray[np.float32]
    labels: NDArray[np.int64]
    vocabulary: Vocabulary


@pytest.fixture(scope="module")
def world() -> World:
    encoder = load_encoder("bundled", None, "cpu")
    made = drawn.draw(EACH * len(drawn.CLASSES), 11, "sketch")
    vocabulary = vocabulary_from_words("builtin", drawn_words(), encoder, InterpretConfig().templates)
    return World(encoder.images(list(made.images)), made.labels, vocabulary)


def firing(world: World, directions: NDArray[np.float32], count: int) -> list[NDArray[np.int64]]:
    """The images that a latent with this direction would fire on, strongest first."""
    projections = (world.x - world.x.mean(axis=0)) @ directions.T
    return [np.argsort(-column, kind="stable")[:count] for column in projections.T]


def test_planted_class_latents_are_named_by_their_class(world: World) -> None:
    means = np.stack([world.x[world.labels == c].mean(axis=0) for c in range(len(drawn.CLASSES))])
    planted = means - world.x.mean(axis=0)
    found = name_latents(planted, world.vocabulary, world.x, firing(world, planted, EACH), np.random.default_rng(0))
    right = np.array([world.vocabulary.words[w] == name for w, name in zip(found.words[:, 0], drawn.CLASSES, strict=True)])
    assert found.named.mean() >= 0.9
    assert right[found.named].mean() >= 0.8


def test_random_directions_are_left_unnamed(world: World) -> None:
    rng = np.random.default_rng(1)
    directions = random_directions("isotropic", 1000, world.x, rng)
    found = name_latents(directions, world.vocabulary, world.x, firing(world, directions, EACH), rng)
    assert 1 - found.named.mean() >= 0.95
