"""A strip: one latent from 0 to four times its maximum in a few steps, and a random direction that goes as far at every step.

Both rows start from the unsteered image, which stands in the strip at its own strength. A step shows the data's nearest image, or
what a decoder draws. How a strip becomes a file is in `strip_files`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sae_core.config import Edit, Recipe
from sae_core.errors import InputError
from sae_core.interpret.naming import random_directions
from sae_core.interpret.visualize import image_tile
from sae_core.steer.effects import nearest, sweep
from sae_core.steer.scene import SteeringScene
from sae_core.steer.subject import Subject

STEPS = 7
MOST = 4.0
TILE = 112
RANDOM_ROW = "a random direction, as far"


@dataclass(frozen=True)
class Swept:
    """Embeddings of a strip.

    Attributes:
        latent: the one that is turned.
        name: what it is called, or None.
        strengths: float64 [s], multiples of its maximum, ascending; `unsteered` is the place of the image's own among them.
        points, random: float32 [s, d].
        seed: of the random direction; the noise of a decoder is drawn with it too.
    """

    latent: int
    name: str | None
    strengths: NDArray[np.float64]
    unsteered: int
    points: NDArray[np.float32]
    random: NDArray[np.float32]
    seed: int

    @property
    def title(self) -> str:
        """`latent 12: spiral`."""
        return f"latent {self.latent}" + (f": {self.name}" if self.name else "")


@dataclass(frozen=True)
class Cell:
    """One step: a picture, a line below it; the same picture as paths (`svg`), its `row` of the data, where it has these."""

    picture: Image.Image
    caption: str
    svg: str | None = None
    row: int | None = None


@dataclass(frozen=True)
class Strip:
    """Two rows of cells under titles, what they are, and which column is the unsteered image."""

    title: str
    note: str
    strengths: tuple[float, ...]
    unsteered: int
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def sweep_of(subject: Subject, latent: int, recipe: Recipe, scene: SteeringScene, steps: int = STEPS) -> Swept:
    """Turn one latent of an image in equal steps from 0 to 4 times its maximum (further where the image itself stands further).

    The step nearest to where the image stands is moved there, so that one step of either row is the image itself. The recipe's
    other edits are left out; whether the error is kept and the norm restored, and the seed, are the recipe's.

    Raises:
        InputError: a latent that is dead or that the dictionary does not have; fewer than two steps.
    """
    if steps < 2:
        raise InputError(f"{steps} step(s) make no strip; give 2 or more")
    alone = recipe.model_copy(update={"edits": (Edit(latent=latent, op="clamp", value=1.0),)})
    maxima = scene.maxima(alone)
    here = float(np.asarray(scene.sae.encode(subject.x[None]))[0, latent]) / maxima[latent]
    strengths = np.linspace(0.0, max(MOST, here), steps)
    unsteered = int(np.argmin(np.abs(strengths - here)))
    strengths[unsteered] = here
    direction = random_directions("isotropic", 1, subject.x[None], np.random.default_rng(recipe.seed))
    swept = sweep(subject.x, alone, scene.sae, maxima, strengths.tolist(), direction)
    return Swept(latent, scene.names.label(latent), strengths, unsteered, swept.points, swept.controls[:, 0], recipe.seed)


def nearest_strip(swept: Swept, subject: Subject, scene: SteeringScene) -> Strip:
    """Each step as the image of the data that is nearest to it by cosine; the image itself and its near-duplicates left out."""
    groups = scene.activations.images["group"].to_numpy(np.int64)

    def cells(points: NDArray[np.float32]) -> tuple[Cell, ...]:
        made = []
        for point in points:
            rows, cosines = nearest(point, scene.units, groups, 1, without=subject.group)
            where = scene.activations.images.iloc[int(rows[0])]
            tile = image_tile(scene.manifests[str(where["domain"])], int(where["image"]), TILE)
            made.append(Cell(tile, f"cos {cosines[0]:.2f}", row=int(rows[0])))
        return tuple(made)

    note = "Each picture is the image of the data nearest to the steered embedding; nothing is generated."
    return _strip(swept, note, (cells(swept.points), cells(swept.random)))


def drawn_strip(swept: Swept, pictures: Sequence[Image.Image], decoder: str, svgs: Sequence[str] | None = None) -> Strip:
    """Each step as a decoder drew it.

    Args:
        pictures: of `points`, then of `random`: 2 s of them.
        decoder: its id, which the strip names.
        svgs: the same as documents of paths, where the decoder draws paths.

    Raises:
        ValueError: other than 2 s pictures or documents.
    """
    count = len(swept.strengths)
    if len(pictures) != 2 * count or (svgs is not None and len(svgs) != 2 * count):
        raise ValueError(f"{len(pictures)} pictures for two rows of {count} steps")
    cells = [Cell(picture, "", None if svgs is None else svgs[i]) for i, picture in enumerate(pictures)]
    note = f"Generated by {decoder} from the steered embeddings, every picture from the same seed {swept.seed}."
    return _strip(swept, note, (tuple(cells[:count]), tuple(cells[count:])))


def _strip(swept: Swept, note: str, rows: tuple[tuple[Cell, ...], tuple[Cell, ...]]) -> Strip:
    named = tuple(zip((swept.title, RANDOM_ROW), rows, strict=True))
    return Strip(f"{swept.title}, turned up", note, tuple(swept.strengths.tolist()), swept.unsteered, named)
