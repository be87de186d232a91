"""The grid of the sweep page: what is chosen, how many dictionaries that is, and one line where it cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui import member, sweep_form
from tests.pages.conftest import words

Open = Callable[..., AppTest]


def grid_form() -> None:
    import json

    import streamlit as st

    from pages._ui import sweep_form

    st.text(json.dumps(sweep_form.controls()))


def grid() -> AppTest:
    app = AppTest.from_function(grid_form, default_timeout=120).run()
    assert not app.exception
    return app


def config(app: AppTest) -> sc.RunConfig:
    return sc.config.validate(sc.RunConfig, json.loads(app.text[0].value), "form")


def test_an_empty_cache_says_what_a_sweep_is_and_offers_the_demos(on_empty: Path, open_page: Open) -> None:
    app = open_page("sweep")
    assert not app.exception
    assert "A sweep trains a grid" in app.info[0].value
    assert "Sweep the demo" in [button.label for button in app.button]
    assert "12 dictionaries: 4 TopK, 4 BatchTopK, 4 PCA" in words(app).replace("\\", ""), "counted before it starts"
    assert not on_empty.exists()


def test_the_untouched_grid_of_the_demo_is_the_sweep_that_is_offered(on_empty: Path) -> None:
    assert sc.jobs.job_id("sweep", config(grid())) == sc.jobs.job_id("sweep", sweep_form.demo())


def test_the_grid_says_what_was_chosen(on_empty: Path) -> None:
    app = grid()
    pills = {group.key: group for group in app.button_group}
    pills["sweep-demo-dictionaries"].set_value(["relu_l1", "gated"])
    pills["sweep-demo-controls"].set_value([]).run()
    app.multiselect(key="sweep-demo-k").set_value(["32", "8"])
    app.multiselect(key="sweep-demo-l1").set_value(["0.01", "0.001"])
    app.multiselect(key="sweep-demo-width").set_value(["256", "512"])
    app.multiselect(key="sweep-demo-seed").set_value(["0", "7"])
    app.selectbox(key="sweep-demo-length").set_value("steps").run()
    app.number_input(key="sweep-demo-steps").set_value(70).run()
    made = config(app)
    assert made.sweep == sc.config.SweepConfig(
        architecture=("relu_l1", "gated"), k=(8, 32), l1=(0.001, 0.01), width=(256, 512), seed=(0, 7)
    )
    assert made.sae.steps == 70
    assert len(member.members_of(made)) == 2 * 2 * 2 + 2 * 2 * 2


def test_only_the_lists_that_apply_are_shown(on_empty: Path) -> None:
    app = grid()
    assert not [one for one in app.multiselect if one.key == "sweep-demo-l1"]
    pills = {group.key: group for group in app.button_group}
    pills["sweep-demo-dictionaries"].set_value(["relu_l1"])
    app = pills["sweep-demo-controls"].set_value(["kmeans"]).run()
    assert [one.key for one in app.multiselect if one.key in ("sweep-demo-k", "sweep-demo-l1")] == ["sweep-demo-l1"]
    assert "Time budget" not in app.selectbox(key="sweep-demo-length").options


@pytest.mark.parametrize(
    ("which", "values", "says"),
    [
        ("k", ["8", "2000"], "k = 2000"),
        ("k", [], "k"),
        ("seed", [str(seed) for seed in range(40)], "480 members"),
        ("lr", ["7"], "lr"),
        ("width", ["1"], "width"),
    ],
)
def test_a_grid_that_cannot_be_is_one_line_and_no_button(
    which: str, values: list[str], says: str, on_empty: Path, open_page: Open
) -> None:
    app = open_page("sweep")
    app.multiselect(key=f"sweep-demo-{which}").set_value(values).run()
    assert not app.exception
    (error,) = app.error
    assert says in error.value.replace("\\", "")
    assert app.button(key="sweep-start").disabled


def test_typed_numbers_are_numbers_and_other_words_stay_for_the_check_to_name() -> None:
    assert [sweep_form._number(text) for text in ("12", "1,024", "1e-3", " 0.5 ", "many")] == [12, 1024, 0.001, 0.5, "many"]
