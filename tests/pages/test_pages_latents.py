"""Latent and interpret on the demo: what is counted, filtered, linked and said of dead or absent latents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui import watch
from tests.pages.conftest import words

Open = Callable[..., AppTest]


@pytest.fixture
def made(on_demo: Path) -> sc.pipeline.Run:
    """The demo's run, opened."""
    store = sc.Store(on_demo)
    return sc.pipeline.runs(store)[0].open(store)


def frame_of(app: AppTest, column: str) -> pd.DataFrame:
    """The page's table that has this column."""
    return next(table.value for table in app.dataframe if column in table.value)


def a_name(run: sc.pipeline.Run) -> tuple[int, str]:
    """A latent that has a name."""
    table = run.load("interpret").table
    named = table[table["status"] == "ok"]
    if named.empty:
        pytest.skip("no latent of the small demo got a name")
    return int(named["latent"].iloc[-1]), str(named["label"].iloc[-1])


def choose(app: AppTest, key: str, value: object) -> AppTest:
    """Set the button group of this key to one value and run."""
    (group,) = [one for one in app.button_group if one.key == key]
    return group.set_value([value]).run() if isinstance(group.value, list) else group.set_value(value).run()


# ---------------------------------------------------------------- latent


def test_a_link_opens_its_latent_with_its_numbers(made: sc.pipeline.Run, open_page: Open) -> None:
    acts = made.load("collect")
    latent, label = a_name(made)
    app = open_page("latent", latent=str(latent))
    assert app.number_input(key="latent-id").value == latent
    assert label in words(app).replace("\\", "")
    shown = {metric.label: metric.value for metric in app.metric}
    stats = acts.stats.iloc[latent]
    assert shown["Fires on"] == f"{int(stats['count']):,} images"
    assert shown["of sketch"] == f"{100 * stats['sketch.rate']:.2f} %"


@pytest.mark.parametrize("asked", ["99999", "-1", "abc", "1.5", "", "７"])
def test_a_link_to_no_latent_gets_one_plain_line(asked: str, made: sc.pipeline.Run, open_page: Open) -> None:
    acts = made.load("collect")
    app = open_page("latent", latent=asked)
    assert not app.exception
    (line,) = [error.value for error in app.error]
    assert line.startswith("There is no latent")
    assert app.number_input(key="latent-id").value == acts.strongest(1)[0]
    app.run()
    assert not app.error, "said once"


def test_previous_and_next_pass_over_the_dead(made: sc.pipeline.Run, open_page: Open) -> None:
    alive = made.load("collect").alive()
    app = open_page("latent", latent=str(alive[3]))
    buttons = {button.label: button for button in app.button}
    app = buttons["Next"].click().run()
    assert app.number_input(key="latent-id").value == alive[4]
    app = {button.label: button for button in app.button}["Previous"].click().run()
    assert app.number_input(key="latent-id").value == alive[3]
    app = {button.label: button for button in app.button}["Surprise me"].click().run()
    assert app.number_input(key="latent-id").value in alive
    first = open_page("latent", latent=str(alive[0]))
    assert {button.label: button.disabled for button in first.button}["Previous"]


def test_a_dead_latent_says_so_plainly(made: sc.pipeline.Run, open_page: Open) -> None:
    acts = made.load("collect")
    dead = sorted(set(range(acts.m)) - set(acts.alive().tolist()))
    if not dead:
        pytest.skip("no latent of the small demo is dead")
    app = open_page("latent", latent=str(dead[0]))
    assert not app.error
    assert f"Latent {dead[0]} is dead: it fires on none of the {acts.n:,} images" in words(app)


# ---------------------------------------------------------------- interpret


def test_interpret_counts_every_status_and_says_that_the_score_is_circular(made: sc.pipeline.Run, open_page: Open) -> None:
    names = made.load("interpret")
    app = open_page("interpret")
    shown = {metric.label: metric.value for metric in app.metric}
    sizes = names.table["status"].value_counts()
    assert shown["Named"] == f"{sizes.get('ok', 0):,}"
    assert shown["Abstained"] == f"{sizes.get('uninterpretable', 0):,}"
    assert sum(int(value.replace(",", "")) for value in shown.values()) == len(names.table)
    assert names.about["circularity"] in words(app).replace("\\", "")


def test_interpret_table_holds_what_names_json_holds(made: sc.pipeline.Run, open_page: Open) -> None:
    table = made.load("interpret").table
    app = open_page("interpret")
    shown = frame_of(app, "near_miss_auroc").set_index("latent")
    expected = table[table["status"] != "dead"].set_index("latent")
    assert set(shown.index) == set(expected.index)
    pd.testing.assert_series_equal(shown["score"].sort_index(), expected["score"].sort_index())
    status = expected["status"].iloc[0]
    app = choose(app, "interpret-status", status)
    assert set(frame_of(app, "near_miss_auroc")["latent"]) == set(table.loc[table["status"] == status, "latent"])


def test_naming_with_other_words_is_a_job_on_the_same_dictionary(
    made: sc.pipeline.Run, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(watch, "launch", lambda command, config, rerun=True: started.append((command, config)))
    app = open_page("interpret")
    app.selectbox(key="interpret-vocabulary").set_value("classes").run()
    {button.label: button for button in app.button}["Name again"].click().run()
    ((command, config),) = started
    assert command == "interpret"
    assert config.interpret.vocabulary == "classes"
    assert (config.data, config.sae, config.clip) == (made.config.data, made.config.sae, made.config.clip)
