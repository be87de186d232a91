"""What is steered: an image of the data, or a picture that is not among them; and what it can be steered to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sae_core.errors import InputError
from sae_core.interpret.naming import random_directions
from sae_core.steer.edits import Dictionary, Recipe, apply, checked_rows, rescaled

Control = Literal["edited", "none", "reconstruction", "random"]
"""What stands in the place of the steered embedding: the recipe's, the image as it is, what the dictionary makes of it without an
edit, or a random direction as long as the edit."""
CONTROLS: tuple[Control, ...] = get_args(Control)


@dataclass(frozen=True)
class Subject:
    """An image to steer.

    Attributes:
        x: float32 [d], its raw embedding.
        logit_scale: τ of the CLIP that made it.
        about: what results say of it: row (of the activation store), domain, image, file, class; None what it has not.
        group: of near-duplicates, which are no neighbours of it; None for a picture that is not in the data.
    """

    x: NDArray[np.float32]
    logit_scale: float
    about: Mapping[str, Any]
    group: int | None = None


def stranger(x: NDArray[np.floating], domain: str, file: str, logit_scale: float) -> Subject:
    """A picture that is not in the data, read by a domain's labels. Raises InputError for an embedding that is none."""
    row = checked_rows(np.asarray(x)[None], np.asarray(x).shape[-1])[0]
    return Subject(row, logit_scale, {"row": None, "domain": domain, "image": None, "file": file, "class": None})


def steered_to(
    x: NDArray[np.float32], recipe: Recipe, sae: Dictionary, maxima: NDArray[np.floating], control: Control = "edited"
) -> NDArray[np.float32]:
    """The embedding that a recipe makes of x, or a control in its place, float32 [d].

    `random` starts where the edit starts (x, or its reconstruction) and goes as far, along the first of the isotropic directions
    that the recipe's seed gives, which is also the first of those that the verdict compares with.

    Args:
        x: float32 [d].
        recipe, sae, maxima: see `edits.apply`.
        control: one of CONTROLS.

    Raises:
        InputError: see `edits.apply`; no such control.
    """
    row = x[None]
    if control not in CONTROLS:
        raise InputError(f"no control {control!r}; there are {', '.join(CONTROLS)}")
    match control:
        case "edited":
            steered = apply(row, recipe, sae, maxima)
        case "none":
            steered = checked_rows(row, sae.d).copy()
        case "reconstruction":
            steered = apply(row, recipe.model_copy(update={"edits": (), "keep_error": False}), sae, maxima)
        case "random":
            plain = recipe.model_copy(update={"renormalise": False})
            start = apply(row, plain.model_copy(update={"edits": ()}), sae, maxima)
            length = np.linalg.norm(apply(row, plain, sae, maxima) - start)
            direction = random_directions("isotropic", 1, row, np.random.default_rng(recipe.seed))
            moved = np.asarray(start + length * direction, dtype=np.float32)
            steered = rescaled(moved, row) if recipe.renormalise else moved
    return np.asarray(steered[0], dtype=np.float32)
