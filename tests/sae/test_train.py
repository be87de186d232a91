"""Training from end to end: it learns, it is the same every time, and neither a kill nor a stop changes what comes out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

import sae_core.sae.trainer as loop
from sae_core.config import (
    Architecture,
    BatchTopK,
    Gated,
    JumpRelu,
    Matryoshka,
    Random,
    ReluL1,
    SaeConfig,
    TopK,
)
from sae_core.errors import Cancelled, InputError
from sae_core.progress import Event, silent
from sae_core.sae import checkpoint
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Arrays, Pool
from sae_core.sae.monitor import measure
from sae_core.sae.train import _fit, train_sae

Floats = NDArray[np.float32]
World = Callable[..., tuple[Floats, torch.Tensor]]
CPU = torch.device("cpu")
SMALL = SaeConfig(architecture=TopK(k=4), width=96, steps=120, batch_size=64, log_every=10)
pytestmark = pytest.mark.usefixtures("one_thread")


def pool(x: Floats) -> Pool:
    return Pool([(Arrays([x]), np.arange(len(x)))], x.shape[1])


def fit(config: SaeConfig, x: Floats, folder: Path | None, report: Callable[[Event], None] = silent) -> SAE:
    if folder is not None:
        folder.mkdir(exist_ok=True)
    return _fit(config, pool(x), np.arange(len(x)), None, folder, report, CPU)[0]


def r2(sae: SAE, x: Floats) -> float:
    return measure(sae, pool(x), CPU).metrics()["r2"]


# ---------------------------------------------------------------- it learns


def test_it_finds_the_true_directions(sparse_world: World) -> None:
    x, truth = sparse_world(6000)
    sae = train_sae(x[:5000], k=3, width=128, steps=800, batch_size=256, seed=0)
    found = measure(sae, pool(x[5000:]), CPU).metrics()
    assert found["r2"] > 0.9
    assert found["l0"] <= 3
    similarity = truth @ torch.nn.functional.normalize(sae.decoder, dim=1).T
    assert similarity.amax(1).mean() > 0.98
    torch.testing.assert_close(sae.decoder.norm(dim=1), torch.ones(128))


def test_few_rows_are_warned_of_and_the_best_weights_are_kept(sparse_world: World) -> None:
    x, _ = sparse_world(1200, features=256, active=8)
    events: list[Event] = []
    sae = train_sae(x[:200], k=8, width=512, steps=1500, lr=2e-2, report=events.append)
    assert "180 training rows are few for 512 latents" in events[0].message
    seen = [event.metrics["held_out_r2"] for event in events if "held_out_r2" in event.metrics]
    # It overfits: the last weights are worse than the best, and the best are what comes back.
    assert seen[-1] < max(seen) - 0.01
    held = measure_held_out(x[:200], sae)
    assert held == pytest.approx(max(seen), abs=1e-6)


def measure_held_out(x: Floats, sae: SAE) -> float:
    from sae_core.sae.batches import held_out

    return r2(sae, x[held_out(np.arange(len(x)), 0.1, 2048, 0)])


def test_relu_l1_gets_sparser_with_its_penalty(sparse_world: World) -> None:
    x, _ = sparse_world(2000)
    l0 = {}
    for l1 in (1e-4, 1e-2):
        sae = train_sae(x, {"kind": "relu_l1", "l1": l1}, width=128, steps=400, batch_size=128, lr=3e-3)
        found = measure(sae, pool(x), CPU).metrics()
        l0[l1] = found["l0"]
        assert found["r2"] > 0.5
    assert l0[1e-2] < l0[1e-4] / 2


def test_a_frozen_decoder_stays_as_it_began(sparse_world: World) -> None:
    x, _ = sparse_world(500)
    settings = {"width": 64, "init": "seed_project", "scaling": "none", "batch_size": 32}
    first, later = (train_sae(x, {"kind": "relu_l1", "frozen_decoder": True}, steps=steps, **settings) for steps in (1, 50))
    assert torch.equal(first.decoder, later.decoder)
    assert not torch.equal(first.weights["W_enc"], later.weights["W_enc"])
    assert (first.scale, float(first.mean.abs().max())) == (1, 0)


def test_arrays_lists_files_and_tensors_are_one_input(sparse_world: World, tmp_path: Path) -> None:
    x, _ = sparse_world(300)
    np.save(tmp_path / "a.npy", x[:100])
    settings = {"k": 4, "width": 64, "steps": 5}
    hashes = {
        train_sae(given, **settings).sha256
        for given in (x, torch.from_numpy(x), [x[:100], x[100:]], [tmp_path / "a.npy", x[100:]])
    }
    assert len(hashes) == 1
    assert train_sae(x, **settings, seed=1).sha256 not in hashes


@pytest.mark.parametrize("kind", ["topk", "batch_topk", "matryoshka", "jumprelu", "gated", "random", "pca", "kmeans"])
@pytest.mark.parametrize("x", [np.full((40, 4), 3.0), np.zeros((40, 4))], ids=["constant", "zero"])
def test_constant_rows_train_to_their_mean(x: np.ndarray, kind: str) -> None:
    sae = train_sae(x.astype(np.float32), kind, k=None if kind == "kmeans" else 2, width=16, steps=30)
    np.testing.assert_allclose(sae(x.astype(np.float32)), x, atol=1e-2)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: train_sae(np.zeros((9, 4), dtype=np.float32), k=9, width=8), "k = 9 is above the dictionary size"),
        (lambda: train_sae(np.zeros((9, 4), dtype=np.float32), widht=8), "unknown key widht"),
        (lambda: train_sae(np.zeros((9, 4), dtype=int)), "dtype int64; give floats"),
        (lambda: train_sae(np.zeros(9, dtype=np.float32)), r"must be arrays \[n, d\]"),
        (lambda: train_sae(np.zeros((1, 4), dtype=np.float32)), "there are 1 rows to train on"),
        (lambda: train_sae(["missing.npy"]), "cannot read embeddings from missing.npy"),
        (lambda: train_sae(np.full((30, 4), np.nan, dtype=np.float32)), "holds NaN"),
        (lambda: train_sae(np.ones((30, 4), dtype=np.float32), device="tpu9"), "device 'tpu9' is not available"),
    ],
)
def test_bad_input_is_one_line(call: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_diverging_run_says_so() -> None:
    x = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32) * 1e19
    with pytest.raises(InputError, match=r"training diverged at step .*; lower sae.lr"):
        train_sae(x, {"kind": "relu_l1"}, width=8, scaling="none", steps=5)


# ---------------------------------------------------------------- it is the same every time

KILLED = """
import os, signal, sys
import numpy as np, torch
torch.set_num_threads(1)
import sae_core.sae.trainer as loop
loop.STATE_SECONDS = 0.0 if sys.argv[3] == "often" else 1e9
from test_train import SMALL, fit
from pathlib import Path
from typing import Any

