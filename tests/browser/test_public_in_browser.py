"""The Space as a stranger meets it: started from its bundle as another user, the app read-only, looked at by a real Chromium."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sae_core as sc
from benchmarks.chromium import settled
from sae_core.publish.space import write_bundle
from tests.browser.spaces import Container, container

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CANARY = "canary-7d2e41-of-the-owner"
SECRETS = dict.fromkeys(("SAE_LAB_VISION_KEY", "OPENROUTER_API_KEY", "HF_TOKEN", "ANY_SECRET"), CANARY)
PAGES = (
    *("", "train", "sweep", "zero_shot", "geometry", "gallery", "latent", "draw", "interpret", "steer", "publish"),
)  # every page of app.py
INSIDE = re.compile(r"(?<![\w/.:-])/(?:tmp|home|app|root|usr|var|work)/[\w.]|Traceback|went wrong|File \"")
"""What a page would say of the server's inside."""


@pytest.fixture(scope="module")
def space(two_runs: Path, small_run: sc.pipeline.Recorded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """The bundle of the run that has everything, laid out as in its image."""
    bundle = write_bundle(small_run.open(sc.Store(two_runs)), tmp_path_factory.mktemp("bundle") / "space")
    with container(bundle.out) as made:
        yield made


@pytest.fixture(scope="module")
def address(space: Container) -> Iterator[str]:
    with space.running(**SECRETS) as url:
        yield url


@pytest.fixture
def arrive(browser: Browser) -> Iterator[Callable[[], Page]]:
    """Brings a new visitor, with cookies of their own."""
    contexts = []

    def one() -> Page:
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 1400}))
        contexts[-1].set_default_timeout(120_000)
        return contexts[-1].new_page()

    yield one
    for context in contexts:
        context.close()


def look(page: Page, address: str) -> str:
    """Open an address; all that is there to read, what stands in inputs (the run picker's run) too."""
    page.goto(address)
    page.wait_for_selector("h1")
    settled(page, 500)
    written: list[str] = page.eval_on_selector_all("input", "inputs => inputs.map(input => input.value)")
    return "\n".join([page.inner_text("body"), *written])


def baked(space: Container) -> dict[str, tuple[int, int]]:
    """Every file of the baked run with its size and time."""
    folder = space.app / "demo"
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def written(space: Container) -> list[Path]:
    """Every file that the server wrote below its home."""
    return [path for path in space.home.rglob("*") if path.is_file()]


def test_it_answers_with_headers_and_hides_what_tells_of_its_inside(address: str) -> None:
    for path in ("/", "/gallery", "/_stcore/health", "/nowhere/../..%2f..%2fetc/passwd"):
        try:
            headers = urllib.request.urlopen(address + path).headers
        except urllib.error.HTTPError as error:
            headers = error.headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'self' https://huggingface.co" in headers["Content-Security-Policy"]
        assert "object-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
    for path in ("/_stcore/metrics", "/_stcore/agent/openapi.json", "/_stcore/script-health-check"):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(address + path)
        assert refusal.value.code == 404


def test_the_baked_run_is_browsable_on_every_page_without_a_word_of_the_inside(
    address: str, space: Container, arrive: Callable[[], Page], small_run: sc.pipeline.Recorded
) -> None:
    before, errors = baked(space), []
    page = arrive()
    page.on("pageerror", lambda error: errors.append(str(error)))
    # The policy of the headers must not be in the app's own way; what a browser refuses for it, it says as an error.
    page.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
    for name in PAGES:
        text = look(page, f"{address}/{name}")
        source = page.content()
        assert INSIDE.search(text) is None, (name, INSIDE.search(text))
        assert CANARY not in source
        assert str(space.app) not in source
        assert str(space.home) not in source
        assert small_run.name in text, name
    assert errors == []
    page.goto(f"{address}/gallery")
    page.locator("button[data-at]").first.click()
    page.wait_for_url(re.compile(r"/latent\?"))
    settled(page)
    assert page.locator(".thumb img").count() > 0
    assert baked(space) == before


def test_hostile_addresses_are_answered_like_unknown_ones(address: str, arrive: Callable[[], Page], space: Container) -> None:
    page = arrive()
    for name in PAGES:
        hostile = "..%2F..%2Fetc%2Fpasswd"
        query = "&".join(
            f"{key}={hostile}" for key in ("run", "sweep", "member", "latent", "image", "list", "page", "recipe", "row")
        )
        text = look(page, f"{address}/{name}?{query}")
        assert INSIDE.search(text) is None, (name, INSIDE.search(text))
        assert "root:" not in text
    assert "refused: a run in the address" in space.log()
    assert CANARY not in space.log()


