"""The workers' protocol, on our own trainer at a tiny shape."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.ours import TRAINERS
from benchmarks.protocol import Session, Trainee, _ids, serve
from benchmarks.workers import ROOT

KINDS = [
    "topk",
    "batch_topk",
    "matryoshka",
    "relu_l1",
    "gated",
    "jumprelu",
    "random",
    "topk+bf16",
    "batch_topk+bf16",
    "matryoshka+bf16",
]


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    x = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32) + 1
    np.save(tmp_path / "rows.npy", x)
    return {"peer": "ours/topk", "rows": str(tmp_path / "rows.npy"), "m": 64, "k": 4, "batch": 32, "steps": 30}


def test_a_worker_process_answers_on_stdout_and_nothing_else_stands_there(job: dict[str, Any], tmp_path: Path) -> None:
    sets = {"test": job["rows"]}
    asked = [
        {"op": "calibrate", "cores": 1, "n": 1, **job},
        {"op": "steps", "n": 3},
        {"op": "nonsense"},
        {"op": "build", **job},
        {"op": "train"},
        {"op": "finish", "sets": sets, "out": str(tmp_path / "out")},
    ]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ours"],
        cwd=ROOT,
        input="\n".join(map(json.dumps, asked)),
        capture_output=True,
        text=True,
        check=True,
    )
    calibrated, stepped, refused, built, trained, finished = (json.loads(line) for line in done.stdout.splitlines())
    assert calibrated["threads"] == built["threads"] == 1
    assert stepped["rows"] == 3 * 32
    assert "nonsense" in refused["error"]
    assert trained["rows"] == 30 * 32
    assert finished == {"l0": {"test": pytest.approx(4)}}
    x, x_hat = np.load(job["rows"]), np.load(tmp_path / "out" / "test.x_hat.npy")
    assert ((x - x_hat) ** 2).sum() < ((x - x.mean(0)) ** 2).sum()
    assert np.load(tmp_path / "out" / "test.counts.npy").sum() == 4 * 400
    assert np.load(tmp_path / "out" / "decoder.npy").shape == (64, 16)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_steps_through_the_trainer_that_train_sae_makes(kind: str, job: dict[str, Any], tmp_path: Path) -> None:
    session = Session(TRAINERS)
    assert "error" not in session.answer({"op": "build", **job, "peer": f"ours/{kind}", "setting": {}})
    assert "error" not in session.answer({"op": "steps", "n": 4})
    trainer = session.trainee.trainer  # type: ignore[union-attr]
    assert trainer.step == 4
    assert trainer.halved == kind.endswith("+bf16")
    answer = session.answer({"op": "finish", "sets": {"test": job["rows"]}, "out": str(tmp_path)})
    assert answer["l0"]["test"] >= 0


def test_failed_requests_are_answered_in_one_line_and_the_next_is_served(job: dict[str, Any]) -> None:
    requests = [
        {"op": "steps", "n": 1},
        {"op": "build", **job, "wrong": 1},
        {"op": "build", **job, "peer": "x"},
        {"op": "build", **job},
    ]
    answers = io.StringIO()
    serve(Session(TRAINERS), io.StringIO("\n".join(map(json.dumps, requests)) + "\n\n"), answers)
    first, second, third, last = (json.loads(line) for line in answers.getvalue().splitlines())
    assert "build a trainer first" in first["error"]
    assert "wrong" in second["error"]
    assert "ours/topk" in third["error"]
    assert last["setting"] == {"precision": "fp32"}


@pytest.mark.alone
def test_calibration_keeps_the_fastest_setting_that_works(job: dict[str, Any]) -> None:
    import time

    class Settable(Trainee):
        lr = None

        @classmethod
        def offers(cls, device: str) -> list[dict[str, Any]]:
            return [{"pace": "slow"}, {"pace": "broken"}, {"pace": "fast"}]

        def step(self, x: torch.Tensor) -> None:
            pace = self.job.setting["pace"]
            if pace == "broken":
                raise RuntimeError("not here")
            time.sleep(0.02 if pace == "slow" else 0.001)

    best = Session({"x": Settable}).op_calibrate(1, 2, **{**job, "peer": "x"})
    assert best["setting"] == {"pace": "fast"}
    assert [one.get("error") for one in best["tried"]] == [None, "RuntimeError: not here", None]


def test_standardised_rows_have_mean_0_and_mean_square_norm_1_and_reconstructions_are_raw_again(
    job: dict[str, Any], tmp_path: Path
) -> None:
    seen = []

    class Echo(Trainee):
        lr = None

        def step(self, x: torch.Tensor) -> None:
            seen.append(x)

        def frozen(self) -> Any:
            return lambda u: (u, u)

        def decoder(self) -> torch.Tensor:
            return torch.eye(16)

    session = Session({"x": Echo})
    session.op_build(**{**job, "peer": "x", "batch": 400, "standardise": True})
    session.op_steps(1)
    assert seen[0].mean(0).abs().max() < 1e-6
    assert float(seen[0].square().sum(1).mean()) == pytest.approx(1, rel=1e-5)
    session.op_finish({"test": job["rows"]}, str(tmp_path))
    np.testing.assert_allclose(np.load(tmp_path / "test.x_hat.npy"), np.load(job["rows"]), atol=1e-5)


def test_batches_are_whole_permutations_that_the_seed_decides() -> None:
    def drawn(seed: int) -> torch.Tensor:
        ids = _ids(10, 4, seed, "cpu")
        return torch.cat([next(ids) for _ in range(5)])

    first = drawn(0)
    assert sorted(first[:10].tolist()) == sorted(first[10:].tolist()) == list(range(10))
    assert first.tolist() != list(range(10)) * 2
    assert torch.equal(first, drawn(0))
    assert not torch.equal(first, drawn(1))


def test_the_bare_gemm_is_the_encoders(job: dict[str, Any]) -> None:
    session = Session(TRAINERS)
    session.op_build(**{**job, "peer": "gemm/fp32"})
    session.op_steps(1)
    gemm = session.trainee
    torch.testing.assert_close(gemm.out, gemm.x @ gemm.w.T)  # type: ignore[union-attr]
    assert tuple(gemm.out.shape) == (32, 64)  # type: ignore[union-attr]


HUNGRY = """
import json, sys
import torch
from benchmarks.protocol import Session, Trainee

held = []

class Hungry(Trainee):
    lr = None

    def step(self, x):
        if self.job.m > 64:
            held.append(torch.ones(16 * 2**20 // 4))  # 16 MiB

print(json.dumps(Session({"x": Hungry}).op_memory(n=3, **json.loads(sys.argv[1]))))
"""


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="no /proc/self/clear_refs to reset the peak of memory with"
)
@pytest.mark.alone
def test_memory_counts_what_training_adds(job: dict[str, Any]) -> None:
    # In a process of its own, as in the benchmark: what this one has freed would be used again, and nothing would grow.
    request = json.dumps({**job, "peer": "x", "m": 128})
    found = json.loads(subprocess.run([sys.executable, "-c", HUNGRY, request], capture_output=True, check=True).stdout)
    assert 48 <= found["mib"] < 60
