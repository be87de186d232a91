"""The bundled demo model keeps what its card promises, on drawings neither it nor its card has seen."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import open_clip
import pytest
from PIL import Image

from sae_core.clip.encoder import Encoder, load_encoder
from sae_core.clip.prompts import class_directions
from sae_core.clip.train_bundled.pool import held_out_seed
from sae_core.clip.weights import bundled_folder
from sae_core.data import drawn


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(device="cpu")


@pytest.mark.parametrize(("rendering", "bar"), [("sketch", 0.94), ("photo", 0.90)])
def test_zero_shot(encoder: Encoder, rendering: str, bar: float) -> None:
    made = drawn.draw(400, held_out_seed(77), rendering, keep_scenes=False)
    weights = class_directions(encoder, drawn.CLASSES, rendering)
    guess = (encoder.images(made.images) @ weights.T).argmax(axis=1)
    assert (guess == made.labels).mean() >= bar


def test_small_offline_and_described() -> None:
    files = list(bundled_folder().iterdir())
    assert sum(file.stat().st_size for file in files if file.is_file()) <= 10_000_000
    card = (bundled_folder() / "MODEL_CARD.md").read_text()
    assert f"the drawn world, version {drawn.VERSION}" in card, "the drawn world has changed since the model was trained"
    assert load_encoder(device="cpu").weights_sha256 in card


def test_plain_open_clip_loads_it_from_anywhere(encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"local-dir:{bundled_folder()}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name, bpe_path=str(bundled_folder() / "bpe.txt.gz"))
    image = Image.fromarray(drawn.draw(1, 3, "sketch").images[0])
    rows = model.eval().encode_image(preprocess(image)[None]).detach().numpy()
    np.testing.assert_allclose(rows, encoder.images([image]), rtol=1e-4, atol=1e-5)
    texts = model.encode_text(tokenizer(["a house"])).detach().numpy()
    np.testing.assert_allclose(texts, encoder.texts(["a house"]), rtol=1e-4, atol=1e-5)
    assert os.listdir(tmp_path) == []


def test_it_reads_primitives(encoder: Encoder) -> None:
    """Pictures of one primitive alone are nearer to that primitive's words than pictures of the other primitives are."""
    words = {
        "line": "straight lines",
        "curve": "curves",
        "corner": "corners",
        "junction": "junctions",
        "loop": "closed loops",
        "hatching": "parallel lines",
        "dots": "dots",
    }
    pictures = {
        kind: np.stack([drawn.render(drawn.primitive(kind, held_out_seed(77), i), "sketch") for i in range(40)]) for kind in words
    }
    rows = {kind: encoder.images(images) for kind, images in pictures.items()}
    texts = class_directions(encoder, list(words.values()), ("{}", "a drawing with {}"))
    centre = np.mean([x / np.linalg.norm(x, axis=1, keepdims=True) for x in rows.values()], axis=(0, 1))
    for i, kind in enumerate(words):
        scores = {
            other: float(((x / np.linalg.norm(x, axis=1, keepdims=True) - centre) @ texts[i]).mean()) for other, x in rows.items()
        }
        assert max(scores, key=scores.__getitem__) == kind, (kind, scores)
