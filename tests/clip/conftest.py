"""A CLIP small enough to load in a moment, with random weights, and a manifest of drawings to embed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sae_core.clip.train_bundled.loop import Recipe, build, save, write_model_files
from sae_core.config import DrawnSource
from sae_core.data import manifest

TINY = Recipe(
    steps=3,
    batch_size=16,
    scenes=60,
    primitives=14,
    text_steps=2,
    settle_steps=2,
    instance_texts=4,
    phrase_texts=4,
    frequent_merges=50,
    embed_dim=16,
    image_layers=(1, 1, 1, 1),
    image_width=8,
    text_width=32,
    text_layers=1,
)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open_clip folder: 16-wide embeddings, random weights of seed 3."""
    folder = tmp_path_factory.mktemp("clip") / "tiny"
    folder.mkdir()
    write_model_files(folder, TINY, ["a sketch of a house"])
    model, _ = build(folder, seed=3)
    with torch.no_grad():
        # Fresh batch norms end residual branches with 0; a trained model does not.
        for name, parameter in model.visual.named_parameters():
            if name.endswith("bn3.weight"):
                parameter.fill_(1.0)
    save(model, folder)
    return folder


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 70 sketches."""
    folder = tmp_path_factory.mktemp("manifest")
    manifest.run(DrawnSource(n=70, seed=5), None, folder)
    return folder


@pytest.fixture
def tiny() -> Recipe:
    """The recipe behind `tiny_model`: three steps on 60 scenes."""
    return TINY
