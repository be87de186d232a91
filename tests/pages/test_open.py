"""Every page opens on an empty cache and on the demo's, and no traceback reaches it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import sae_core as sc
from tests.pages.conftest import words

PAGES = ("overview", "train", "sweep", "zero_shot", "geometry", "gallery", "latent", "draw", "interpret", "steer", "publish")
Open = Callable[..., AppTest]


def assert_sound(app: AppTest) -> None:
    assert not app.exception
    assert "Traceback" not in words(app)
    assert "Something went wrong" not in words(app)
    assert len(app.title) == 1


@pytest.mark.parametrize("page", PAGES)
def test_on_an_empty_cache_a_page_offers_to_make_something(page: str, on_empty: Path, open_page: Open) -> None:
    app = open_page(page)
    assert_sound(app)
    assert not app.error
    labels = [button.label for button in app.button]
    assert {"train": "Train", "sweep": "Sweep the demo"}.get(page, "Make the demo") in labels
    assert not on_empty.exists(), "looking makes nothing"


@pytest.mark.parametrize("page", PAGES)
def test_on_the_demo_a_page_shows_its_result(page: str, on_demo: Path, open_page: Open) -> None:
    app = open_page(page)
    assert_sound(app)
    assert not app.error
    assert "Make the demo" not in [button.label for button in app.button]


def test_the_overview_says_that_the_model_is_a_stand_in_and_gives_the_numbers(on_demo: Path, open_page: Open) -> None:
    app = open_page("overview")
    run = sc.pipeline.runs(sc.Store(on_demo))[0]
    metrics = run.open(sc.Store(on_demo)).metrics
    assert "bundled demo model" in words(app)
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["R²"] == f"{metrics['r2']:.3f}"
    assert shown[r"sketch\: CLIP\+SAE"] == f"{100 * metrics['sketch.accuracy_sae']:.1f} %"
    checklist = app.dataframe[0].value
    plain = {name: key for name, key in run.keys.items() if name.partition(":")[0] not in sc.pipeline.ON_REQUEST}
    assert set(checklist["state"]) == {"✓ done"}
    assert list(checklist["artifact"]) == list(plain.values())


def test_the_run_of_the_url_is_shown(on_demo: Path, open_page: Open) -> None:
    run = sc.pipeline.runs(sc.Store(on_demo))[0]
    app = open_page("train", run=run.id)
    assert app.selectbox(key="run").value == run.id
    assert not app.warning


def test_an_unknown_run_in_the_url_is_said_in_one_line(on_demo: Path, open_page: Open) -> None:
    app = open_page("overview", run="run-0000000000000000")
    assert_sound(app)
    assert "There is no run" in app.warning[0].value
    assert app.selectbox(key="run").value == sc.pipeline.runs(sc.Store(on_demo))[0].id


def test_two_visits_of_a_page_show_the_same(on_demo: Path, open_page: Open) -> None:
    assert words(open_page("overview")) == words(open_page("overview"))


def test_the_overview_offers_the_report(on_demo: Path, open_page: Open) -> None:
    labels = [button.label for button in open_page("overview").get("download_button")]
    assert "Download the report" in labels
