"""Draw steered embeddings, or say why not and keep the recipe: memory that runs out is an answer, not a crash."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sae_core.progress import Report, silent
from sae_core.steer.decoders.decoder import Decoder, DrawingPrecision, check_encoder, check_request
from sae_core.steer.decoders.loaded import out_of_memory
from sae_core.steer.decoders.pretrained import PretrainedDecoder
from sae_core.steer.edits import Dictionary, Recipe, check
from sae_core.steer.strokes.decoder import BundledStrokes


@dataclass(frozen=True)
class Drawn:
    """Generated pictures, one an embedding, and what made them; `recipe.decoder` names the decoder."""

    pictures: tuple[Image.Image, ...]
    recipe: Recipe
    steps: int
    guidance: float


@dataclass(frozen=True)
class NotDrawn:
    """Memory ran out: the recipe as it was, to be shown by label curves and nearest images, and why in a line."""

    recipe: Recipe
    reason: str


def draw_embeddings(
    x: NDArray[np.floating],
    recipe: Recipe,
    sae: Dictionary,
    decoder: Decoder | PretrainedDecoder | BundledStrokes,
    steps: int | None = None,
    guidance: float | None = None,
    *,
    device: str = "auto",
    offload: bool = False,
    precision: DrawingPrecision = "auto",
    fetch: bool = False,
    report: Report = silent,
) -> Drawn | NotDrawn:
    """Draw embeddings with a decoder that understands the dictionary's CLIP, all from the same noise (the recipe's seed).

    Args:
        x: float32 [n, d] raw embeddings as they are to be drawn (steered, unsteered, random), such as `apply` gives.
        recipe: what they were made with; its seed is the noise's.
        sae: the dictionary, whose encoder must be the decoder's checkpoint.
        decoder: one in memory, or a pretrained or bundled one that is loaded for this call.
        steps, guidance: None takes the decoder's own.
        device, offload, precision, fetch: how a pretrained one is loaded, see `PretrainedDecoder.load`.
        report: told after each picture.

    Returns: `Drawn`, or `NotDrawn` with the recipe untouched when memory ran out.

    Raises:
        InputError: another encoder, bad rows, impossible numbers; all of it before anything is fetched or loaded.
        Unavailable: see `PretrainedDecoder.load`.
    """
    steps = decoder.steps if steps is None else steps
    guidance = decoder.guidance if guidance is None else guidance
    check_encoder(decoder, sae.encoder_id)
    check(recipe, sae)
    rows = check_request(decoder, x, steps, guidance)

    def make() -> list[Image.Image]:
        ready = decoder
        if isinstance(ready, PretrainedDecoder | BundledStrokes):
            ready = ready.load(device, offload, precision, fetch)
        return ready.decode(rows, recipe.seed, steps, guidance, report)

    pictures = unless_out_of_memory(make)
    if pictures is None:
        needed = ""
        if isinstance(decoder, PretrainedDecoder | BundledStrokes):
            needs = decoder.needs()
            needed = f" (weights take {needs['memory']}; with offload=True {needs['memory_offloaded']})"
        return NotDrawn(recipe, f"memory ran out while {decoder.id} drew{needed}; label curves and nearest images still hold")
    return Drawn(tuple(pictures), recipe.model_copy(update={"decoder": decoder.id}), steps, guidance)


def unless_out_of_memory(make: Callable[[], list[Image.Image]]) -> list[Image.Image] | None:
    """What `make` makes, or None when memory runs out; then everything it held has been let go."""
    try:
        return make()
    except Exception as error:
        if not out_of_memory(error):
            raise
    # Only here, past the handler, are the error's frames gone, and with them the tensors they held.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None
