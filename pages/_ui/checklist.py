"""Where a run stands: every node of its plan with its state and what it took. What is made on request is no part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sae_core as sc

State = Literal["done", "running", "missing"]
_PAGES = {"train": "train", "evaluate": "zero_shot", "collect": "gallery", "interpret": "interpret", "steer": "steer"}
_WHAT = {
    "manifest": "Images listed and split",
    "embed": "Embedded with CLIP",
    "train": "Dictionary trained",
    "evaluate": "Evaluated on held-out images",
    "collect": "Activations collected",
    "interpret": "Latents named",
    "visualize": "Image grids drawn",
    "steer": "An image steered",
}


@dataclass(frozen=True)
class Step:
    """A node of a run as the checklist shows it; `seconds` is what making it took, whenever that was."""

    node: str
    what: str
    state: State
    seconds: float | None
    size: int
    key: str
    page: str | None


def steps(run: sc.pipeline.Recorded, store: sc.Store, running: str | None = None) -> list[Step]:
    """Every node of a run in order; `running` is the node a job is at."""
    found = []
    for name, node in sc.pipeline.plan(run.config).items():
        if node.stage.name in sc.pipeline.ON_REQUEST:
            continue
        key = run.keys[name]
        stage, _, domain = name.partition(":")
        what = _WHAT[stage] + (f" ({domain})" if domain else "")
        if store.has(key):
            manifest = store.open(key).manifest
            size = sum(file["size"] for file in manifest["files"].values())
            found.append(Step(name, what, "done", float(manifest["seconds"]), size, key, _PAGES.get(stage)))
        else:
            found.append(Step(name, what, "running" if name == running else "missing", None, 0, key, _PAGES.get(stage)))
    return found
