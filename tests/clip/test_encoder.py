"""The encoder gives what open_clip gives: raw, deterministic, differentiable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from sae_core.clip.encoder import Encoder, as_pil, load_encoder, resolve_device, state_sha256
from sae_core.data import drawn
from sae_core.errors import InputError

TEXTS = ["a sketch of a house", "parallel lines", "zxqj Ünïcödé ☂ 字", ""]


@pytest.fixture(scope="module")
def encoder(tiny_model: Path) -> Encoder:
    return load_encoder(f"local-dir:{tiny_model}", device="cpu")


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    sketch, photo = (drawn.draw(3, 7, rendering).images for rendering in drawn.RENDERINGS)
    return [Image.fromarray(image) for image in (*sketch, *photo)]


def test_equals_plain_open_clip(tiny_model: Path, encoder: Encoder, pictures: list[Image.Image]) -> None:
    name = f"local-dir:{tiny_model}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    model.eval()
    tokenizer = open_clip.get_tokenizer(name, bpe_path=str(tiny_model / "bpe.txt.gz"))
    with torch.no_grad():
        images = model.encode_image(torch.stack([preprocess(p) for p in pictures])).numpy()
        texts = model.encode_text(tokenizer(TEXTS)).numpy()
    np.testing.assert_allclose(encoder.images(pictures), images, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(encoder.texts(TEXTS), texts, rtol=1e-5, atol=1e-6)
    assert encoder.dim == images.shape[1] == 16
    assert encoder.image_size == 64
    assert encoder.logit_scale == pytest.approx(float(model.logit_scale.detach().exp()))
    assert encoder.weights_sha256 == state_sha256(model.state_dict())
    assert encoder.parameters == sum(p.numel() for p in model.parameters())


def test_raw_not_normalised(encoder: Encoder, pictures: list[Image.Image]) -> None:
    for rows in (encoder.images(pictures), encoder.texts(TEXTS)):
        assert rows.dtype == np.float32
        assert not np.allclose(np.linalg.norm(rows, axis=1), 1, atol=0.05)


def test_deterministic_and_batch_independent(tiny_model: Path, encoder: Encoder, pictures: list[Image.Image]) -> None:
    again = load_encoder(f"local-dir:{tiny_model}", device="cpu")
    np.testing.assert_array_equal(encoder.images(pictures), again.images(pictures))
    np.testing.assert_allclose(encoder.images(pictures, batch_size=1), encoder.images(pictures), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(encoder.images(pictures[2:3])[0], encoder.images(pictures)[2], rtol=1e-4, atol=1e-6)


def test_arrays_are_images(encoder: Encoder) -> None:
    made = drawn.draw(2, 7, "photo").images
    expected = encoder.images([Image.fromarray(image) for image in made])
    np.testing.assert_array_equal(encoder.images(made), expected)
    np.testing.assert_array_equal(encoder.images(list(made)), expected)
    assert encoder.images([]).shape == (0, 16)
    assert encoder.texts([]).shape == (0, 16)


@pytest.mark.parametrize("array", [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4), np.float32), np.zeros(4, np.uint8)])
def test_arrays_that_are_no_images(array: np.ndarray) -> None:
    with pytest.raises(InputError, match="must be uint8"):
        as_pil(array)


def test_transparent_is_white() -> None:
    assert as_pil(Image.new("RGBA", (2, 2), (10, 20, 30, 0))).getpixel((0, 0)) == (255, 255, 255)


def test_gradient_reaches_the_pixels(encoder: Encoder, pictures: list[Image.Image]) -> None:
    pixels = encoder.pixels(pictures[:1]).double().float().requires_grad_()
    direction = torch.ones(encoder.dim)
    (encoder.forward_pixels(pixels) @ direction).sum().backward()
    # Long enough that the difference stands well above float32's last digits.
    step = 0.06 * pixels.grad / pixels.grad.norm()
    with torch.no_grad():
        up, down = (encoder.forward_pixels(pixels + s * step) @ direction for s in (1, -1))
    # A central difference along the gradient is its length.
    assert float((up - down) / 0.12) == pytest.approx(float(pixels.grad.norm()), rel=0.05)


def test_bf16_is_close_and_keeps_the_identity(tiny_model: Path, encoder: Encoder, pictures: list[Image.Image]) -> None:
    low = load_encoder(f"local-dir:{tiny_model}", device="cpu", precision="bf16")
    a, b = encoder.images(pictures), low.images(pictures)
    assert b.dtype == np.float32
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.min() > 0.99
    assert low.weights_sha256 == encoder.weights_sha256
    np.testing.assert_array_equal(low.texts(TEXTS), encoder.texts(TEXTS))


@pytest.mark.parametrize("device", ["tpu9", "cuda:77", "meta"])
def test_unknown_device(device: str) -> None:
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="device"):
        resolve_device(device)
