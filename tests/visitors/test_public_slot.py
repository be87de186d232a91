"""The one slot of a public app: one job at a time, capped, of one visitor, without the owner's secrets."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import sae_core as sc
from sae_core import jobs, visitors
from sae_core.config import public
from sae_core.config.public import Limits
from tests.visitors.conftest import changed, listing


def test_of_fifty_requests_at_once_exactly_one_runs(
    demo_cache: Path, held_worker: list[subprocess.Popen[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Barrier(50)
    ended: list[str] = []

    def ask(number: int) -> None:
        store = visitors.prepare(visitors.cache_of(f"visitor {number}"), demo_cache)
        gate.wait()
        try:
            jobs.start("train", changed(sae__seed=number), store)
            ended.append("started")
        except sc.InputError as error:
            ended.append(str(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended.count("started") == 1
    assert ended.count(visitors.BUSY) == 49
    assert len(held_worker) == 1
    assert sum("refused: a job" in record.message for record in caplog.records) == 49


def test_the_same_job_again_is_the_same_and_the_slot_is_free_when_its_process_is_gone(
    demo_cache: Path, held_worker: list[subprocess.Popen[bytes]]
) -> None:
    one, two = (visitors.prepare(visitors.cache_of(name), demo_cache) for name in ("one", "two"))
    config = changed(sae__seed=1)
    first = jobs.start("train", config, one)
    assert jobs.start("train", config, one).id == first.id
    assert len(held_worker) == 1
    with pytest.raises(sc.InputError, match="another visitor"):
        jobs.start("train", config, two)
    held_worker[0].kill()
    held_worker[0].wait()
    assert jobs.start("train", config, two).active
    assert len(held_worker) == 2


def test_a_silent_worker_that_is_alive_keeps_the_slot(demo_cache: Path, held_worker: list[subprocess.Popen[bytes]]) -> None:
    one, two = (visitors.prepare(visitors.cache_of(name), demo_cache) for name in ("one", "two"))
    job = jobs.start("train", changed(sae__seed=1), one)
    status = json.loads((job.folder / "status.json").read_text())
    (job.folder / "status.json").write_text(json.dumps({**status, "heartbeat": status["heartbeat"] - 3600}))
    assert jobs.read(one, job.id).state == "interrupted"
    with pytest.raises(sc.InputError, match="another visitor"):
        jobs.start("train", changed(sae__seed=2), two)


def test_no_job_works_in_the_shared_cache(demo_cache: Path, held_worker: list[subprocess.Popen[bytes]]) -> None:
    before = listing(demo_cache)
    with pytest.raises(sc.InputError, match="cannot be changed"):
        jobs.start("train", changed(sae__seed=9), sc.Store(demo_cache))
    assert held_worker == []
    assert listing(demo_cache) == before


def test_a_job_above_the_limits_is_not_started_and_logged(
    demo_cache: Path, held_worker: list[subprocess.Popen[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    store = visitors.prepare(visitors.cache_of("one"), demo_cache)
    with pytest.raises(sc.InputError, match=r"sae\.steps"):
        jobs.start("train", changed(sae__steps=10**9), store)
    assert held_worker == []
    assert "refused: a job " in caplog.text
    assert "sae.steps" in caplog.text


def test_a_visitor_cannot_read_or_stop_anothers_job(demo_cache: Path, held_worker: list[subprocess.Popen[bytes]]) -> None:
    one, two = (visitors.prepare(visitors.cache_of(name), demo_cache) for name in ("one", "two"))
    job = jobs.start("train", changed(sae__seed=1), one)
    for refuse in (jobs.read, jobs.stop, jobs.job_config):
        with pytest.raises((sc.InputError, FileNotFoundError)):
            refuse(two, job.id)
    assert jobs.all_jobs(two) == []
    assert not (job.folder / "stop").exists()


def test_a_worker_gets_none_of_the_owners_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "OPENROUTER_API_KEY", "DB_PASSWORD", "SAE_LAB_VISION_KEY"):
        monkeypatch.setenv(name, "canary")
    mine = jobs._environment(sc.Secret("the-visitors-own"))
    assert [name for name, value in mine.items() if value == "canary"] == []
    assert mine["SAE_LAB_VISION_KEY"] == "the-visitors-own"
    assert mine["SAE_LAB_PUBLIC"] == "1"
    assert {"PATH", "PYTHONPATH"} <= set(mine)


def test_a_worker_stops_itself_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "LIMITS", Limits(job_seconds=-1.0))
    with (
        pytest.raises(sc.Cancelled, match="the most that this public app gives a job"),
        jobs.Worker(tmp_path, "train").working() as w,
    ):
        w(sc.Event("train", 1, 10))
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "cancelled"


def test_a_worker_that_does_not_stop_itself_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "LIMITS", Limits(job_seconds=0.0))
    monkeypatch.setattr(jobs, "GRACE_SECONDS", 0.0)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)
    jobs._end(process)
    assert process.returncode == -9
