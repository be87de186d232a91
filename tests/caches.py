"""Caches that many tests look at: the demo made small, through the pipeline, once for all tests and all workers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

import sae_core as sc

DEMO = Path(__file__).parents[1] / "configs" / "demo.yaml"
SMALL = [
    "name=small",
    "data.sketch.n=320",
    "data.photo.n=320",
    "sae.width=128",
    "sae.architecture.k=8",
    "sae.batch_size=128",
    "sae.steps=150",
    "evaluate.bootstrap=100",
    "interpret.random_directions=50",
    "steer.random_directions=4",
    "visualize.latents.strongest=2",
]


def small_config() -> sc.RunConfig:
    """The demo, small enough to be made within seconds."""
    return sc.load_config(DEMO, SMALL)


def photo_config() -> sc.RunConfig:
    """The small demo's data with a dictionary that saw photos alone."""
    config = small_config()
    return config.model_copy(update={"name": "photo only", "sae": config.sae.model_copy(update={"domains": ("photo",)})})


def swept_config() -> sc.RunConfig:
    """A grid over the small demo: two dictionaries, two PCAs, k-means."""
    return sc.load_config(DEMO, [*SMALL, "name=small grid", "sweep.architecture=[topk, pca, kmeans]", "sweep.k=[4, 8]"])


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder, made by whoever asks first while the others wait. It is there whole or not at all."""
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            make(partial)
            partial.rename(folder)
    return folder


def make_demo(cache: Path) -> None:
    """One finished run."""
    sc.run(small_config(), cache=cache)


def make_sweep(demo: Path, cache: Path) -> None:
    """The demo's cache with the sweep of its data."""
    shutil.copytree(demo, cache)
    sc.run(swept_config(), cache=cache, stage="sweep")


def make_judged(demo: Path, cache: Path) -> None:
    """The demo's cache with verdicts, map of directions and scan, of its dictionary and of one of photos."""
    shutil.copytree(demo, cache)
    for config in (small_config(), photo_config()):
        for stage in ("geometry", "directions", "scan"):
            sc.run(config, cache=cache, stage=stage)
