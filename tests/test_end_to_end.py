"""The issue's own promises, through the command line: the demo's bars, real input, and a kill in the middle of the work."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sae_core.store import Store

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "configs" / "demo.yaml"


def command(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "sae_core", *words]


def run(*words: str) -> dict[str, Any]:
    """Runs a command to its end; the one JSON object on its standard output."""
    done = subprocess.run(command([*words, "--json"]), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def first_keys(printed: dict[str, Any]) -> list[str]:
    return [stage["key"] for stage in printed["stages"]]


def test_the_demo_reaches_its_bars_and_is_cached_the_second_time(tmp_path: Path) -> None:
    words = ["run", "--config", str(DEMO), "--cache", str(tmp_path)]
    first = run(*words)
    metrics = first["metrics"]
    assert metrics["sketch.accuracy_clip"] >= 0.90
    assert metrics["photo.accuracy_clip"] >= 0.85
    assert metrics["r2"] >= 0.90
    assert metrics["l0"] <= 16
    assert metrics["sketch.delta"] >= -0.02
    assert metrics["dead_fraction"] <= 0.10
    again = run(*words)
    assert all(stage["cached"] for stage in again["stages"])
    assert again["metrics"] == metrics
    store = Store(tmp_path)
    faults = [store.verify(key) for key in first_keys(first)]
    assert faults == [[]] * len(first["stages"])


def test_real_line_drawings_as_precomputed_embeddings(shared_data: Path, tmp_path: Path) -> None:
    arrays = ROOT / "configs" / "embeddings.yaml"
    words = ["evaluate", "--config", str(arrays), "--cache", str(tmp_path)]
    words += ["--set", f"data.path={shared_data}/design-patents-2007"]
    metrics = run(*words)["metrics"]
    assert metrics["sketch.n"] == 200
    assert metrics["r2"] > 0.655  # PCA with as many components, on a split of this size
    for k in (1, 5, 10):
        assert 0 < metrics[f"sketch.recall_{k}_sae"] <= metrics[f"sketch.recall_{k}_clip"] + 0.05


def test_real_folders_with_the_bundled_model(shared_data: Path, tmp_path: Path) -> None:
    pacs = shared_data / "pacs-subset"
    words = ["evaluate", "--config", str(ROOT / "configs" / "folders.yaml"), "--cache", str(tmp_path)]
    words += ["--set", f"data.sketch.path={pacs}/sketch", "--set", f"data.photo.path={pacs}/photo"]
    metrics = run(*words)["metrics"]
    for domain in ("sketch", "photo"):
        assert metrics[f"{domain}.n"] >= 40
        # Poor, since the model has seen no real picture, and reported as it is.
        assert 0.2 < metrics[f"{domain}.accuracy_clip"] < 0.95
        assert metrics[f"{domain}.delta_ci_low"] <= metrics[f"{domain}.delta"] <= metrics[f"{domain}.delta_ci_high"]


def kill_when(words: list[str], ready: Callable[[], bool]) -> None:
    process = subprocess.Popen(command(words), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 300
    try:
        while not ready():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < end, "nothing to kill came"
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_killed_in_embedding_and_in_training_it_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    settings = ["data.sketch.n=700", "data.photo.n=120", "clip.shard_rows=64", "clip.batch_size=32", "sae.width=256"]
    settings += ["sae.steps=6000", "sae.architecture.k=8", "evaluate.bootstrap=100"]
    common = ["evaluate", "--config", str(DEMO), *[word for pair in settings for word in ("--set", pair)]]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    receipts = "embed/.partial-*/receipts/*.json"
    kill_when([*common, "--cache", str(killed)], lambda: 2 <= len(list(killed.glob(receipts))) < 11)
    done_before = {p.name: p.stat().st_mtime_ns for p in killed.glob(receipts)}
    kill_when([*common, "--cache", str(killed)], lambda: any(killed.glob("train/.partial-*/state/*")))
    times = {p.stat().st_mtime_ns for p in killed.glob("embed/*/receipts/*.json")}
    assert set(done_before.values()) <= times, "finished shards were done again"
    assert not list(killed.glob("train/train-*"))
    resumed = run(*common, "--cache", str(killed))
    uninterrupted = run(*common, "--cache", str(whole))
    assert resumed["key"] == uninterrupted["key"]
    assert resumed["metrics"] == uninterrupted["metrics"]
    for name in ("train/*/sae.safetensors", "embed/*/shards/*.npy"):
        a, b = ({p.relative_to(root): p.read_bytes() for p in root.glob(name)} for root in (killed, whole))
        assert a == b
        assert a
