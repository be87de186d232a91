"""Latents that point the same way."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sae_core.activations.index import Activations
from sae_core.errors import InputError
from sae_core.sae.architectures import SAE


def decoder_neighbours(sae: SAE, acts: Activations, latent: int, count: int) -> pd.DataFrame:
    """The latents whose decoder directions are most alike: cosine of their rows, in raw embedding units.

    Returns: DataFrame latent, cosine in [-1, 1], nearest first, at most `count`; without the latent itself and those that never
        fire.
    Raises: InputError for a latent that is not there.
    """
    if not 0 <= latent < sae.m:
        raise InputError(f"no latent {latent}; this dictionary has latents 0 to {sae.m - 1}")
    decoder = sae.decoder_raw
    lengths = decoder.norm(dim=1).clamp_min(1e-12)
    cosines = ((decoder @ decoder[latent]) / (lengths * lengths[latent])).cpu().numpy()
    others = acts.alive()
    others = others[others != latent]
    best = others[np.argsort(-cosines[others], kind="stable")[:count]]
    return pd.DataFrame({"latent": best, "cosine": cosines[best]})
