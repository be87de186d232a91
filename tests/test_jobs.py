"""Detached jobs: they outlive whoever started them, one for one work, stopped, killed and resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from sae_core import jobs
from sae_core.config import RunConfig, load_config
from sae_core.errors import InputError
from sae_core.store import Store

ROOT = Path(__file__).parents[1]


def config_of(folder: Path, *more: str) -> RunConfig:
    settings = ["data.encoder=test", "sae.width=32", "sae.architecture.k=4", "sae.batch_size=64", "evaluate.bootstrap=100"]
    return load_config(ROOT / "configs" / "embeddings.yaml", [f"data.path={folder}", *settings, *more])


def wait(store: Store, job: jobs.Job, until: Callable[[jobs.Job], bool], seconds: float = 300) -> jobs.Job:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job = jobs.read(store, job.id)
        if until(job):
            return job
        time.sleep(0.05)
    raise AssertionError(f"still {job.state} at {job.stage} {job.step}/{job.total}: {job.log_tail()}")


def test_a_job_runs_to_its_end_and_leaves_events_status_and_result(captioned_arrays: Callable[..., Path], tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    job = jobs.start("train", config_of(captioned_arrays(), "sae.steps=40"), store)
    job = wait(store, job, lambda j: not j.active)
    assert job.state == "done", job.log_tail()
    assert {event["stage"] for event in job.events()} >= {"manifest:sketch", "embed:sketch", "train"}
    assert all("loss" in e["metrics"] for e in job.events("train") if e["metrics"])
    result = json.loads((job.folder / "result.json").read_text())
    assert store.has(result["key"])
    assert job.run_id.startswith("run-")
    assert [one.id for one in jobs.all_jobs(store)] == [job.id]


def test_a_second_click_attaches_and_a_stop_keeps_what_was_done(captioned_arrays: Callable[..., Path], tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    config = config_of(captioned_arrays(), "sae.steps=400000")
    job = jobs.start("train", config, store)
    wait(store, job, lambda j: j.stage == "train" and j.step > 50)
    again = jobs.start("train", config, store)
    assert again.id == job.id
    assert json.loads((job.folder / "status.json").read_text())["pid"] == worker_pid(job)
    assert len([p for p in psutil.process_iter(["cmdline"]) if str(job.folder) in (p.info["cmdline"] or [])]) == 1
    jobs.stop(store, job.id)
    stopped = wait(store, job, lambda j: not j.active)
    assert stopped.state == "cancelled"
    resumed = jobs.start("train", config, store)
    resumed = wait(store, resumed, lambda j: j.stage == "train" and j.step > 0)
    first = next(e["step"] for e in resumed.events("train") if e["step"] > 0)
    assert first >= 50
    jobs.stop(store, job.id)
    wait(store, job, lambda j: not j.active)


def worker_pid(job: jobs.Job) -> int:
    return int(json.loads((job.folder / "status.json").read_text())["pid"])


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_killed_worker_is_interrupted_and_resumes(captioned_arrays: Callable[..., Path], tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    config = config_of(captioned_arrays(), "sae.steps=400000")
    job = jobs.start("train", config, store)
    wait(store, job, lambda j: j.state == "running" and j.stage == "train" and j.step > 50)
    os.kill(worker_pid(job), signal.SIGKILL)
    assert wait(store, job, lambda j: not j.active).state == "interrupted"
    again = jobs.start("train", config, store)
    assert wait(store, again, lambda j: j.state == "running" and j.stage == "train").active
    jobs.stop(store, job.id)
    assert wait(store, job, lambda j: not j.active).state == "cancelled"


def test_a_failed_job_says_why_in_one_line(captioned_arrays: Callable[..., Path], tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    folder = captioned_arrays()
    config = config_of(folder)
    (folder / "metadata.csv").unlink()
    job = wait(store, jobs.start("train", config, store), lambda j: not j.active)
    assert job.state == "failed"
    assert job.error
    assert "\n" not in job.error
    assert "Traceback" not in job.log_tail(100)


def test_a_job_outlives_the_process_that_started_it(captioned_arrays: Callable[..., Path], tmp_path: Path) -> None:
    folder = captioned_arrays()
    code = (
        "import sys; from sae_core import jobs; from sae_core.config import load_config; from sae_core.store import Store\n"
        "c = load_config(sys.argv[1], sys.argv[3:]); print(jobs.start('train', c, Store(sys.argv[2])).id)"
    )
    settings = ["data.encoder=test", "sae.width=32", "sae.architecture.k=4", "sae.batch_size=64", "sae.steps=60"]
    argv = [sys.executable, "-c", code, str(ROOT / "configs" / "embeddings.yaml"), str(tmp_path / "c")]
    argv += [f"data.path={folder}", *settings]
    started = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    store = Store(tmp_path / "c")
    job = wait(store, jobs.read(store, started.stdout.strip()), lambda j: not j.active)
    assert job.state == "done", job.log_tail()


@pytest.mark.parametrize("identity", ["../x", "job-1", "", "job-0123456789abcdef"])
def test_what_is_no_job_is_refused(identity: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no job"):
        jobs.read(Store(tmp_path), identity)
