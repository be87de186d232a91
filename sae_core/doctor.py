"""What a configuration needs from outside, said before anything is fetched: device, CLIP weights, data, disk."""

from __future__ import annotations

import os
import shutil
from typing import Any

import torch

from sae_core.clip.encoder import requirements_of as of_weights
from sae_core.clip.weights import find_weights
from sae_core.config import RunConfig
from sae_core.data.sources import requirements_of as of_source
from sae_core.steer.decoders.catalogue import every_decoder
from sae_core.store import Store


def examine(config: RunConfig, store: Store) -> dict[str, Any]:
    """What this machine has and what the configuration would fetch.

    Returns: `machine` (cores, device, free disk), `needs` (one record a thing: what, from, size, present), `missing` (the names
        of what is not here) and `decoders`, see there. Nothing is downloaded.
    Raises: InputError on an unknown model or data set.
    """
    store.prepare()
    needs: list[dict[str, Any]] = []
    if any(source.source != "arrays" for source in config.data.values()):
        weights = of_weights(config.clip.model, config.clip.pretrained)
        needs.append(
            {
                "what": f"CLIP weights {weights['weights']}",
                "from": weights["source"],
                "size": weights["size"],
                "present": weights["present"],
            }
        )
    for domain, source in config.data.items():
        found = of_source(source)
        needs.append({"what": f"data {domain}: {found['what']}", **{k: found[k] for k in ("from", "size", "present")}})
    return {
        "machine": {
            "cores": os.cpu_count(),
            "device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
            "free_disk_gb": round(shutil.disk_usage(store.root).free / 1e9, 1),
        },
        "needs": needs,
        "missing": [need["what"] for need in needs if not need["present"]],
        "decoders": decoders(config),
    }


def decoders(config: RunConfig) -> list[dict[str, Any]]:
    """Every decoder that can draw what is steered: id, what, encoder, fits (draws this configuration's CLIP), size, present.

    None is missing: without one steering shows label curves and the nearest images.
    """
    pictures = any(source.source != "arrays" for source in config.data.values())  # arrays bring embeddings of a CLIP of their own
    own = find_weights(config.clip.model, config.clip.pretrained).id if pictures else None
    return [
        {
            "id": decoder.id,
            "what": decoder.title,
            "encoder": decoder.encoders[0],
            "fits": own in decoder.encoders,
            "size": decoder.needs()["size"],
            "present": decoder.present(),
        }
        for decoder in every_decoder()
    ]
