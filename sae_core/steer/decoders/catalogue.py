"""Every decoder by its id, and which of them can draw what a dictionary's CLIP embeds; the project's own comes first."""

from __future__ import annotations

from sae_core.errors import InputError
from sae_core.steer.decoders.ip_adapter import IP_ADAPTER_SD15
from sae_core.steer.decoders.kandinsky import KANDINSKY_22
from sae_core.steer.decoders.pretrained import PretrainedDecoder
from sae_core.steer.decoders.unclip import STABLE_UNCLIP_H, STABLE_UNCLIP_L
from sae_core.steer.strokes.decoder import BundledStrokes

PRETRAINED = {d.id: d for d in (KANDINSKY_22, STABLE_UNCLIP_H, STABLE_UNCLIP_L, IP_ADAPTER_SD15)}
STROKES = BundledStrokes()


def every_decoder() -> list[PretrainedDecoder | BundledStrokes]:
    """All there are, present or not, the project's own first."""
    return [STROKES, *PRETRAINED.values()]


def find_decoder(id: str) -> PretrainedDecoder | BundledStrokes:
    """A decoder by its id. Raises InputError on an unknown one, with those there are."""
    if id == STROKES.id:
        return STROKES
    if id not in PRETRAINED:
        raise InputError(f"no decoder {id!r}; there are {', '.join([STROKES.id, *PRETRAINED])}")
    return PRETRAINED[id]


def decoders_for(encoder_id: str | None) -> list[PretrainedDecoder | BundledStrokes]:
    """The decoders that understand embeddings of this very checkpoint; none for most."""
    own = [STROKES] if encoder_id in STROKES.encoders and STROKES.present() else []
    return [*own, *(decoder for decoder in PRETRAINED.values() if encoder_id in decoder.encoders)]
