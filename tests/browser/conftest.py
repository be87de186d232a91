"""A real Chromium on a real server. Without one of the two these tests are skipped, and say why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sae_core as sc
from benchmarks.chromium import ARGUMENTS, CHROMIUM, Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.flaky(reruns=2))  # the summary shows each failure


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
    context.set_default_timeout(300_000)
    yield context
    context.close()


@pytest.fixture
def visit(context: BrowserContext) -> Iterator[Callable[[str], Page]]:
    """Opens pages, and fails the test if one of them wrote an error to the console."""
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # Below a page's path Streamlit's client first looks for its server there, finds nothing, and then looks at the root.
        # A picture that a later run of the page has replaced is gone when a slow browser asks for it; the later one is there.
        url = str(message.location.get("url", ""))
        replaced = "/media/" in url and "404" in message.text
        if message.type == "error" and "/_stcore/" not in url and not replaced:
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
    with ExitStack() as running:
        yield lambda cache: running.enter_context(serving(cache, tmp_path / "server.log")).url


@pytest.fixture(scope="session")
def tiny(demo_cache: Path) -> Path:
    """A cache with one small finished run. Shared: a test that changes it takes a copy."""
    return demo_cache


@pytest.fixture(scope="session")
def two_runs(judged_cache: Path) -> Path:
    """The small run with its verdicts and its map of directions, and another one, `photo only`, of other latents."""
    return judged_cache


@pytest.fixture(scope="session")
def server(two_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One app on `two_runs`, shared by the tests that change nothing in it."""
    with serving(two_runs, tmp_path_factory.mktemp("app") / "server.log") as server:
        yield server


@pytest.fixture(scope="session")
def app(server: Server) -> str:
    """Its address."""
    return server.url


@pytest.fixture(scope="session")
def fresh_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one app on an empty cache."""
    folder = tmp_path_factory.mktemp("fresh")
    with serving(folder / "cache", folder / "server.log") as server:
        yield server.url


@pytest.fixture(scope="session")
def small_run(two_runs: Path) -> sc.pipeline.Recorded:
    """The run of `two_runs` that has everything."""
    return next(run for run in sc.pipeline.runs(sc.Store(two_runs)) if run.name == "small")


@pytest.fixture(scope="session")
def other_run(two_runs: Path) -> sc.pipeline.Recorded:
    """The run of `two_runs` with another dictionary."""
    return next(run for run in sc.pipeline.runs(sc.Store(two_runs)) if run.name == "photo only")
