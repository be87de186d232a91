"""The frame of a page: whatever goes wrong is one plain line, and the four states of the guard."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import sae_core as sc
from tests.caches import small_config
from tests.pages.conftest import words

Open = Callable[..., AppTest]


def failing(kind: str) -> None:
    import streamlit as st

    import sae_core as sc
    from pages._ui.page import page

    with page("A page", "A question?"):
        if kind == "input":
            raise sc.InputError("width: *must* be `2` or more [got 1]; give 2")
        if kind == "bug":
            raise RuntimeError("secret detail")
        if kind == "stop":
            st.stop()
    st.write("after")


def test_a_wrong_input_is_one_line_shown_as_it_is(on_empty: Path) -> None:
    app = AppTest.from_function(failing, kwargs={"kind": "input"}).run()
    assert [error.value for error in app.error] == [r"width\: \*must\* be \`2\` or more \[got 1\]; give 2"]
    assert not app.exception


def test_a_bug_is_a_plain_line_and_its_traceback_is_in_the_log(on_empty: Path) -> None:
    on_empty.mkdir()
    app = AppTest.from_function(failing, kwargs={"kind": "bug"}).run()
    assert not app.exception
    assert "Something went wrong" in app.error[0].value
    assert "secret" not in words(app)
    assert "RuntimeError: secret detail" in (on_empty / "app.log").read_text()


def test_streamlits_own_stop_passes_the_frame(on_empty: Path) -> None:
    app = AppTest.from_function(failing, kwargs={"kind": "stop"}).run()
    assert not app.error
    assert "after" not in words(app)


@pytest.fixture
def copied(demo_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sc.Store:
    """A cache of the demo's that a test may damage."""
    cache = tmp_path / "cache"
    shutil.copytree(demo_cache, cache)
    monkeypatch.setenv("SAE_LAB_CACHE", str(cache))
    return sc.Store(cache)


def test_a_missing_artifact_is_named_and_one_button_makes_it(copied: sc.Store, open_page: Open) -> None:
    run = sc.pipeline.runs(copied)[0]
    copied.remove(run.keys["evaluate"])
    app = open_page("zero_shot")
    assert "has no evaluation yet" in words(app)
    assert [button.label for button in app.button if button.key.startswith("make-")] == ["Evaluate"]
    app.button(key="make-evaluate").click().run()
    until(lambda: copied.has(run.keys["evaluate"]))
    assert "has no evaluation" not in words(open_page("zero_shot"))


def test_a_missing_parent_is_missing_too(copied: sc.Store, open_page: Open) -> None:
    copied.remove(sc.pipeline.runs(copied)[0].keys["train"])
    app = open_page("zero_shot")
    assert "the dictionary" in words(app)


def test_a_damaged_artifact_is_one_line_with_an_offer_to_rebuild(copied: sc.Store, open_page: Open) -> None:
    run = sc.pipeline.runs(copied)[0]
    key = run.keys["evaluate"]
    (copied.folder(key) / "report.json").write_text("{}")
    app = open_page("zero_shot")
    assert len(app.error) == 1
    assert "is damaged" in app.error[0].value.replace("\\", "")
    app.button(key=f"rebuild-{key}").click().run()
    until(lambda: copied.has(key) and not copied.verify(key))


def status(store: sc.Store, command: str, **facts: object) -> Path:
    """The folder of a job as a worker that is gone left it."""
    config = small_config()
    folder = store.root / ".jobs" / sc.jobs.job_id(command, config)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config.model_dump(mode="json")))
    (folder / "log.txt").write_text("train 40/150\nerror: the disk is full\n")
    now = time.time()
    record = {
        "command": command,
        "pid": os.getpid(),
        "started": now,
        "heartbeat": now,
        "stage": "train",
        "step": 40,
        "total": 150,
    }
    (folder / "status.json").write_text(json.dumps(record | facts))
    return folder


def test_running_shows_progress_and_a_stop_that_asks_the_worker(on_empty: Path, open_page: Open) -> None:
    folder = status(sc.Store(on_empty), "run", state="running")
    app = open_page("overview")
    assert "training the dictionary 40 of 150" in app.get("progress")[0].proto.text
    assert "stage 5 of 10" in words(app)
    assert "Make the demo" not in [button.label for button in app.button]
    app.button(key=f"stop-{folder.name}").click().run()
    assert (folder / "stop").exists()


@pytest.mark.parametrize(
    ("state", "says", "offers"), [("failed", "the disk is full", "Try again"), ("cancelled", "Stopped", "Resume")]
)
def test_a_job_that_ended_badly_says_so_shows_its_log_and_offers_to_go_on(
    state: str, says: str, offers: str, on_empty: Path, open_page: Open
) -> None:
    status(sc.Store(on_empty), "run", state=state, error="the disk is full" if state == "failed" else "")
    app = open_page("overview")
    assert says in words(app)
    assert "error: the disk is full" in words(app), "the end of the log"
    assert offers in [button.label for button in app.button]
    assert "Dismiss" not in [button.label for button in app.button], "there is nothing else to see yet"


def test_a_worker_that_went_silent_is_interrupted_and_can_be_resumed(on_empty: Path, open_page: Open) -> None:
    status(sc.Store(on_empty), "run", state="running", heartbeat=time.time() - 60)
    app = open_page("overview")
    assert "interrupted" in words(app)
    assert "Resume" in [button.label for button in app.button]


def until(done: Callable[[], bool], seconds: float = 180) -> None:
    """Wait for a real job."""
    end = time.time() + seconds
    while not done():
        assert time.time() < end, "the job did not finish in time"
        time.sleep(0.2)
