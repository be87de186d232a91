"""Gallery, latent and interpret on the demo: what is counted, filtered, linked and said of dead or absent latents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui import latents, watch
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


# ---------------------------------------------------------------- gallery


def test_gallery_counts_every_latent_once(made: sc.pipeline.Run, open_page: Open) -> None:
    acts = made.load("collect")
    table = frame_of(open_page("gallery"), "sketch.rate")
    assert sorted(table["latent"]) == acts.alive().tolist()
    assert table["sum"].is_monotonic_decreasing
    assert table.set_index("latent")["count"].to_dict() == acts.stats.loc[acts.alive()].set_index("latent")["count"].to_dict()


def test_gallery_tabs_are_a_partition(made: sc.pipeline.Run, open_page: Open) -> None:
    acts = made.load("collect")
    app = open_page("gallery")
    seen: list[int] = []
    for option in ("shared", "sketch only", "photo only"):
        app = choose(app, "gallery-group", option)
        assert not app.error
        assert not app.exception
        tables = [t.value for t in app.dataframe if "sketch.rate" in t.value]
        seen += [int(j) for table in tables for j in table["latent"]]
    assert sorted(seen) == acts.alive().tolist()
    app = choose(app, "gallery-group", "dead")
    assert f"{acts.m - len(acts.alive()):,} of {acts.m:,} latents fire on none" in words(app)


def test_gallery_filters_by_name_and_rate(made: sc.pipeline.Run, open_page: Open) -> None:
    stats = made.load("collect").stats
    _, label = a_name(made)
    app = open_page("gallery")
    table = frame_of(app.text_input(key="gallery-name").set_value(label.upper()).run(), "name")
    assert len(table)
    assert table["name"].str.contains(label, case=False, regex=False).all()
    app = open_page("gallery")
    table = frame_of(app.select_slider(key="gallery-rate").set_value((0.03, 0.1)).run(), "rate")
    assert table["rate"].between(0.03, 0.1).all()
    assert len(table) == stats["rate"].between(0.03, 0.1).sum()


def test_gallery_says_so_when_nothing_passes(on_demo: Path, open_page: Open) -> None:
    app = open_page("gallery").text_input(key="gallery-name").set_value("no latent is called this").run()
    assert "No latent passes these filters" in words(app)


def test_gallery_search_sorts_by_the_cosine_with_the_text(made: sc.pipeline.Run, open_page: Open) -> None:
    table = frame_of(open_page("gallery").text_input(key="gallery-search").set_value("spiral").run(), "likeness")
    assert table["likeness"].is_monotonic_decreasing
    assert table["likeness"].between(-1, 1).all()
    other = frame_of(open_page("gallery").text_input(key="gallery-search").set_value("fish").run(), "likeness")
    assert list(other["latent"]) != list(table["latent"])


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


def test_class_rates_count_what_the_codes_say(made: sc.pipeline.Run) -> None:
    acts = made.load("collect")
    latent = int(acts.strongest(1)[0])
    table = latents.class_rates(made, latent)
    z = acts.csr()[:, [latent]].toarray()[:, 0] > 0
    for domain in acts.domains:
        classes = made.load(f"manifest:{domain}").classes
        own = (acts.images["domain"] == domain).to_numpy()
        for row in table[table["domain"] == domain].to_dict("records"):
            of_class = own & (acts.images["label"] == classes.index(row["class"])).to_numpy()
            assert (row["n"], row["fires"]) == (of_class.sum(), z[of_class].sum())
            assert row["rate"] == pytest.approx(z[of_class].mean())
            assert row["lift"] * z[own].mean() == pytest.approx(row["rate"])


def test_decoder_neighbours_are_the_nearest_that_are_alive(made: sc.pipeline.Run) -> None:
    acts, sae = made.load("collect"), sc.load_sae(made.outcomes["train"].path)
    latent = int(acts.strongest(1)[0])
    found = latents.decoder_neighbours(made, latent, 5)
    rows = sae.decoder_raw / ((sae.decoder_raw**2).sum(axis=1, keepdims=True) ** 0.5)
    cosines = {int(j): float(rows[j] @ rows[latent]) for j in acts.alive() if j != latent}
    best = sorted(cosines, key=cosines.__getitem__, reverse=True)[:5]
    assert [cosines[int(j)] for j in found["latent"]] == pytest.approx([cosines[j] for j in best], abs=1e-5)
    assert found["cosine"].tolist() == pytest.approx([cosines[j] for j in best], abs=1e-5)


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
