"""The train stage: a complete artifact, the same wherever it is made, and from training rows only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sae_core import pipeline
from sae_core.config import RunConfig, validate
from sae_core.errors import Cancelled
from sae_core.progress import Event, silent
from sae_core.sae.formats import load_sae
from sae_core.sae.train import Trained
from sae_core.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def stage(captioned_arrays: Callable[..., Path], tmp_path: Path) -> Callable[..., pipeline.Outcome]:
    """Runs the pipeline up to train on 240 embeddings with captions, in a cache of the given name."""
    folder = captioned_arrays()

    def run(cache: str = "cache", report: Callable[[Event], None] = silent, **sae: object) -> pipeline.Outcome:
        settings = {"architecture": {"kind": "topk", "k": 4}, "width": 48, "steps": 200, **sae}
        config = validate(
            RunConfig, {"data": {"source": "arrays", "path": str(folder), "encoder": "a/clip"}, "sae": settings}, "test"
        )
        made = pipeline.run("train", config, Store(tmp_path / cache), report)
        return made.outcomes["train"]

    return run


def test_the_artifact_is_complete_and_readable(stage: Callable[..., pipeline.Outcome]) -> None:
    events: list[Event] = []
    outcome = stage(report=events.append)
    files = sorted(path.relative_to(outcome.path).as_posix() for path in outcome.path.rglob("*") if path.is_file())
    checkpoints = [name for name in files if name.startswith("checkpoints/")]
    assert set(files) - set(checkpoints) == {"config.json", "manifest.json", "metrics.jsonl", "sae.safetensors", "train.log"}
    assert 1 <= len(checkpoints) <= 10
    assert all(load_sae(outcome.path / name).m == 48 for name in checkpoints)

    trained = Trained.load(outcome.path)
    assert trained.sae.encoder_id == "a/clip"
    assert set(trained.metrics()) == {"l0", "r2", "r2_uncentred", "cosine", "dead_fraction", "dense_fraction", "loss"}
    assert trained.metrics() == outcome.metrics
    assert trained.metrics()["r2"] > 0.5
    assert trained.metrics()["loss"] == pytest.approx(1 - trained.metrics()["r2"], abs=0.1)

    history = trained.history
    assert {"step", "epoch", "loss", "mse", "l1", "l0", "r2", "dead_fraction", "embeddings_per_second", "lr"} <= set(history)
    assert history["step"].is_monotonic_increasing
    assert history["step"].iloc[-1] == 200
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    log = (outcome.path / "train.log").read_text()
    assert "epoch 1/" in log
    assert all(f"| {column} " in log for column in ("loss", "mse", "l1", "l0", "r2", "dead"))

    live = [event for event in events if event.stage == "train" and "loss" in event.metrics]
    assert {"loss", "mse", "l1", "l0", "r2", "dead_fraction", "embeddings_per_second"} <= set(live[-1].metrics)
    assert (live[-1].step, live[-1].total) == (200, 200)


@pytest.mark.parametrize(("architecture", "l0"), [({"kind": "pca", "components": 6}, 6), ({"kind": "kmeans"}, 1)])
def test_a_control_makes_the_same_artifact(stage: Callable[..., pipeline.Outcome], architecture: dict[str, Any], l0: int) -> None:
    trained = Trained.load(stage(architecture=architecture, width=16).path)
    assert trained.sae.architecture.kind == architecture["kind"]
    assert set(trained.metrics()) == set(Trained.load(stage().path).metrics())
    assert trained.metrics()["l0"] == l0
    assert list(trained.history["r2"]) == pytest.approx([trained.metrics()["r2"]])


def test_the_same_seed_gives_the_same_artifact_anywhere(stage: Callable[..., pipeline.Outcome]) -> None:
    one, other, third = stage("a"), stage("b"), stage("a", seed=1)
    assert one.metrics == other.metrics
    assert load_sae(one.path).sha256 == load_sae(other.path).sha256
    assert load_sae(third.path).sha256 != load_sae(one.path).sha256


def test_a_stage_that_was_stopped_while_measuring_does_not_train_again(stage: Callable[..., pipeline.Outcome]) -> None:
    def report(event: Event) -> None:
        if event.stage == "train" and event.step == event.total > 0:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        stage("a", report)
    steps: list[int] = []
    resumed = stage("a", lambda event: steps.append(event.step) if event.stage == "train" and event.metrics else None)
    assert not [step for step in steps if 0 < step < 200]
    assert resumed.metrics == stage("b").metrics


def test_test_rows_are_not_trained_on(stage: Callable[..., pipeline.Outcome]) -> None:
    training = json.loads((stage().path / "config.json").read_text())["training"]
    assert training["rows"] + training["held_out_rows"] == 192  # four fifths of 240
    assert training["held_out_rows"] == 19
