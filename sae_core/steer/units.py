"""What strengths and probabilities are measured in: a latent's largest activation on training images, the model's temperature."""

from __future__ import annotations

from collections.abc import Sequence

from sae_core.activations.index import Activations
from sae_core.clip.embed import Embeddings

LOGIT_SCALE = 100.0
"""The temperature where precomputed embeddings do not say theirs: the bound CLIP trains against; OpenAI's models reach it."""


def train_maxima(activations: Activations, latents: Sequence[int]) -> dict[int, float]:
    """The largest activation of each latent on training images; over all images where no training image fires it, 0 if none.

    Raises:
        InputError: a latent that the dictionary does not have.
    """
    found = {}
    for latent in latents:
        _, values = activations.postings(latent, split="train")
        found[int(latent)] = float(values[0]) if len(values) else float(activations.maxima[latent])
    return found


def logit_scale_of(embeddings: Embeddings) -> float:
    """τ of the model that made the embeddings."""
    return LOGIT_SCALE if embeddings.logit_scale is None else float(embeddings.logit_scale)
