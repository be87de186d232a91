"""The latent's card: marks that last, words that stay words, data without pictures, and where a latent looks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image, ImageDraw
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui import latents, load
from pages._ui.card import pictures, where
from tests.pages.conftest import words

Open = Callable[..., AppTest]
MARKUP = re.compile(r"(?<!\\)(<img|\*\*bold|\[link|\$x)")
EVIL = "<img src=x onerror=alert(1)> **bold** [link](http://example.org) $x$"


@pytest.fixture
def own(demo_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sc.pipeline.Run:
    """The demo's run in a cache that may be written to."""
    cache = tmp_path / "cache"
    shutil.copytree(demo_cache, cache)
    monkeypatch.setenv("SAE_LAB_CACHE", str(cache))
    store = sc.Store(cache)
    return sc.pipeline.runs(store)[0].open(store)


def button(app: AppTest, label: str) -> AppTest:
    """Press the button of this label."""
    return next(one for one in app.button if one.label == label).click().run()


def labels(app: AppTest) -> set[str]:
    return {one.label for one in app.button}


def note_field(app: AppTest) -> str:
    (field,) = [one for one in app.text_area if one.key.startswith("note-")]
    return str(field.key)


# ---------------------------------------------------------------- marks


def test_a_bookmark_and_a_note_last(own: sc.pipeline.Run, open_page: Open, tmp_path: Path) -> None:
    latent = int(own.load("collect").strongest(1)[0])
    app = button(open_page("latent", latent=str(latent)), "Bookmark")
    app = app.text_area(key=note_field(app)).set_value("loops,\nnot dots").run()
    assert not app.error
    again = open_page("latent", latent=str(latent))
    assert "Bookmarked" in labels(again)
    assert again.text_area(key=note_field(again)).value == "loops,\nnot dots"
    other = open_page("latent", latent=str(latent + 1 if latent + 1 < own.load("collect").m else latent - 1))
    assert "Bookmark" in labels(other)
    assert other.text_area(key=note_field(other)).value == ""
    assert "Bookmark" in labels(button(again, "Bookmarked"))
    assert sc.load_marks(sc.Store(tmp_path / "cache"), own.id).to_json()["notes"] == {str(latent): "loops,\nnot dots"}


