"""Every peer and variant at a tiny shape, by its own package, where the peers' environment is."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.peers import PEERS
from benchmarks.workers import ROOT, Worker

PYTHON = Path(os.environ.get("SAE_LAB_PEERS", ROOT / ".peers" / "bin" / "python"))
pytestmark = pytest.mark.skipif(
    not PYTHON.is_file(), reason=f"no peers' python at {PYTHON}: see requirements-peers.txt, or set SAE_LAB_PEERS to it"
)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with Worker([str(PYTHON), "-m", "benchmarks.peers"], tmp_path_factory.mktemp("peers") / "log") as one:
        yield one


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    np.save(path, np.random.default_rng(0).normal(size=(320, 64)).astype(np.float32) + 1)
    return path


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_trains_by_its_own_steps_and_writes_what_it_reconstructs(
    name: str, worker: Worker, rows: Path, tmp_path: Path
) -> None:
    job: dict[str, Any] = {"peer": name, "rows": str(rows), "m": 256, "k": 8, "batch": 64}
    fastest = worker.ask("calibrate", cores=1, n=1, steps=1000, **job)
    assert not [one["error"] for one in fastest["tried"] if "error" in one]
    assert worker.ask("steps", n=2)["rows"] == 128
    assert worker.ask("build", steps=400, lr=3e-3, tuned=True, standardise=True, seed=1, **job)["lr"] == pytest.approx(3e-3)
    assert worker.ask("train")["rows"] == 400 * 64
    l0 = worker.ask("finish", sets={"test": str(rows)}, out=str(tmp_path))["l0"]["test"]
    x, x_hat = np.load(rows), np.load(tmp_path / "test.x_hat.npy")
    assert ((x - x_hat) ** 2).sum() < 0.95 * ((x - x.mean(0)) ** 2).sum()  # more than the mean: it learned
    counts = np.load(tmp_path / "test.counts.npy")
    assert counts.shape == (256,)
    assert counts.sum() / len(x) == pytest.approx(l0)
    if name.endswith("/topk"):
        assert l0 <= 8
    assert np.load(tmp_path / "decoder.npy").shape == (256, 64)
    assert not list(tmp_path.glob("*.pt"))


def test_the_pins_are_what_is_installed(worker: Worker) -> None:
    pins = [
        line.split("==") for line in (ROOT / "requirements-peers.txt").read_text(encoding="utf-8").splitlines() if "==" in line
    ]
    assert {"dictionary-learning", "sae-lens", "overcomplete", "eai-sparsify", "torch"} <= {name for name, _ in pins}
    found = worker.ask("versions", packages=[name for name, _ in pins])["versions"]
    assert {name: found[name].split("+")[0] for name, _ in pins} == dict(pins)


def test_the_peers_worker_needs_nothing_of_this_project() -> None:
    code = "import sys, benchmarks.peers; print([m for m in sys.modules if m.startswith(('sae_core', 'streamlit'))])"
    done = subprocess.run([str(PYTHON), "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