def report(event):
    if event.step >= int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

fit(SMALL, np.load(Path(sys.argv[1]) / "x.npy"), Path(sys.argv[1]) / "out", report)
"""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Floats, Path, str]:
    """Rows, the folder of a training of them that was left alone, and the hash of what came out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    x = np.random.default_rng(3).normal(size=(700, 16)).astype(np.float32)
    folder = tmp_path_factory.mktemp("whole")
    sha = fit(SMALL, x, folder).sha256
    torch.set_num_threads(threads)
    return x, folder, sha


@pytest.mark.parametrize(("step", "how_often"), [(50, "often"), (80, "never")])
def test_a_killed_training_goes_on_to_the_same_bits(
    step: int, how_often: str, uninterrupted: tuple[Floats, Path, str], tmp_path: Path
) -> None:
    x, whole, sha = uninterrupted
    np.save(tmp_path / "x.npy", x)
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), str(Path(__file__).parent)])
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(step), how_often],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    out = tmp_path / "out"
    saved = list((out / "state").glob("state-*")) if (out / "state").is_dir() else []
    assert bool(saved) == (how_often == "often")
    said: list[str] = []
    sae = fit(SMALL, x, out, lambda event: said.append(event.message))
    assert sae.sha256 == sha
    assert any("going on from step" in message for message in said) == (how_often == "often")
    assert_same_logs(out, whole)