def test_in_public_a_mark_is_the_visitors_own(
    own: sc.pipeline.Run, open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    latent = str(own.load("collect").strongest(1)[0])
    app = button(open_page("latent", latent=latent), "Bookmark")
    app = app.text_area(key=note_field(app)).set_value("mine").run()
    assert "Bookmarked" in labels(app)
    assert app.text_area(key=note_field(app)).value == "mine"
    stranger = open_page("latent", latent=latent)
    assert "Bookmark" in labels(stranger)
    assert stranger.text_area(key=note_field(stranger)).value == ""
    assert not list((tmp_path / "cache").rglob("marks.json"))


def test_a_damaged_file_of_marks_hides_nothing_but_the_marks(own: sc.pipeline.Run, open_page: Open, tmp_path: Path) -> None:
    file = tmp_path / "cache" / "said" / own.keys["train"] / "marks.json"
    file.parent.mkdir(parents=True)
    file.write_text("{", encoding="utf-8")
    latent = int(own.load("collect").strongest(1)[0])
    app = open_page("latent", latent=str(latent))
    assert not app.exception
    assert any("marks.json cannot be read" in one.value.replace("\\", "") for one in app.error)
    assert any(one.value.startswith(f"Latent {latent}") for one in app.subheader)
    assert any(metric.label == "Fires on" for metric in app.metric)
    app = app.text_area(key=note_field(app)).set_value("must not overwrite").run()
    assert app.error
    assert file.read_text(encoding="utf-8") == "{"


# ---------------------------------------------------------------- words


@pytest.fixture
def evil_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every name is an attempt at markup."""
    real = load.names

    def names(run: sc.pipeline.Run) -> sc.Names:
        found = real(run)
        table = found.table.assign(label=EVIL, candidate=EVIL, status="ok", score=0.9, ci_low=0.8, ci_high=0.95, reason=EVIL)
        return sc.Names(table, found.about)

    st.cache_resource.clear()  # cards are made once for all visitors
    monkeypatch.setattr(load, "names", names)
    yield
    st.cache_resource.clear()


def test_words_of_names_and_notes_are_shown_as_they_are(own: sc.pipeline.Run, open_page: Open, evil_names: None) -> None:
    latent = str(own.load("collect").strongest(1)[0])
    app = open_page("latent", latent=latent)
    app = app.text_area(key=note_field(app)).set_value(EVIL).run()
    assert not app.exception
    assert not app.error
    said = words(app)
    assert "alert" in said, "the name is there"
    assert not MARKUP.search(said)
    assert app.text_area(key=note_field(app)).value == EVIL


def test_a_mark_that_cannot_be_saved_says_so_in_one_line(
    own: sc.pipeline.Run, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise sc.InputError("the marks are being written by another process; try again")

    app = open_page("latent", latent=str(own.load("collect").strongest(1)[0]))
    monkeypatch.setattr(latents, "mark", refused)
    app = button(app, "Bookmark")
    assert not app.exception
    assert [one.value.replace("\\", "") for one in app.error] == ["the marks are being written by another process; try again"]
    assert "Bookmark" in labels(app)
    assert not app.run().error, "said once"


# ---------------------------------------------------------------- the card


def test_a_dead_latent_has_marks_and_no_pictures(own: sc.pipeline.Run, open_page: Open) -> None:
    acts = own.load("collect")
    dead = sorted(set(range(acts.m)) - set(acts.alive().tolist()))
    if not dead:
        pytest.skip("no latent of the small demo is dead")
    app = button(open_page("latent", latent=str(dead[0])), "Bookmark")
    assert "Bookmarked" in labels(app)
    assert f"Latent {dead[0]} is dead" in words(app)
    assert not app.get("download_button")


def test_the_classes_as_a_table_are_the_cores(own: sc.pipeline.Run, open_page: Open) -> None:
    acts = own.load("collect")
    latent = int(acts.strongest(1)[0])
    text = words(open_page("latent", latent=str(latent)))
    scores = sc.class_scores(acts, latent, {d: own.load(f"manifest:{d}").classes for d in acts.domains})
    assert f"dealt out anew {scores.attrs['permutations']:,} times" in text
    assert "Judge the latents" in {one.label for one in open_page("latent", latent=str(latent)).get("page_link")} or (
        "geometry" in own.outcomes
    )


def test_verdicts_and_measures_are_shown_where_the_run_has_them(
    judged_cache: Path, monkeypatch: pytest.MonkeyPatch, open_page: Open
) -> None:
    monkeypatch.setenv("SAE_LAB_CACHE", str(judged_cache))
    store = sc.Store(judged_cache)
    run = next(one.open(store) for one in sc.pipeline.runs(store) if one.name == "small")
    judged = run.load("geometry").measures
    if judged.empty:
        pytest.skip("no latent of the small demo fires on enough images to be judged")
    app = open_page("latent", latent=str(judged["latent"].iloc[0]), run=run.id)
    assert not app.error
    assert any({"measure", "rho", "p"} <= set(table.value) for table in app.dataframe)


# ---------------------------------------------------------------- where it looks


@pytest.fixture
def click(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], AppTest]:
    """Opens a latent's card and chooses an image of it, by its row; AppTest itself cannot press a component's button."""

    def click_(latent: int, row: int) -> AppTest:
        monkeypatch.setattr(pictures, "gallery", lambda thumbs, key, **_: row if key == "silent" else None)
        return open_page("latent", latent=str(latent))

    return click_


def test_an_image_opens_with_both_maps_labelled_as_approximations_and_their_checks(
    own: sc.pipeline.Run, click: Callable[[int, int], AppTest]
) -> None:
    acts = own.load("collect")
    latent = int(acts.strongest(1)[0])
    row = int(acts.top(latent, 1)["row"].iloc[0])
    app = click(latent, row)
    assert not app.exception
    assert not app.error
    text = words(app).replace("\\", "")
    value = float(acts.top(latent, 1)["value"].iloc[0])
    assert f"fires **{value:.2f}**" in text
    assert text.count("An approximation:") == 2
    assert text.count("random orders") >= 3
    assert len([one for one in app.get("plotly_chart") if "look-" in one.proto.id or "deletion-" in one.proto.id]) == 4
    place = acts.images.iloc[row]
    expected = sc.look(
        sc.load_encoder("bundled"),
        sc.load_sae(own.outcomes["train"].path),
        own.load(f"manifest:{place['domain']}").image(int(place["image"])),
        latent,
    )
    for checked in expected.maps.values():
        assert checked.verdict in text


def test_an_image_that_leaves_it_silent_says_so(own: sc.pipeline.Run, click: Callable[[int, int], AppTest]) -> None:
    acts = own.load("collect")
    latent = int(acts.strongest(1)[0])
    row = int(acts.silent(latent, 1, np.random.default_rng(0))[0])
    assert "does not fire" in words(click(latent, row))


def test_a_picture_of_the_visitors_is_read_and_its_name_stays_a_name(
    own: sc.pipeline.Run, click: Callable[[int, int], AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Image.new("RGB", (90, 60), "white")
    ImageDraw.Draw(drawn).ellipse((20, 10, 60, 50), outline="black", width=3)
    monkeypatch.setattr(where, "open_row", lambda have, latent, row: where.open_picture(have, latent, drawn, EVIL))
    app = click(int(own.load("collect").strongest(1)[0]), 0)
    assert not app.exception
    assert not app.error
    assert not MARKUP.search(words(app))
    assert len([one for one in app.get("plotly_chart") if "look-" in one.proto.id or "deletion-" in one.proto.id]) == 4


def test_near_duplicates_are_shown_when_one_is_opened(
    own: sc.pipeline.Run, click: Callable[[int, int], AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    acts = own.load("collect")
    latent = int(acts.strongest(1)[0])
    row = int(acts.top(latent, 1)["row"].iloc[0])
    assert "lists show them once" not in words(click(latent, row))
    real = load.activations

    def grouped(run: sc.pipeline.Run) -> sc.Activations:
        found = sc.Activations.load(real(run).folder)
        group = found.images["group"].to_numpy().copy()
        group[[0, 1, row]] = group[row]
        found.__dict__["images"] = found.images.assign(group=group)
        return found

    monkeypatch.setattr(load, "activations", grouped)
    assert f"Its {len({0, 1, row})} near-duplicates" in words(click(latent, row))


def test_a_run_of_another_clip_says_what_it_lacks(
    own: sc.pipeline.Run, click: Callable[[int, int], AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    acts = own.load("collect")
    latent = int(acts.strongest(1)[0])

    class Elsewhere:
        encoder = "ViT-B-32/openai"

    monkeypatch.setattr(load, "embeddings", lambda run, domain: Elsewhere())
    app = click(latent, int(acts.top(latent, 1)["row"].iloc[0]))
    assert not app.exception
    assert "made by ViT-B-32/openai" in words(app).replace("\\", "")
    assert not [one for one in app.get("plotly_chart") if "look-" in one.proto.id]
