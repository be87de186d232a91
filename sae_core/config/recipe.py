"""Recipes: what is edited in a code, as versioned JSON. What they do is in `sae_core.steer`."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from sae_core.config.base import Model


class Edit(Model):
    """One edit of a code: `set` to value, `add` value, `ablate` to 0, `clamp` to value x the latent's maximum."""

    latent: Annotated[int, Field(ge=0)]
    op: Literal["set", "add", "ablate", "clamp"] = "clamp"
    value: float = 0.0

    @field_validator("value")
    @classmethod
    def _finite(cls, value: float) -> float:
        if not math.isfinite(value):
            raise ValueError(f"the value of an edit must be finite, not {value}")
        return value


class Recipe(Model):
    """What is edited and how; with the dictionary and an image it determines the steered embedding.

    Attributes:
        version: of this format.
        edits: applied together; of several on one latent the last one counts.
        sae: SHA-256 of the dictionary's weights, or None for any.
        encoder: id of the CLIP whose embeddings it edits, or None for any.
        image: SHA-256 of the image it was made on, for the record.
        maxima: the largest activation on training images of each clamped latent, so that a clamp means the same elsewhere.
        keep_error: add the edit to x itself; False starts from the dictionary's reconstruction of x.
        renormalise: scale the result to the norm of x.
        seed: of the random directions it is compared with.
        decoder: id of the generator that drew the result, or None: nothing is generated, images are retrieved.
    """

    version: Literal[1] = 1
    edits: tuple[Edit, ...] = ()
    sae: str | None = None
    encoder: str | None = None
    image: str | None = None
    maxima: dict[int, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    keep_error: bool = True
    renormalise: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    decoder: str | None = None

    @field_validator("edits", mode="before")
    @classmethod
    def _listed(cls, edits: Any) -> Any:
        return tuple(edits) if isinstance(edits, list) else edits

    def to_json(self) -> str:
        """The recipe as JSON text that `read_recipe` reads back to an equal recipe."""
        return self.model_dump_json(indent=1)
