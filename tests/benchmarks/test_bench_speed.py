"""Turns over real pipes, ratios within a round, and the floor."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from benchmarks.train_speed import Shape, described, floor_rate, paired
from benchmarks.workers import Quiet, Worker, WorkerError, available, interleave
from sae_core.errors import InputError

FAKE = """
import json, sys, time
turn = 0
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] == "die":
        raise SystemExit(3)
    if request["op"] == "fail":
        answer = {"error": "ValueError: no"}
    else:
        turn += 1
        with open(sys.argv[1], "a") as log:
            log.write(f"{sys.argv[2]} begins\\n")
            log.flush()
            time.sleep(0.02)
            log.write(f"{sys.argv[2]} ends\\n")
        answer = {"rate": float(sys.argv[3]) * turn}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[dict[str, Worker]]:
    script, log = tmp_path / "fake.py", tmp_path / "turns.log"
    script.write_text(FAKE, encoding="utf-8")
    workers = {
        n: Worker([sys.executable, str(script), str(log), n, rate], tmp_path / "err.log") for n, rate in (("a", "10"), ("b", "5"))
    }
    yield workers
    for worker in workers.values():
        worker.close()


def test_turns_never_overlap_and_every_round_has_everybody_once(pair: dict[str, Worker], tmp_path: Path) -> None:
    turns = {name: partial(lambda w: w.ask("steps")["rate"], worker) for name, worker in pair.items()}
    rates = interleave(turns, 3, lambda text: None)
    assert rates == {"a": [10, 20, 30], "b": [5, 10, 15]}
    order = ["a", "b", "b", "a", "a", "b"]  # every other round backwards
    expected = [f"{name} {what}" for name in order for what in ("begins", "ends")]
    assert (tmp_path / "turns.log").read_text(encoding="utf-8").splitlines() == expected
    assert paired(rates["a"], rates["b"]) == 2


def test_a_failed_request_and_a_dead_worker_are_told_by_name(pair: dict[str, Worker]) -> None:
    with pytest.raises(WorkerError, match=r"some/trainer: ValueError: no"):
        pair["a"].ask("fail", peer="some/trainer")
    assert pair["a"].ask("steps")["rate"] == 10  # it lives on
    with pytest.raises(WorkerError, match="exit code 3"):
        pair["b"].ask("die")
    with pytest.raises(WorkerError, match="exit code 3"):
        pair["b"].ask("steps")


def test_how_quiet_the_machine_was_is_told_and_a_loud_one_is_a_warning(pair: dict[str, Worker]) -> None:
    with Quiet(pair.values()) as quiet:
        pair["a"].ask("steps")
    assert quiet.others >= 0
    quiet.others = 0.5
    assert quiet.line().startswith("**Not a quiet machine.**")
    quiet.others = 0.01
    assert quiet.line().startswith("Load average")


def test_ratios_are_taken_within_rounds() -> None:
    # A disturbance in the third round slows both; the ratio of the medians would be 100 / 40.
    assert paired([100, 100, 50], [50, 40, 25]) == 2


def test_the_floor_is_the_gemm_and_8dk_at_its_rate() -> None:
    d, m, k, flops = 512, 8192, 32, 1e11
    gemm = flops / (2 * d * m)
    assert floor_rate(gemm, m, k) == pytest.approx(flops / (2 * d * m + 8 * d * k), rel=1e-12)
    assert floor_rate(gemm, m, 0) == gemm


def test_settings_are_said_in_words() -> None:
    assert described({"precision": "fp32", "sparse": False}, 1) == "fp32, 1 thread"
    assert described({"precision": "fp32", "sparse": True}, 2) == "fp32, sparse, 2 threads"


def test_shapes_are_read_and_nonsense_is_refused() -> None:
    assert Shape.read("512x8192x2048") == Shape(512, 8192, 2048)
    assert str(Shape.read("512x8192x2048")) == "d512 F8192 B2048"
    for text in ("512x8192", "axbxc", "1x2x3x4"):
        with pytest.raises(InputError, match="512x8192x2048"):
            Shape.read(text)


def test_without_the_peers_python_our_rows_remain_and_one_line_says_why(tmp_path: Path) -> None:
    said: list[str] = []
    names = ["ours/topk", "dictionary_learning/topk", "gemm/fp32"]
    assert available(names, tmp_path / "python", said.append) == ["ours/topk", "gemm/fp32"]
    assert len(said) == 1
    assert "requirements-peers.txt" in said[0]
    assert available(names, Path(sys.executable), said.append) == names
    assert len(said) == 1
