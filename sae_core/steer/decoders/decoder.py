"""What a decoder is: something that draws raw embeddings of one CLIP checkpoint; and the checks it may rely on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sae_core.errors import InputError
from sae_core.progress import Report, silent
from sae_core.steer.edits import checked_rows

MAX_STEPS = 1000
MAX_GUIDANCE = 100.0

DrawingPrecision = Literal["auto", "fp32", "fp16", "bf16"]


class Described(Protocol):
    """What is known of a decoder before it is loaded.

    Attributes:
        id: such as `kandinsky-2.2`; what a recipe's `decoder` says.
        encoders: ids of the CLIP checkpoint whose embeddings it understands (one checkpoint may go by several names).
        dim: their width d.
        steps: of denoising by default.
        guidance: scale by default.
    """

    @property
    def id(self) -> str: ...
    @property
    def encoders(self) -> Sequence[str]: ...
    @property
    def dim(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def guidance(self) -> float: ...


class Decoder(Described, Protocol):
    """A decoder in memory, ready to draw."""

    def decode(
        self, x: NDArray[np.floating], seed: int, steps: int, guidance: float, report: Report = silent
    ) -> list[Image.Image]:
        """Draw each row of x; every row starts from the same noise, so pictures differ by their embeddings alone.

        Args:
            x: float32 [n, d] raw embeddings, not normalised.
            seed: of that noise.
            steps: of denoising, 1 to 1,000.
            guidance: how strongly to follow the embedding; at 1 and below there is no guidance.
            report: told after each picture; may raise Cancelled.

        Returns: n RGB pictures.

        Raises:
            InputError: rows of another width, with NaN or all zero; impossible steps or guidance.
        """
        ...


def check_encoder(decoder: Described, encoder_id: str | None) -> None:
    """Refuse embeddings of any other checkpoint than the decoder's; equal width is not enough.

    Raises:
        InputError: another encoder, or one that is not known.
    """
    wanted = decoder.encoders[0]
    if encoder_id is None:
        raise InputError(
            f"the dictionary does not say which CLIP its embeddings are of, and decoder {decoder.id} draws those of {wanted} "
            f"alone; train a dictionary on {wanted}"
        )
    if encoder_id not in decoder.encoders:
        raise InputError(
            f"decoder {decoder.id} draws embeddings of {wanted}, the dictionary's are of {encoder_id}, where the same numbers "
            f"mean something else; train a dictionary on {wanted}, or steer without a decoder"
        )


def check_request(decoder: Described, x: NDArray[np.floating], steps: int, guidance: float) -> NDArray[np.float32]:
    """The rows to draw, float32 [n, d].

    Raises:
        InputError: another shape, NaN, infinity or a zero row; steps or a guidance that are impossible.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise InputError(f"steps must be 1 to {MAX_STEPS}, not {steps}")
    if not (math.isfinite(guidance) and 0 <= guidance <= MAX_GUIDANCE):
        raise InputError(f"guidance must be a number from 0 to {MAX_GUIDANCE:g}, not {guidance}")
    return checked_rows(x, decoder.dim)
