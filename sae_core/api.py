"""What a notebook calls: `run` a configuration, load what it made."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sae_core.config import RunConfig, Runtime, SaeConfig, load_config
from sae_core.pipeline import STAGES, Run
from sae_core.pipeline import run as run_pipeline
from sae_core.progress import Report, silent
from sae_core.store import Store

if TYPE_CHECKING:
    from sae_core.activations.index import Activations
    from sae_core.clip.embed import Embeddings
    from sae_core.data.manifest import Manifest
    from sae_core.interpret.stage import Names
    from sae_core.sae.recipe import Plan


def run(
    config: str | Path | RunConfig,
    cache: str | Path = "cache",
    stage: str | None = None,
    overrides: Sequence[str] = (),
    report: Report = silent,
    device: str = "auto",
) -> Run:
    """Run every stage of a configuration (or up to `stage`) and return what was made; cached stages are not redone.

    Args:
        config: a YAML file or a RunConfig.
        cache: the folder of artifacts.
        stage: one of `pipeline.STAGES`, such as "train"; None for all but those made on request (`pipeline.ON_REQUEST`).
        overrides: `key.subkey=value` pairs, as after `--set`.
        report: receives every `Event`.
        device: auto, cpu or cuda.

    Returns: a Run: `.metrics` (flat), `.keys` (artifact keys), `.load("train")` (a stage's result).
    Raises: InputError and the other one-line errors of `sae_core.errors`.
    """
    loaded = config if isinstance(config, RunConfig) else load_config(config, overrides)
    return run_pipeline(stage, loaded, Store(cache), report, Runtime(device=device))


def _load(stage: str, key: str, cache: str | Path) -> Any:
    return STAGES[stage].load(Store(cache).open(key).path)


def load_manifest(key: str, cache: str | Path = "cache") -> Manifest:
    """The manifest artifact of a key."""
    return _load("manifest", key, cache)  # type: ignore[no-any-return]


def load_embeddings(key: str, cache: str | Path = "cache") -> Embeddings:
    """The embeddings artifact of a key."""
    return _load("embed", key, cache)  # type: ignore[no-any-return]


def load_activations(key: str, cache: str | Path = "cache") -> Activations:
    """The activation store of a key."""
    return _load("collect", key, cache)  # type: ignore[no-any-return]


def load_names(key: str, cache: str | Path = "cache") -> Names:
    """The names of a key."""
    return _load("interpret", key, cache)  # type: ignore[no-any-return]


def training_plan(config: SaeConfig, rows: int) -> Plan:
    """Batch, steps and learning rate that the recipe settles for so many training rows."""
    from sae_core.sae.recipe import plan

    return plan(config, rows)


def default_cache() -> Path:
    """The cache folder: the environment's SAE_LAB_CACHE, else `cache`."""
    return Path(os.environ.get("SAE_LAB_CACHE", "cache"))
