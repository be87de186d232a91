"""A real Chromium on a real server. Without one of the two these tests are skipped, and say why."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

import sae_core as sc

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

ROOT = Path(__file__).parents[2]
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
TINY = [
    "name=tiny",
    "data.sketch.n=320",
    "data.photo.n=320",
    "sae.width=64",
    "sae.architecture.k=6",
    "sae.batch_size=64",
    "sae.steps=200",
]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    if not CHROMIUM.is_file():
        pytest.skip(f"no Chromium at {CHROMIUM}; install the chromium package, or set CHROMIUM")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor of their own: no cookies, no storage."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)
    yield context
    context.close()


@pytest.fixture
def visit(context: BrowserContext) -> Iterator[Callable[[str], Page]]:
    """Opens pages, and fails the test if one of them wrote an error to the console."""
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # Below a page's path Streamlit's client first looks for its server there, finds nothing, and then looks at the root.
        if message.type == "error" and "/_stcore/" not in str(message.location.get("url", "")):
            errors.append(f"{message.text} ({message.location.get('url')})")

    def open_(url: str) -> Page:
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.wait_for_selector("h1")
        return page

    yield open_
    assert errors == []


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """Starts the app on a free port with a cache; returns its address."""
    running: list[subprocess.Popen[bytes]] = []
    logs: list[IO[bytes]] = []

    def start(cache: Path) -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), "--server.headless", "true"]
        log = (tmp_path / f"server-{port}.log").open("wb")
        environment = {**os.environ, "SAE_LAB_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
        logs.append(log)
        running.append(
            subprocess.Popen([*command, "--server.address", "127.0.0.1"], cwd=ROOT, env=environment, stdout=log, stderr=log)
        )
        url = f"http://127.0.0.1:{port}"
        _wait_for(url + "/_stcore/health", running[-1])
        return url

    yield start
    for process in running:
        process.terminate()
        process.wait(timeout=20)
    for log in logs:
        log.close()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with one small finished run, made through the pipeline."""
    cache = tmp_path_factory.mktemp("tiny") / "cache"
    sc.run(ROOT / "configs" / "demo.yaml", cache=cache, overrides=TINY)
    return cache


def _wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    end = time.time() + seconds
    while time.time() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the app did not answer at {url}")
