"""Where a latent looks: closed forms on a tower that is linear in its pixels, and the bundled model on a drawn line."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from sae_core.activations.attribution import Attribution, Deletion, Look, paper, upsampled
from sae_core.clip.encoder import Picture, load_encoder
from sae_core.config import TopK
from sae_core.errors import InputError
from sae_core.sae.architectures import SAE

SIDE, D = 32, 4


class Linear:
    """Embedding = weights · pixels: everything about it is known."""

    def __init__(self, weights: torch.Tensor) -> None:
        self.weights = weights

    def pixels(self, images: list[Picture]) -> torch.Tensor:
        return torch.stack([torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1) for image in images])

    def forward_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.flatten(1) @ self.weights.T


def dictionary(d: int = D, m: int = 6) -> SAE:
    generator = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(m, d, generator=generator), dim=1)
    weights = {"W_enc": rows, "b_enc": torch.linspace(-0.1, 0.1, m), "W_dec": rows.clone(), "b_dec": torch.zeros(d)}
    return SAE(TopK(k=2), weights, torch.full((d,), 0.3), 2.0)


@pytest.fixture
def linear() -> tuple[Linear, np.ndarray]:
    rng = np.random.default_rng(0)
    weights = torch.from_numpy(rng.standard_normal((D, 3 * SIDE * SIDE)).astype(np.float32))
    picture = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
    picture[4:28, 4:28] = rng.integers(0, 255, (24, 24, 3))
    return Linear(weights), picture


def contributions(tower: Linear, picture: np.ndarray, sae: SAE, latent: int, g: int) -> np.ndarray:
    """What each cell adds when the tower is linear: scale · w_j · W (pixels - paper), summed over the cell."""
    per_pixel = (sae.weights["W_enc"][latent] @ tower.weights).view(3, SIDE, SIDE) * sae.scale
    there = tower.pixels([picture])[0] - 1.0
    return (per_pixel * there).sum(0).view(g, SIDE // g, g, SIDE // g).sum((1, 3)).numpy()


def test_the_gradient_map_of_a_linear_tower_is_exact(linear: tuple[Linear, np.ndarray]) -> None:
    tower, picture = linear
    sae = dictionary()
    look = Look(tower, sae, picture, 3, cells=8)
    found = look.gradient()
    np.testing.assert_allclose(found.cells, contributions(tower, picture, sae, 3, 8), atol=1e-4)
    # Contributions and the blank sheet add up to the whole.
    assert found.cells.sum() + found.blank == pytest.approx(found.value, abs=1e-3)


def test_the_occlusion_map_of_a_linear_tower_is_a_mean_over_windows(linear: tuple[Linear, np.ndarray]) -> None:
    tower, picture = linear
    sae = dictionary()
    found = Look(tower, sae, picture, 1, cells=4).occlusion()
    cell = contributions(tower, picture, sae, 1, 4)
    expected, count = np.zeros((4, 4)), np.zeros((4, 4))
    for r in range(4):
        for c in range(4):
            window = cell[r : r + 2, c : c + 2]
            expected[r : r + 2, c : c + 2] += window.sum() / window.size
            count[r : r + 2, c : c + 2] += 1
    np.testing.assert_allclose(found.cells, expected / count, atol=1e-4)


def test_deletion_ends_at_the_blank_sheet_and_the_exact_map_beats_every_random_order(linear: tuple[Linear, np.ndarray]) -> None:
    tower, picture = linear
    look = Look(tower, dictionary(), picture, 3, cells=8)
    found = look.gradient()
    check = look.deletion(found, np.random.default_rng(0), steps=8, orders=20)
    assert check.curve[0] == found.value
    np.testing.assert_allclose(np.append(check.random[:, -1], check.curve[-1]), found.blank, atol=1e-4)
    # Of a linear tower, hiding the largest contributions first is the lowest curve there is.
    assert (check.curve <= check.random + 1e-4).all()
    assert check.beaten == 1.0


def test_gain_is_the_area_between_the_curves() -> None:
    hidden = np.array([0.0, 0.5, 1.0])
    check = Deletion(hidden, np.array([1.0, 0.0, 0.0]), np.array([[1.0, 1.0, 0.0], [1.0, 0.5, 0.0]]))
    assert check.gain == pytest.approx(0.375)
    assert check.beaten == 1.0
    level = Deletion(hidden, np.ones(3), np.ones((2, 3)))
    assert np.isnan(level.gain)


def test_content_is_where_there_is_no_paper(linear: tuple[Linear, np.ndarray]) -> None:
    tower, _ = linear
    picture = np.full((SIDE, SIDE, 3), 250, dtype=np.uint8)
    picture[0:4, 8:12] = 0
    content = Look(tower, dictionary(), picture, 0, cells=8).content()
    assert content.sum() == 1
    assert content[0, 2]
    assert paper(tower.pixels([picture])[0]).flatten().tolist() == pytest.approx([250 / 255] * 3)


def test_a_map_is_smoothed_over_the_picture() -> None:
    found = Attribution("gradient", np.eye(4, dtype=np.float32), 1.0, 0.0)
    assert upsampled(found, 16).shape == (16, 16)
    np.testing.assert_allclose(upsampled(found, 4), np.eye(4), atol=1e-6)


@pytest.mark.parametrize(("latent", "cells", "words"), [(6, 4, "no latent 6"), (0, 33, "33 cells a side"), (0, 0, "0 cells")])
def test_what_is_not_there_is_said(linear: tuple[Linear, np.ndarray], latent: int, cells: int, words: str) -> None:
    tower, picture = linear
    with pytest.raises(InputError, match=words):
        Look(tower, dictionary(), picture, latent, cells=cells)


def test_the_bundled_model_looks_at_the_line_not_at_the_paper() -> None:
    encoder = load_encoder(device="cpu")
    picture = Image.new("RGB", (encoder.image_size, encoder.image_size), "white")
    half = encoder.image_size // 2
    ImageDraw.Draw(picture).line([(4, 4), (half - 4, half - 4)], fill="black", width=3)
    x = torch.from_numpy(encoder.images([picture, Image.new("RGB", picture.size, "white")]))
    # A latent that points from the blank sheet to this picture.
    direction = torch.nn.functional.normalize(x[0] - x[1], dim=0)[None]
    weights = {"W_enc": direction, "b_enc": torch.zeros(1), "W_dec": direction.clone(), "b_dec": torch.zeros(encoder.dim)}
    look = Look(encoder, SAE(TopK(k=1), weights, x[1], 1.0), picture, 0)
    for found in (look.occlusion(), look.gradient()):
        quarter = found.cells[: look.g // 2, : look.g // 2].sum()
        assert found.value > 0 == pytest.approx(found.blank, abs=1e-4)
        assert quarter > 0.6 * np.abs(found.cells).sum()
    # Integrated gradients add up.
    assert found.cells.sum() == pytest.approx(found.value - found.blank, rel=0.1)
    check = look.deletion(look.occlusion(), np.random.default_rng(0))
    assert check.gain > 0
