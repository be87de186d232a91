"""A latent in one small picture: the images it fires on most, in a square."""

from __future__ import annotations

import io
from collections.abc import Mapping

from PIL import Image

from sae_core.activations.index import Activations
from sae_core.data.manifest import Manifest
from sae_core.errors import InputError
from sae_core.interpret.visualize import image_tile

GAP = 2
"""Pixels between two pictures."""


def latent_montage(
    activations: Activations, manifests: Mapping[str, Manifest], latent: int, across: int = 2, side: int = 96
) -> bytes | None:
    """The strongest images of a latent in a square of `across` by `across`, strongest first, near-duplicates once.

    Args:
        activations: of the dictionary.
        manifests: of every domain.
        latent: its id.
        across: pictures in a row; a latent that fires on fewer leaves places white.
        side: pixels of a picture.

    Returns: a WebP, (across · side + (across - 1) · 2) pixels square; None for a latent that never fires.
    Raises: InputError when there is no such latent, or `across` or `side` is no size.
    """
    if across < 1 or side < 1:
        raise InputError(f"a montage of {across} by {across} pictures of {side} pixels: give at least 1 of each")
    top = activations.top(latent, across * across)
    if top.empty:
        return None
    step = side + GAP
    sheet = Image.new("RGB", (across * step - GAP,) * 2, "white")
    for at, (domain, image) in enumerate(zip(top["domain"], top["image"], strict=True)):
        tile = _picture(manifests[str(domain)], int(image), side)
        left, upper = (side - tile.width) // 2, (side - tile.height) // 2
        sheet.paste(tile, (at % across * step + left, at // across * step + upper))
    out = io.BytesIO()
    sheet.save(out, "WEBP", quality=80, method=2)
    return out.getvalue()


def _picture(manifest: Manifest, image: int, side: int) -> Image.Image:
    picture = image_tile(manifest, image, side).convert("RGB")
    scale = side / max(picture.size)
    size = (max(1, round(scale * picture.width)), max(1, round(scale * picture.height)))
    # Pictures of a few pixels stay crisp, as the pages show them.
    how = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    return picture if size == picture.size else picture.resize(size, how)
