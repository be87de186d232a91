"""What any decoder makes of embeddings, as pictures, and as documents of paths where it draws strokes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sae_core.config import Recipe
from sae_core.progress import Report, silent
from sae_core.steer.decoders.decoder import check_encoder
from sae_core.steer.decoders.draw import NotDrawn, draw_embeddings
from sae_core.steer.decoders.pretrained import PretrainedDecoder
from sae_core.steer.edits import Dictionary, check
from sae_core.steer.strokes.decoder import PIXELS, BundledStrokes
from sae_core.steer.strokes.seeing import inked
from sae_core.steer.strokes.svg import stroke_svg


@dataclass(frozen=True)
class Pictured:
    """Generated pictures, one an embedding; `svgs` are the same as SVG documents, or None where the decoder draws pixels."""

    pictures: tuple[Image.Image, ...]
    svgs: tuple[str, ...] | None
    recipe: Recipe


def picture(
    x: NDArray[np.floating],
    recipe: Recipe,
    sae: Dictionary,
    decoder: PretrainedDecoder | BundledStrokes,
    *,
    device: str = "auto",
    offload: bool = False,
    fetch: bool = False,
    report: Report = silent,
) -> Pictured | NotDrawn:
    """Draw embeddings, all from the recipe's seed; see `draw_embeddings` for the arguments and what it raises.

    A decoder that draws strokes draws them once: the picture and the document are of the same strokes, which no seed changes.
    """
    if isinstance(decoder, PretrainedDecoder):
        drawn = draw_embeddings(x, recipe, sae, decoder, device=device, offload=offload, fetch=fetch, report=report)
        return drawn if isinstance(drawn, NotDrawn) else Pictured(drawn.pictures, None, drawn.recipe)
    check_encoder(decoder, sae.encoder_id)
    check(recipe, sae)
    drawings = decoder.load().strokes(x, report)
    pictures = tuple(Image.fromarray(inked(drawing, PIXELS)).convert("RGB") for drawing in drawings)
    svgs = tuple(stroke_svg(drawing, PIXELS) for drawing in drawings)
    return Pictured(pictures, svgs, recipe.model_copy(update={"decoder": decoder.id}))
