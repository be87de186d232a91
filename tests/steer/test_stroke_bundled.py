"""The bundled stroke decoder keeps what its card promises, on drawings neither it nor its card has seen."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from sae_core.data import drawn
from sae_core.steer.decoders.catalogue import STROKES, decoders_for
from sae_core.steer.strokes.decoder import WEIGHTS, StrokeDecoder, load_stroke_decoder
from sae_core.steer.train_strokes.gate import SHARE_OF_REAL, read_classes, read_sweeps


@pytest.fixture(scope="module")
def decoder() -> StrokeDecoder:
    return load_stroke_decoder()


def test_small_checked_and_described() -> None:
    assert WEIGHTS.stat().st_size <= 4_000_000
    card = WEIGHTS.with_name("MODEL_CARD.md").read_text(encoding="utf-8")
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() in card
    assert f"the drawn world, version {drawn.VERSION}" in card, "the drawn world has changed since the decoder was trained"
    assert "generated" in card
    assert decoders_for("bundled/v1")[0] is STROKES


def test_it_was_trained_for_the_clip_that_is_bundled(decoder: StrokeDecoder) -> None:
    card = WEIGHTS.with_name("MODEL_CARD.md").read_text(encoding="utf-8")
    assert decoder.encoder.weights_sha256[:16] in card


def test_classes_are_read_back(decoder: StrokeDecoder) -> None:
    result = read_classes(decoder, 2 * len(drawn.CLASSES), seed=77)
    assert result.real > 0.95
    assert result.drawn >= SHARE_OF_REAL * result.real
    assert result.drawn >= result.chosen - 0.05, "moving points is to lose no class"


def test_a_drawing_is_the_same_bit_for_bit(decoder: StrokeDecoder) -> None:
    x = decoder.encoder.images([drawn.render(drawn.scene(2_345_678, 3))])
    first, again = decoder.strokes(x)[0], StrokeDecoder(decoder.model, decoder.encoder).strokes(x)[0]
    assert len(first) == len(again) > 0
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.points, b.points)
        assert (a.width, a.closed, a.dot) == (b.width, b.closed, b.dot)


class Axes:
    """A dictionary of the embedding's own axes: what is asked and what is read back are then plain coordinates."""

    def __init__(self, dim: int) -> None:
        self.decoder_raw = torch.eye(dim)

    def encode(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    def pre_activation(self, x: torch.Tensor, latent: int) -> torch.Tensor:
        return x[:, latent]


def test_sweeps_are_compared_with_what_was_asked(decoder: StrokeDecoder) -> None:
    x = decoder.encoder.images([drawn.render(drawn.scene(2_345_678, 3))])
    axes = np.abs(x[0]).argsort()[-6:]
    sweeps = read_sweeps(decoder, Axes(decoder.dim), np.full(6, 8.0), axes, x)  # type: ignore[arg-type]
    assert sweeps.asked.tolist() == [1.0] * 6, "asked along an axis, the axis itself follows"
    assert np.median(sweeps.own) >= 0.7
    assert np.abs([sweeps.random, sweeps.selected]).max() <= 1
