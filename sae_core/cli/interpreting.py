"""What `interpret` needs beside its stage: latents by bookmark, and what a vision model would be asked and cost."""

from __future__ import annotations

import argparse
import json
from typing import Any

from sae_core import pipeline
from sae_core.config import RunConfig, Runtime
from sae_core.errors import InputError
from sae_core.progress import Lines
from sae_core.store import Inputs, Store


def bookmarked(config: RunConfig, store: Store) -> list[int]:
    """The bookmarked latents of this configuration's dictionary, ascending. Raises InputError when there are none."""
    from sae_core.browse.marks import load_marks

    key = pipeline.keys(config, store)["train"].key
    same = [run for run in pipeline.runs(store) if run.keys.get("train") == key]
    ids = sorted(load_marks(store, same[0].id).bookmarked) if same else []
    if not ids:
        raise InputError("--latents bookmarked: no latent of this dictionary is; mark some in the gallery, or give ids")
    return ids


def overrides(args: argparse.Namespace) -> list[str]:
    """The settings that the options of `interpret` stand for."""
    given = {"method": args.method, "vision.model": args.model, "vision.endpoint": args.endpoint}
    found = [f"interpret.{name}={json.dumps(value)}" for name, value in given.items() if value is not None]
    return [*found, *([f"interpret.vision.cap={args.cap}"] if args.cap is not None else [])]


def dry_run(config: RunConfig, store: Store, runtime: Runtime) -> dict[str, Any]:
    """What interpreting would ask and cost, and what would leave this machine; only GET /models is called.

    The activations are made when they are missing, since they say which images would be shown.
    """
    from sae_core.interpret.material import Material
    from sae_core.interpret.stage import chosen_latents
    from sae_core.interpret.vision.endpoint import Endpoint
    from sae_core.interpret.vision.secrets import key_for
    from sae_core.interpret.vision.stage import plan_vision

    made = pipeline.run("collect", config, store, Lines(), runtime)
    settings = config.interpret
    if settings.method == "clip":
        latents = chosen_latents(settings.latents, made.load("collect"))
        return {"method": "clip", "latents": len(latents), "plan": ["Nothing leaves this machine and nothing is paid."]}
    material = Material.load(Inputs({**made.paths, "activations": made.paths["collect"]}), settings.seed, runtime.device)
    key = key_for(Endpoint.parse(settings.vision.endpoint))
    plan = plan_vision(settings, material, chosen_latents(settings.latents, material.activations), key)
    return {"method": "vision", "plan": plan.lines(), **plan.to_json()}