def train(page: Page, scenes: int, steps: int) -> None:
    """Fill the form with a small training on drawn scenes, alone."""
    page.get_by_role("radio", name="The drawn world").or_(page.get_by_role("button", name="The drawn world")).first.click()
    settled(page, 500)
    for label, value in (("Scenes", scenes), ("Width", 32), ("k", 4)):
        fill(page, label, value)
    page.get_by_label("How long").click()
    page.get_by_role("option", name="Steps", exact=True).click()
    settled(page, 500)
    fill(page, "Steps", steps)
    fill(page, "Batch", 32)
    page.get_by_text("Then evaluate, browse, name and steer it too").click()
    settled(page, 500)


def fill(page: Page, label: str, value: int) -> None:
    page.get_by_label(label, exact=True).fill(str(value))
    page.get_by_label(label, exact=True).press("Enter")
    settled(page, 500)


def occupied(space: Container, pid: int) -> list[Path]:
    """Another visitor's job at work, as its worker would write it; returns the files."""
    visitors = space.home / ".sketch-sae-lab" / "visitors"
    folder = visitors / ("0" * 16) / ".jobs" / "job-0123456789abcdef"
    folder.mkdir(parents=True, exist_ok=True)  # a second try finds it there
    status = {"state": "running", "command": "train", "pid": pid, "started": time.time(), "heartbeat": time.time()}
    (folder / "status.json").write_text(json.dumps(status))
    (visitors / "slot.json").write_text(json.dumps({"cache": "0" * 16, "job": folder.name}))
    subprocess.run(["chown", "-R", "1000:1000", str(space.home)], check=True)
    return [folder / "status.json", visitors / "slot.json"]


def test_training_is_capped_one_at_a_time_and_ones_own(address: str, space: Container, arrive: Callable[[], Page]) -> None:
    before, one, two = baked(space), arrive(), arrive()
    text = look(one, f"{address}/train")
    assert "This app is public: a job takes at most 8,000 images" in text, "the limits stand there before the click"
    train(one, scenes=160, steps=5000)
    one.get_by_text("sae.steps = 5,000 is above this public app's limit of 2,000").first.wait_for()
    settled(one)
    assert one.get_by_role("button", name="Train", exact=True).is_disabled()
    fill(one, "Steps", 20)

    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    files = occupied(space, other.pid)
    try:
        one.get_by_role("button", name="Train", exact=True).click()
        one.get_by_text("another visitor's job is at work").first.wait_for()
    finally:
        other.kill()
        other.wait()
    assert all(file.exists() for file in files)

    settled(one)
    one.get_by_role("button", name="Train", exact=True).click()
    one.get_by_text("On held-out images of the domains it was trained on.").wait_for()
    one.wait_for_function(
        "() => [...document.querySelectorAll('[data-testid=stSidebarUserContent] input')]"
        ".some(one => one.value.startsWith('demo · '))"
    )
    mine = re.findall(r"run=(run-[0-9a-f]{16})", one.url)
    assert mine
    assert "no run" in look(two, f"{address}/train?run={mine[0]}"), "nobody else sees it"
    again = look(one, f"{address}/train?run={mine[0]}")  # a reload: a new session of the same browser
    assert "no run" not in again
    assert baked(space) == before
    assert not [path for path in written(space) if CANARY.encode() in path.read_bytes()]


def test_a_restart_keeps_the_baked_run(space: Container, arrive: Callable[[], Page], small_run: sc.pipeline.Recorded) -> None:
    before = baked(space)
    for _ in range(2):
        with space.running(**SECRETS) as url:
            assert small_run.name in look(arrive(), f"{url}/gallery")
    assert baked(space) == before
    store = sc.Store(space.app / "demo")
    assert not any(store.verify(artifact.key) for artifact in store.artifacts())


def test_nothing_it_wrote_holds_the_owners_secrets(space: Container, address: str) -> None:
    assert CANARY not in space.log()
    assert not [path for path in written(space) if CANARY.encode() in path.read_bytes()]
    assert not [path for path in space.app.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
