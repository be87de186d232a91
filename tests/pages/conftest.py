"""The pages on a cache: an empty one, the small demo's, or that with a sweep."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[2]
FOLDS = ("reproduce", "steer-reproduce", "sweep-python", "model-card", "interpret-command")
"""The keys of what a page writes only when it is unfolded."""


@pytest.fixture(autouse=True)
def navigation_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes each run of AppTest one of a server that has served a page before.

    AppTest begins every run like a fresh server, and there the first run of a page goes through app.py by a rerun, in which a
    click is lost. A browser meets that once at most, before it can click.
    """
    begin = PagesManager.__init__

    def begun(self: PagesManager, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", begun)


@pytest.fixture(autouse=True)
def own_main_module() -> Iterator[None]:
    """Streamlit puts the page in the place of `__main__`, which a process spawned later in this session would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture
def on_sweep(sweep_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Points the pages at the cache with the sweep."""
    monkeypatch.setenv("SAE_LAB_CACHE", str(sweep_cache))
    return sweep_cache


@pytest.fixture
def on_demo(demo_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Points the pages at the demo's cache."""
    monkeypatch.setenv("SAE_LAB_CACHE", str(demo_cache))
    return demo_cache


@pytest.fixture
def on_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Points the pages at a cache that is not there yet."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("SAE_LAB_CACHE", str(cache))
    return cache


@pytest.fixture
def open_page() -> Callable[..., AppTest]:
    """Opens a page of the app, sidebar and all, with its code unfolded: `open_page("train", run=...)`."""

    def open_(name: str = "overview", **query: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
        for fold in FOLDS:
            app.session_state[fold] = True
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        if name != "overview":
            app.switch_page(f"pages/{name}.py")
            for key, value in query.items():
                app.query_params[key] = value
            app.run()
        return app

    return open_


def words(app: AppTest) -> str:
    """Everything a page says, for looking up a word in it."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "info", "warning", "error", "success", "code", "metric")
    return "\n".join(
        str(getattr(element, "value", "")) + " " + str(getattr(element, "label", ""))
        for kind in kinds
        for element in app.get(kind)
    )
