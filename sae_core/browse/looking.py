"""Where a latent looks in one picture: both maps, the check of each, and what the check says in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sae_core.activations.attribution import Attribution, Deletion, Look, Method, PictureTower
from sae_core.clip.encoder import Picture
from sae_core.progress import Event, Report, silent
from sae_core.sae.architectures import SAE

Trust = Literal["sound", "weak", "none"]
SOUND, WEAK = 0.95, 0.8
"""Share of the random orders that a map must beat. With 20 orders, one that knows nothing is called sound in 2 of 21 cases."""
WHAT: Mapping[Method, str] = {
    "occlusion": "Hides each part under paper and notes what the latent loses. An approximation: CLIP never saw such pictures.",
    "gradient": "Adds up CLIP's gradients from blank paper to the picture. An approximation: it follows only that one path.",
}
"""What each map is, in a sentence for whoever looks at it."""


@dataclass(frozen=True)
class CheckedMap:
    """A map over the g x g cells of a picture, and the latent as cells are hidden in its order and in random ones."""

    map: Attribution
    check: Deletion

    @property
    def what(self) -> str:
        """How the map is made, and why it is an approximation."""
        return WHAT[self.map.method]

    @property
    def trust(self) -> Trust:
        """`sound`: the latent falls faster along the map than in 95 % of the random orders; `weak`: than in 80 %; else `none`."""
        return "sound" if self.check.beaten >= SOUND else "weak" if self.check.beaten >= WEAK else "none"

    @property
    def verdict(self) -> str:
        """What the check says of the map, in words."""
        orders = len(self.check.random)
        beaten = f"{round(self.check.beaten * orders)} of {orders} random orders"
        if self.trust == "none":
            return f"No better than random: do not trust this map (it hides the latent faster than {beaten})."
        return f"Hides the latent faster than {beaten}." + (" Read it with care." if self.trust == "weak" else "")

    def to_json(self) -> dict[str, Any]:
        """Numbers and words as plain JSON values."""
        return {
            "what": self.what,
            "cells": self.map.cells.round(6).tolist(),
            "hidden": self.check.hidden.tolist(),
            "deletion": self.check.curve.tolist(),
            "deletion_random": self.check.random.tolist(),
            "random_orders_beaten": self.check.beaten,
            "trust": self.trust,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Looked:
    """Where a latent looks in a picture.

    Attributes:
        latent: which.
        seen: uint8 [s, s, 3], the picture as CLIP sees it, scaled and cut.
        maps: by method; a cell's value is what it adds to the pre-activation.
        value: pre-activation of the whole picture.
        blank: pre-activation of a sheet of its paper colour.
    """

    latent: int
    seen: NDArray[np.uint8]
    maps: Mapping[Method, CheckedMap]
    value: float
    blank: float

    def to_json(self) -> str:
        """Everything but the picture, as JSON."""
        facts = {
            "latent": self.latent,
            "unit": "change of the pre-activation",
            "pre_activation": self.value,
            "pre_activation_of_blank_paper": self.blank,
            "maps": {method: found.to_json() for method, found in self.maps.items()},
        }
        return json.dumps(facts, indent=1)


def look(
    tower: PictureTower,
    sae: SAE,
    picture: Picture,
    latent: int,
    rng: np.random.Generator | None = None,
    report: Report = silent,
) -> Looked:
    """Where a latent looks in a picture, by occlusion and by integrated gradients, and whether to believe it.

    About 520 passes through CLIP for an input of 64 pixels, 650 for one of 224.

    Args:
        tower: the CLIP that made the dictionary's embeddings.
        sae: the dictionary.
        picture: the picture.
        latent: whose attention is asked for.
        rng: draws the random orders of the check; None: the same ones each time.
        report: told after each map and each check.

    Raises: InputError for a latent that is not there, or a picture that is none.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    looking = Look(tower, sae, picture, latent)
    maps: dict[Method, CheckedMap] = {}
    for nth, make in enumerate((looking.occlusion, looking.gradient)):
        found = make()
        report(Event("look", 2 * nth + 1, 4, message=f"checking the {found.method} map"))
        maps[found.method] = CheckedMap(found, looking.deletion(found, rng))
        report(Event("look", 2 * nth + 2, 4))
    return Looked(latent, seen(tower, picture), maps, found.value, found.blank)


def seen(tower: PictureTower, picture: Picture) -> NDArray[np.uint8]:
    """A picture as a tower sees it: its input turned back into colours, uint8 [s, s, 3].

    Towers shift and scale each channel by numbers of their own; a black and a white sheet tell which.
    """
    black, white = (
        tower.pixels([Image.new("RGB", (256, 256), colour)])[0].float().cpu().mean((1, 2), keepdim=True)
        for colour in ("black", "white")
    )
    colours = ((tower.pixels([picture])[0].float().cpu() - black) / (white - black)).clamp(0, 1)
    return np.asarray((255 * colours).round().byte().permute(1, 2, 0).numpy())
