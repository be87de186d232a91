"""Pictures as they are sent: RGB PNG on white, at most 384 pixels a side, nothing but the pixels."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from sae_core.data.images import to_rgb

MAX_SIDE = 384


def prepared(image: Image.Image) -> bytes:
    """PNG bytes of any PIL image: transparency on white, at most 384 px a side, no metadata; equal pixels give equal bytes."""
    picture = to_rgb(image)
    if max(picture.size) > MAX_SIDE:
        picture = picture.copy()
        picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    # Through bare pixels, since PIL writes what it finds in `info` (colour profile, text, GPS) into the file.
    Image.fromarray(np.asarray(picture)).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()
