"""The plainest control: directions that nothing chose, at the sparsity of the dictionary they are compared with."""

from __future__ import annotations

from sae_core.config import Random, SaeConfig
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Pool
from sae_core.sae.recipe import first_weights, scaling


def random_dictionary(width: int, k: int, pool: Pool, encoder_id: str | None, seed: int) -> SAE:
    """A frozen random dictionary: TopK over `width` isotropic unit directions D, W_enc = c D, nothing trained.

    Only the input scaling and the one factor c with which x̂ is nearest to x come from the rows; it is what training an
    architecture `random` begins with.

    Args:
        width: latents.
        k: codes a row, at most `width`.
        pool: the rows it is scaled to; those that the other dictionary was trained on.
        encoder_id: the CLIP of these rows.
        seed: of the directions.
    """
    config = SaeConfig(architecture=Random(k=k), width=width, seed=seed)
    mean, scale = scaling(pool, config.scaling)
    return SAE(config.architecture, first_weights(config, pool, mean, scale), mean, scale, encoder_id)