def assert_same_logs(one: Path, other: Path) -> None:
    """Nothing lost, nothing doubled: the logs agree but for the pace, the checkpoints to the byte."""
    frames = [pd.read_json(folder / "metrics.jsonl", lines=True).drop(columns="embeddings_per_second") for folder in (one, other)]
    assert frames[0]["step"].tolist() == frames[1]["step"].tolist()
    assert frames[0]["held_out_r2"].equals(frames[1]["held_out_r2"])
    assert (one / "train.log").read_text() == (other / "train.log").read_text()
    for file in (other / "checkpoints").iterdir():
        assert (one / "checkpoints" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("stops", [[10], [33, 34, 90], [120]])
def test_a_stopped_training_goes_on_to_the_same_bits(
    stops: list[int], uninterrupted: tuple[Floats, Path, str], tmp_path: Path
) -> None:
    x, whole, sha = uninterrupted
    for stop in stops:

        def report(event: Event, stop: int = stop) -> None:
            if event.step >= stop and event.metrics:
                raise Cancelled("stop")

        with pytest.raises(Cancelled):
            fit(SMALL, x, tmp_path, report)
        assert list((tmp_path / "state").glob("state-*"))
    assert fit(SMALL, x, tmp_path).sha256 == sha
    assert_same_logs(tmp_path, whole)


def test_small_runs_are_equal_to_the_bit_on_any_number_of_threads(uninterrupted: tuple[Floats, Path, str]) -> None:
    x, _, sha = uninterrupted
    torch.set_num_threads(2)
    assert fit(SMALL, x, None).sha256 == sha
    assert torch.get_num_threads() == 2


def test_the_state_of_another_training_is_not_resumed(uninterrupted: tuple[Floats, Path, str], tmp_path: Path) -> None:
    x, _, sha = uninterrupted
    stop_at(SMALL.model_copy(update={"lr": 0.05}), x, tmp_path, 50)
    said: list[str] = []
    assert fit(SMALL, x, tmp_path, lambda event: said.append(event.message)).sha256 == sha
    assert any("of another training; beginning anew" in message for message in said)
    assert not (tmp_path / "state").exists()


def stop_at(config: SaeConfig, x: Floats, folder: Path, step: int) -> None:
    def report(event: Event) -> None:
        if event.step >= step:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        fit(config, x, folder, report)


def test_a_damaged_state_gives_way_to_the_one_before(
    uninterrupted: tuple[Floats, Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, _, sha = uninterrupted
    monkeypatch.setattr(loop, "STATE_SECONDS", 0.0)
    stop_at(SMALL, x, tmp_path, 50)
    states = sorted((tmp_path / "state").iterdir())
    assert len(states) == 2
    states[-1].write_bytes(states[-1].read_bytes()[:-9])
    said: list[str] = []
    assert fit(SMALL, x, tmp_path, lambda event: said.append(event.message)).sha256 == sha
    assert any(f"checkpoint {states[-1].name} is damaged" in message for message in said)


def test_when_no_state_is_sound_the_user_is_told(uninterrupted: tuple[Floats, Path, str], tmp_path: Path) -> None:
    x = uninterrupted[0]
    stop_at(SMALL, x, tmp_path, 50)
    for state in (tmp_path / "state").iterdir():
        state.write_bytes(b"")
    with pytest.raises(InputError, match="is damaged and no older one is sound; delete"):
        fit(SMALL, x, tmp_path)


def test_decay_and_clipping_resume_too(tmp_path: Path) -> None:
    x = np.random.default_rng(3).normal(size=(300, 8)).astype(np.float32)
    config = SaeConfig(width=32, steps=60, batch_size=16, optimizer="adamw", weight_decay=0.01, clip_norm=1.0)
    whole = fit(config, x, None).sha256
    stop_at(config, x, tmp_path, 20)
    assert fit(config, x, tmp_path).sha256 == whole


EVERY = [
    ReluL1(frozen_decoder=True),
    BatchTopK(k=4),
    Matryoshka(k=4),
    Gated(l0=4),
    JumpRelu(l0=4),
    Random(k=4),
]


@pytest.mark.parametrize("architecture", EVERY, ids=lambda architecture: architecture.kind)
def test_every_architecture_learns_and_resumes_to_the_same_bits(
    architecture: Architecture, sparse_world: World, tmp_path: Path
) -> None:
    x, _ = sparse_world(3000)
    config = SMALL.model_copy(update={"architecture": architecture, "steps": 400, "epochs": None})
    alone = fit(config, x[:2500], None)
    for stop in (30, 170):
        stop_at(config, x[:2500], tmp_path, stop)
    assert fit(config, x[:2500], tmp_path).sha256 == alone.sha256
    found = measure(alone, pool(x[2500:]), CPU).metrics()
    assert found["r2"] > (0.2 if architecture.kind == "random" else 0.6)
    if architecture.kind != "relu_l1":
        assert found["l0"] == pytest.approx(4, rel=0.25)


def test_batch_topk_has_k_codes_on_rows_it_has_not_seen(sparse_world: World) -> None:
    x, _ = sparse_world(1500, features=256, active=8)  # few rows, which it learns by heart
    for kind in ("batch_topk", "matryoshka"):
        sae = train_sae(x[:500], kind, k=8, width=256, steps=600)
        assert measure(sae, pool(x[500:]), CPU).metrics()["l0"] == pytest.approx(8, rel=0.25)  # its threshold is set on 50 rows


@pytest.mark.alone
def test_a_budget_of_time_becomes_steps_before_the_first(sparse_world: World, tmp_path: Path) -> None:
    x, _ = sparse_world(2000)
    config = SMALL.model_copy(update={"steps": None, "seconds": 1.5})
    start = time.monotonic()
    stop_at(config, x, tmp_path, 40)
    state = checkpoint.load(tmp_path / "state", print)
    assert state is not None
    planned = state.facts["plan"]["steps"]
    fit(config, x, tmp_path)
    assert 0.3 < time.monotonic() - start < 15  # a noisy machine; what is exact is that the resumed run kept the plan
    assert pd.read_json(tmp_path / "metrics.jsonl", lines=True)["step"].iloc[-1] == planned > 40


def test_tensorboard_reads_the_same_metrics(sparse_world: World, tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    x, _ = sparse_world(500)
    _fit(SMALL, pool(x), np.arange(len(x)), None, tmp_path, silent, CPU, events=True)
    events = reader.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    history = pd.read_json(tmp_path / "metrics.jsonl", lines=True)
    read = events.Scalars("r2")
    assert [event.step for event in read] == list(history["step"])
    np.testing.assert_allclose([event.value for event in read], history["r2"], rtol=1e-6)


def test_tensorboard_that_is_not_there_is_asked_for(monkeypatch: pytest.MonkeyPatch, sparse_world: World, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    x, _ = sparse_world(100)
    with pytest.raises(InputError, match="need the tensorboard package"):
        _fit(SMALL, pool(x), np.arange(len(x)), None, tmp_path, silent, CPU, events=True)
