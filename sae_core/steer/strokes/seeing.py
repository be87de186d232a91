"""What the bundled CLIP sees in a drawing of strokes, inked by the drawn world's own rasteriser as its sketches are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from sae_core.clip.encoder import Encoder
from sae_core.data import drawn
from sae_core.steer.strokes.curves import Curve, scene_of


def inked(strokes: Sequence[Curve], size: int = 64) -> NDArray[np.uint8]:
    """A drawing as a picture, uint8 [size, size]."""
    return drawn.render(scene_of(strokes), "sketch", size)


def seen(encoder: Encoder, sketches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Raw embeddings [n, d] of sketches uint8 [n, 64, 64], the encoder's own size, so that nothing is resized.

    The same as `Encoder.images` to rounding, in about half the time.
    """
    pixels = torch.from_numpy(sketches).to(encoder.device).float()[:, None].expand(-1, 3, -1, -1) / 127.5 - 1
    with torch.inference_mode():
        return encoder.forward_pixels(pixels.contiguous(memory_format=torch.channels_last)).cpu().numpy()
