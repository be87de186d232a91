"""Where a latent looks, as one answer: the picture CLIP saw, both maps, their checks, and what is said of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import sae_core as sc
from sae_core.activations.attribution import Attribution, Deletion
from sae_core.browse.looking import CheckedMap, look, seen
from sae_core.config import TopK
from sae_core.sae.architectures import SAE

SIDE, D = 32, 4
MEAN, SD = torch.tensor([0.48, 0.46, 0.41]).view(3, 1, 1), torch.tensor([0.27, 0.26, 0.28]).view(3, 1, 1)


class Corner:
    """A tower that sees nothing but how dark the upper left quarter is, with CLIP's shift and scale of the channels."""

    def pixels(self, images: list[Image.Image]) -> torch.Tensor:
        def one(image: Image.Image) -> torch.Tensor:
            array = np.asarray(image.convert("RGB").resize((SIDE, SIDE)), dtype=np.float32) / 255
            return (torch.from_numpy(array).permute(2, 0, 1) - MEAN) / SD

        return torch.stack([one(image) for image in images])

    def forward_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        dark = 1 - (pixels * SD + MEAN)[:, :, : SIDE // 2, : SIDE // 2].mean((1, 2, 3))
        return torch.nn.functional.pad(dark[:, None], (0, D - 1))


@pytest.fixture
def sae() -> SAE:
    rows = torch.eye(D)
    return SAE(
        TopK(k=1), {"W_enc": rows, "b_enc": torch.zeros(D), "W_dec": rows.clone(), "b_dec": torch.zeros(D)}, torch.zeros(D), 1.0
    )


@pytest.fixture
def scribble() -> Image.Image:
    """Dark squares on white paper, in all four quarters."""
    picture = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
    for row in range(4, 28, 8):
        for column in range(4, 28, 8):
            picture[row : row + 4, column : column + 4] = (row * 8, 40, column * 8)
    return Image.fromarray(picture)


def test_the_picture_comes_back_as_the_tower_sees_it(scribble: Image.Image) -> None:
    np.testing.assert_array_equal(seen(Corner(), scribble), np.asarray(scribble))


def test_both_maps_lie_on_what_the_latent_sees_and_pass_their_check(sae: SAE, scribble: Image.Image) -> None:
    found = look(Corner(), sae, scribble, 0)
    assert list(found.maps) == ["occlusion", "gradient"]
    for checked in found.maps.values():
        g = len(checked.map.cells)
        corner = checked.map.cells[: g // 2, : g // 2].sum()
        # An occluding window reaches one cell beyond its own, so a little of it is shared across the border.
        assert corner > 0.8 * checked.map.cells.sum() > 0
        assert checked.trust == "sound"
        assert checked.verdict == "Hides the latent faster than 20 of 20 random orders."
        assert "approximation" in checked.what
    assert found.maps["gradient"].map.cells.sum() == pytest.approx(found.value - found.blank, abs=1e-4)
    assert np.abs(found.maps["gradient"].map.cells[g // 2 :]).max() == 0, "nothing where the tower is blind"


def test_it_is_the_same_each_time_and_another_generator_draws_other_orders(sae: SAE, scribble: Image.Image) -> None:
    first, again = look(Corner(), sae, scribble, 0), look(Corner(), sae, scribble, 0)
    assert first.to_json() == again.to_json()
    other = look(Corner(), sae, scribble, 0, np.random.default_rng(5))
    assert (other.maps["gradient"].check.random != first.maps["gradient"].check.random).any()
    np.testing.assert_array_equal(other.maps["gradient"].map.cells, first.maps["gradient"].map.cells)


def test_a_latent_that_sees_nothing_of_the_picture_is_not_to_be_trusted(sae: SAE, scribble: Image.Image) -> None:
    found = look(Corner(), sae, scribble, 2)
    assert [one.trust for one in found.maps.values()] == ["none", "none"]
    assert all(one.verdict.startswith("No better than random: do not trust this map") for one in found.maps.values())


@pytest.mark.parametrize(
    ("beaten", "trust"), [(20, "sound"), (19, "sound"), (18, "weak"), (16, "weak"), (15, "none"), (0, "none")]
)
def test_trust_is_the_share_of_random_orders_that_are_beaten(beaten: int, trust: str) -> None:
    hidden = np.linspace(0, 1, 3)
    random = np.tile([1.0, 0.6, 0.0], (20, 1))
    random[beaten:, 1] = 0.2
    checked = CheckedMap(
        Attribution("occlusion", np.zeros((2, 2), np.float32), 1.0, 0.0), Deletion(hidden, np.array([1, 0.4, 0]), random)
    )
    assert checked.trust == trust
    assert f"{beaten} of 20 random orders" in checked.verdict


def test_the_answer_as_json(sae: SAE, scribble: Image.Image) -> None:
    found = look(Corner(), sae, scribble, 0)
    facts = json.loads(found.to_json())
    assert facts["pre_activation"] == found.value
    for method, one in facts["maps"].items():
        np.testing.assert_allclose(one["cells"], found.maps[method].map.cells, atol=1e-6)
        assert len(one["deletion"]) == len(one["hidden"])


def test_it_reports_and_can_be_stopped(sae: SAE, scribble: Image.Image) -> None:
    steps: list[int] = []

    def report(event: sc.Event) -> None:
        steps.append(event.step)
        if event.step == 2:
            raise sc.Cancelled("stopped")

    with pytest.raises(sc.Cancelled):
        look(Corner(), sae, scribble, 0, report=report)
    assert steps == [1, 2]


def test_no_such_latent(sae: SAE, scribble: Image.Image) -> None:
    with pytest.raises(sc.InputError, match="no latent 4"):
        look(Corner(), sae, scribble, D)
