"""Zero-shot directions are the mean of unit text embeddings, and equal open_clip's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import pytest
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

from sae_core.clip.encoder import load_encoder
from sae_core.clip.prompts import (
    PHOTO,
    SKETCH,
    class_directions,
    class_prompts,
    imagenet_class_names,
    resolve_templates,
    template_sets,
)
from sae_core.errors import InputError


class Known:
    """Texts whose embeddings are known: 3 long along e1 for one template, 4 long along e2 for the other."""

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[3, 0, 0] if text.startswith("a ") else [0, 4, 0] for text in texts], np.float32)


def test_closed_form() -> None:
    rows = class_directions(Known(), ["cat", "dog"], ("a {}", "{}"))
    np.testing.assert_allclose(rows, [[0.5**0.5, 0.5**0.5, 0]] * 2, rtol=1e-6)
    assert rows.dtype == np.float32


def test_equals_open_clip(tiny_model: Path) -> None:
    name = f"local-dir:{tiny_model}"
    model = open_clip.create_model(name).eval()
    tokenizer = open_clip.get_tokenizer(name, bpe_path=str(tiny_model / "bpe.txt.gz"))
    expected = open_clip.build_zero_shot_classifier(model, tokenizer, ["house", "tree"], SKETCH).T.numpy()
    ours = class_directions(load_encoder(name, device="cpu"), ["house", "tree"], "sketch")
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


def test_sets() -> None:
    assert resolve_templates("sketch") == SKETCH
    assert resolve_templates("photo") == PHOTO
    full = template_sets()["openai_imagenet"]
    assert len(full) == 80
    assert [t.replace("{}", "cat") for t in full] == [t("cat") for t in OPENAI_IMAGENET_TEMPLATES]
    assert class_prompts(["cup"], ("a {}", "{} here")) == [["a cup", "cup here"]]
    assert len(imagenet_class_names()) == 1000


@pytest.mark.parametrize("templates", ["sketches", [], ["a sketch"], ["{} {}"], ["{0}"], ["a {name}"]])
def test_bad_templates(templates: str | list[str]) -> None:
    with pytest.raises(InputError):
        resolve_templates(templates)


def test_no_names() -> None:
    with pytest.raises(InputError, match="no class names"):
        class_directions(Known(), [], "sketch")
