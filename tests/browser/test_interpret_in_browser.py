"""Naming with a vision model in a real browser: a detached job, paid for, stopped and resumed, whose key stays unseen."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sae_core as sc
from benchmarks.chromium import settled
from tests.interpret.vision.asking import CANARY
from tests.interpret.vision.loopback import Loopback
from tests.interpret.vision.oracle import Oracle

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

LATENTS = 8
CALLS = 16


@pytest.fixture
def cache(tiny: Path, tmp_path: Path) -> Path:
    """The small run in a cache of this test's own."""
    own = tmp_path / "cache"
    shutil.copytree(tiny, own)
    return own


@pytest.fixture
def server(cache: Path) -> Iterator[Loopback]:
    store = sc.Store(cache)
    with Loopback(model=Oracle(sc.pipeline.runs(store)[0].open(store)), latency=0.25) as running:
        yield running


def pick(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).last.click()
    page.get_by_role("option", name=option).first.click()
    settled(page, 800)


def fill(page: Page, role: str, name: str, value: str) -> None:
    page.get_by_role(role, name=name, exact=True).fill(value)  # type: ignore[arg-type]
    page.keyboard.press("Enter")
    settled(page, 800)


def processes() -> str:
    return subprocess.run(["ps", "-wweo", "args"], capture_output=True, text=True, check=True).stdout


def test_a_job_is_priced_started_stopped_and_resumed_and_its_key_is_found_nowhere(
    cache: Path,
    server: Loopback,
    tmp_path: Path,
    serve: Callable[[Path], str],
    visit: Callable[[str], Page],
    context: BrowserContext,
) -> None:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    dialogs: list[str] = []
    store = sc.Store(cache)
    before = sc.pipeline.runs(store)[0].id
    page = visit(f"{serve(cache)}/interpret?run={before}")
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    seen: list[str] = []

    def look() -> str:
        content = page.content()
        seen.append(content + page.url + processes())
        return content

    page.get_by_text("By a vision model").click()
    page.get_by_role("combobox", name="Endpoint").wait_for()
    settled(page, 1000)
    pick(page, "Latents", "the strongest")
    fill(page, "spinbutton", "How many", str(LATENTS))
    pick(page, "Endpoint", "another endpoint")
    fill(page, "textbox", "Address", server.url)
    page.locator("input[type=password]").fill(CANARY)
    page.keyboard.press("Enter")
    page.get_by_text("is kept for this visit").wait_for()
    settled(page, 800)
    look()
    page.get_by_role("button", name="List models").click()
    page.get_by_text("take pictures").wait_for()
    settled(page, 500)
    pick(page, "Model", "Seer")
    page.get_by_role("button", name="Estimate price and images").click()
    page.get_by_text("Nothing leaves this machine").wait_for()
    assert server.calls == 0
    page.get_by_text("Nothing leaves this machine").click()
    settled(page, 800)
    page.get_by_role("button", name="Start", exact=True).click()

    page.get_by_text(re.compile(r"\$0\.\d{4} spent")).wait_for()
    (job,) = [job for job in sc.jobs.all_jobs(store) if job.command == "interpret" and job.active]
    look()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("Stopped. What was finished is kept").wait_for()
    look()
    stopped = server.calls
    assert 0 < stopped < LATENTS * CALLS
    assert sc.jobs.read(store, job.id).state == "cancelled"
    page.get_by_role("button", name="Resume").click()
    page.wait_for_url(lambda url: f"run={before}" not in url)
    page.get_by_text("served by test/seer-served").wait_for()
    settled(page, 800)
    content = look()

    assert len({json.dumps([body["messages"], body["model"]], sort_keys=True) for body in server.bodies}) == server.calls
    names = next(run for run in sc.pipeline.runs(store) if run.id != before).open(store).load("interpret")
    assert names.about["spent"] == pytest.approx(server.calls * 0.0012)
    assert f"Cost ${names.about['cost']:.4f}" in page.inner_text("body")

    # A link to a latent shows its hostile name in full, as text.
    named = names.table[names.table["status"] == "ok"]
    assert len(named) >= 2
    for latent in named["latent"].astype(int).tolist()[:4]:
        page.goto(re.sub(r"(&latent=\d+)?$", f"&latent={latent}", page.url))
        page.get_by_role("heading", name=f"Latent {latent}").wait_for()
        settled(page, 800)
        content += look()
        assert page.locator("img[src='x'], img[src*='evil'], a[href*='evil']").count() == 0
    assert dialogs == []
    assert not [url for url in asked if "evil" in url]

    # The key was used by each request, and is in no page, address, process list or file.
    assert all(CANARY in headers.get("Authorization", "") for headers in server.headers)
    assert CANARY not in "\n".join(seen + asked)
    assert str(job.folder) in "\n".join(seen), "the worker was in the process list"
    files = [file for file in [*cache.rglob("*"), tmp_path / "server.log"] if file.is_file()]
    assert {"log.txt", "status.json", "events.jsonl", "vision.sqlite", "names.json"} <= {file.name for file in files}
    for file in files:
        assert CANARY.encode() not in file.read_bytes(), file
