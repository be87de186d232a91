"""Scoring a label that a person gives: by CLIP consistency always, by detection where a vision model may be asked.

Both are the scores that machine names get, on the same held-out images, so that the two can be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sae_core.config import InterpretConfig
from sae_core.errors import InputError, Unavailable
from sae_core.interpret.agreement import label_consistency
from sae_core.interpret.labels import manual_label
from sae_core.interpret.material import Material

if TYPE_CHECKING:
    from sae_core.interpret.vision.protocol import Asks


def rescore(
    latent: int, label: str, author: str, material: Material, config: InterpretConfig, client: Asks | None = None
) -> dict[str, Any]:
    """The scores of a manual label, ready for `labels.set_label`.

    Args:
        latent: its id.
        label, author: who calls it what.
        material: of the run.
        config: templates for CLIP consistency; sizes, seed and limits for detection.
        client: the vision model to test the label with; None tests it by CLIP alone.

    Returns:
        `clip_consistency` and `detection` as in a machine's record (None: no score), and `notes`, why one is missing. Detection
        has `model_served`, `prompt_version` and `cost` (USD) beside it.

    Raises:
        InputError: no such latent, or a label or author that cannot be kept.
        Unavailable: the model's endpoint refuses for good.
    """
    made = manual_label(latent, label, author)
    if not made.label:
        raise InputError("there is no label to score; give one")
    if made.latent >= material.activations.m:
        raise InputError(f"no latent {latent}; this dictionary has latents 0 to {material.activations.m - 1}")
    rng = np.random.default_rng([config.seed, made.latent])
    by_clip, note = label_consistency(
        {made.latent: made.label}, material.evidence, material.embeddings, material.towers, config.templates, rng
    )
    notes = {}
    if made.latent not in by_clip:
        notes["clip_consistency"] = note or "too few held-out images fire it, or do not"
    detection = None
    if client is not None:
        detection, why = _detection(made.latent, made.label, material, config, client)
        notes |= {"detection": why} if why else {}
    return {"clip_consistency": by_clip.get(made.latent), "detection": detection, "notes": notes}


def _detection(
    latent: int, label: str, material: Material, config: InterpretConfig, client: Asks
) -> tuple[dict[str, Any] | None, str]:
    # Imported here: scoring by CLIP alone needs nothing of the vision package.
    from sae_core.interpret.vision.messages import Failure
    from sae_core.interpret.vision.protocol import Interview
    from sae_core.interpret.vision.sets import SetMaker
    from sae_core.interpret.vision.shown import Shown

    shown = Shown(material.activations.images, material.manifests)
    maker = SetMaker(material.evidence, shown.rows, config.vision, config.seed)
    found = Interview(client, maker, shown.png, config.vision, config.seed).detection(latent, label)
    if isinstance(found, Failure):
        raise Unavailable(f"the label could not be tested: {found.message}")
    if isinstance(found, str):
        return None, found
    detection, bill = found
    return {**detection.to_json(), **bill.to_json()}, detection.why
