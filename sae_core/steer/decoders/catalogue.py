"""Every pretrained decoder by its id, and which of them can draw what a dictionary's CLIP embeds."""

from __future__ import annotations

from sae_core.errors import InputError
from sae_core.steer.decoders.ip_adapter import IP_ADAPTER_SD15
from sae_core.steer.decoders.kandinsky import KANDINSKY_22
from sae_core.steer.decoders.pretrained import PretrainedDecoder
from sae_core.steer.decoders.unclip import STABLE_UNCLIP_H, STABLE_UNCLIP_L

PRETRAINED = {d.id: d for d in (KANDINSKY_22, STABLE_UNCLIP_H, STABLE_UNCLIP_L, IP_ADAPTER_SD15)}


def find_decoder(id: str) -> PretrainedDecoder:
    """A pretrained decoder by its id. Raises InputError on an unknown one, with those there are."""
    if id not in PRETRAINED:
        raise InputError(f"no decoder {id!r}; there are {', '.join(PRETRAINED)}")
    return PRETRAINED[id]


def decoders_for(encoder_id: str | None) -> list[PretrainedDecoder]:
    """The pretrained decoders that understand embeddings of this very checkpoint; none for most."""
    return [decoder for decoder in PRETRAINED.values() if encoder_id in decoder.encoders]
