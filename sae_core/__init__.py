"""Sketch SAE Lab: sparse autoencoders on CLIP image embeddings of sketches. This is the whole public API.

    import sae_core as sc
    run = sc.run("configs/demo.yaml", cache="cache")

Names are imported when first used, so that `import sae_core` costs nothing and does nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    # runs
    "run": "sae_core.api",
    "load_config": "sae_core.config",
    "RunConfig": "sae_core.config",
    "Runtime": "sae_core.config",
    "Edit": "sae_core.config",
    "Store": "sae_core.store",
    "Event": "sae_core.progress",
    "SaeLabError": "sae_core.errors",
    "InputError": "sae_core.errors",
    "Unavailable": "sae_core.errors",
    "DamagedArtifact": "sae_core.errors",
    "Cancelled": "sae_core.errors",
    # pieces
    "open_image": "sae_core.data.images",
    "load_manifest": "sae_core.api",
    "load_encoder": "sae_core.clip.encoder",
    "load_embeddings": "sae_core.api",
    "load_sae": "sae_core.sae.formats",
    "train_sae": "sae_core.sae.train",
    "load_activations": "sae_core.api",
    "load_names": "sae_core.api",
    "zero_shot": "sae_core.evaluate.zero_shot",
    "name_latents": "sae_core.interpret.naming",
    "Recipe": "sae_core.steer.edits",
    "steer": "sae_core.steer.edits",
    "export_run": "sae_core.publish.folder",
    "model_card": "sae_core.publish.card",
}
_MODULES = ("config", "figures", "jobs", "pipeline", "store", "doctor")

__all__ = [*_EXPORTS, *_MODULES]  # noqa: PLE0604 - names are resolved by __getattr__


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"sae_core.{name}")
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'sae_core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
