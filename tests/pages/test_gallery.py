"""The gallery on the demo: every filter against the table itself, searches, the list, links, and what strangers type."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui import latents
from pages._ui.gallery import view
from tests.pages.conftest import words

Open = Callable[..., AppTest]


@pytest.fixture
def judged(judged_cache: Path, monkeypatch: pytest.MonkeyPatch) -> sc.pipeline.Run:
    """The demo with its names and verdicts, which the pages then show."""
    monkeypatch.setenv("SAE_LAB_CACHE", str(judged_cache))
    store = sc.Store(judged_cache)
    (run,) = [run for run in sc.pipeline.runs(store) if run.name == "small"]
    return run.open(store)


@pytest.fixture
def shown(judged: sc.pipeline.Run, open_page: Open) -> Callable[..., AppTest]:
    """Opens the gallery's table of that run, as a link would."""
    return lambda **query: open_page("gallery", run=judged.id, **{"section": "table", **query})


def whole(have: sc.pipeline.Run) -> pd.DataFrame:
    """Every latent that fires, as the core has them."""
    acts = have.load("collect")
    classes = {domain: have.load(f"manifest:{domain}").classes for domain in acts.domains}
    scan = have.load("scan").table
    table = sc.latent_table(acts, have.load("interpret"), have.load("geometry"), classes=classes, scan=scan)
    return table[table["group"] != "dead"]


def rows(app: AppTest) -> pd.DataFrame:
    """The gallery's table."""
    assert not app.exception
    assert not app.error
    return next(table.value for table in app.dataframe if "sum" in table.value)


def latents_of(app: AppTest) -> list[int]:
    """Which latents the table shows, in its order."""
    return [int(j) for j in rows(app)["latent"]]


def choose(app: AppTest, name: str, value: object) -> AppTest:
    """Set the button group of a parameter and run."""
    (group,) = [one for one in app.button_group if one.key == view.key(name)]
    return (
        group.set_value(value).run()
        if not isinstance(group.value, list) or isinstance(value, list)
        else group.set_value([value]).run()
    )


def button(app: AppTest, key: str) -> Any:
    return next(one for one in app.button if one.key == key)


# ---------------------------------------------------------------- tabs, filters, order


def test_every_living_latent_is_there_once_by_summed_activation(judged: sc.pipeline.Run, shown: Open) -> None:
    found, expected = rows(shown()), whole(judged)
    assert sorted(found["latent"]) == sorted(expected["latent"])
    assert found["sum"].is_monotonic_decreasing
    pd.testing.assert_series_equal(
        found.set_index("latent")["count"].sort_index(), expected.set_index("latent")["count"].sort_index()
    )


def test_tabs_are_a_partition_and_the_dead_are_named(judged: sc.pipeline.Run, shown: Open) -> None:
    acts = judged.load("collect")
    seen: list[int] = []
    app = shown()
    for option in ("shared", "sketch only", "photo only"):
        app = choose(app, "group", option)
        tables = [one.value for one in app.dataframe if "sum" in one.value]
        seen += [int(j) for table in tables for j in table["latent"]]
    assert sorted(seen) == acts.alive().tolist()
    app = choose(app, "group", "dead")
    assert f"{acts.m - len(acts.alive()):,} of {acts.m:,} latents fire on none" in words(app)


def test_each_filter_leaves_what_the_table_says(judged: sc.pipeline.Run, shown: Open) -> None:
    table = whole(judged)
    verdicts = table[["sketch.verdict", "photo.verdict"]]
    verdict = verdicts["sketch.verdict"].mode().iloc[0]
    own = table["best_class"].mode().iloc[0]
    status = table["status"].mode().iloc[0]
    wanted = {
        "rate": ("0.03-0.1", table["rate"].between(0.03, 0.1)),
        "score": ("0.6-0.9", table["score"].between(0.6, 0.9)),
        "status": (status, table["status"] == status),
        "verdict": (verdict, (verdicts == verdict).any(axis=1)),
        "class": (own, table["best_class"] == own),
    }
    for name, (asked, keep) in wanted.items():
        app = shown(**{name: asked})
        assert 0 < keep.sum() < len(table), name
        assert sorted(latents_of(app)) == sorted(table.loc[keep, "latent"]), name
        assert f"**{keep.sum()} latent" in words(app), "what is active is said"
        app = button(app, "gallery-clear").click().run()
        assert len(latents_of(app)) == len(table)
        assert "gallery-clear" not in [one.key for one in app.button]


def test_filters_are_set_by_hand_too_and_together(judged: sc.pipeline.Run, shown: Open) -> None:
    table = whole(judged)
    app = shown()
    app = app.select_slider(key="gallery-rate").set_value((0.03, 0.1)).run()
    app = app.selectbox(key="gallery-sort").set_value("firing rate, lowest first").run()
    found = rows(app)
    assert len(found) == table["rate"].between(0.03, 0.1).sum()
    assert found["rate"].is_monotonic_increasing
    status = found["status"].iloc[0]
    app = choose(app, "status", [status])
    found = rows(app)
    assert set(found["status"]) == {status}
    assert found["rate"].between(0.03, 0.1).all()
    app = app.text_input(key="gallery-text").set_value("no latent is called this").run()
    assert "No latent passes these filters" in words(app)


def test_a_name_is_found_whatever_its_case(judged: sc.pipeline.Run, shown: Open) -> None:
    names = whole(judged)["name"].dropna()
    if names.empty:
        pytest.skip("no latent of the small demo got a name")
    found = rows(shown().text_input(key="gallery-text").set_value(names.iloc[0].upper()).run())
    assert len(found) == names.str.contains(names.iloc[0], case=False, regex=False).sum()


def test_bookmarks_and_notes_are_filters(
    judged: sc.pipeline.Run, judged_cache: Path, shown: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(judged_cache, cache)
    monkeypatch.setenv("SAE_LAB_CACHE", str(cache))
    ids = whole(judged)["latent"].tolist()
    app = shown(list=f"{ids[0]},{ids[3]}", marked="1")
    assert "No latent passes these filters" in words(app)
    app = button(app, "gallery-bookmark-all").click().run()
    assert sorted(latents_of(app)) == sorted([ids[0], ids[3]])
    assert rows(app)["bookmarked"].all()
    app = button(app, "gallery-bookmark-all").click().run()
    assert "No latent passes these filters" in words(app)
    sc.set_mark(sc.Store(cache), judged.id, ids[5], note="looks like a HOOK")
    assert latents_of(shown(text="hook")) == [ids[5]]


def test_what_strangers_bookmark_is_theirs_alone(judged: sc.pipeline.Run, shown: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    first = whole(judged)["latent"].tolist()[0]
    app = button(shown(list=str(first)), "gallery-bookmark-all").click().run()
    assert rows(app).set_index("latent")["bookmarked"].loc[first]
    assert not rows(shown())["bookmarked"].any()


# ---------------------------------------------------------------- searches


def test_a_text_sorts_by_its_cosine(shown: Open) -> None:
    app = shown().text_input(key="gallery-search").set_value("spiral").run()
    found = rows(app)
    assert found["likeness"].is_monotonic_decreasing
    assert found["likeness"].between(-1, 1).all()
    assert "by likeness to “spiral”" in words(app)
    assert "never read" not in words(app)
    other = rows(app.text_input(key="gallery-search").set_value("fish").run())
    assert list(other["latent"]) != list(found["latent"])
    assert "never read “zeppelin”" in words(app.text_input(key="gallery-search").set_value("zeppelin spiral").run())
    assert "likeness" not in rows(app.text_input(key="gallery-search").set_value("").run())


def test_an_image_of_the_data_shows_the_latents_of_its_row(judged: sc.pipeline.Run, shown: Open) -> None:
    acts = judged.load("collect")
    row = int(np.flatnonzero((acts.images["domain"] == "photo") & (acts.images["image"] == 7))[0])
    ids, values = acts.row(row)
    found = rows(shown(image="photo:7"))
    assert found["fired"].is_monotonic_decreasing
    expected = dict(zip(ids.tolist(), (values / acts.maxima[ids]).tolist(), strict=True))
    assert dict(zip(found["latent"], found["fired"], strict=True)) == pytest.approx(expected)


def test_an_uploaded_picture_shows_what_it_fires(judged: sc.pipeline.Run, shown: Open) -> None:
    picture = judged.load("manifest:sketch").image(3)
    out = io.BytesIO()
    picture.save(out, "PNG")
    app = shown()
    app = app.file_uploader[0].upload("my drawing.png", out.getvalue(), "image/png").run()
    assert "fired by your picture" in words(app)
    same = rows(shown(image="sketch:3"))
    assert set(latents_of(app)) == set(same["latent"]), "the data's own picture fires what the run says"


def bad_uploads() -> dict[str, bytes]:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(out, "PNG")
    return {
        "truncated.png": out.getvalue()[:900],
        "text.png": b"this is no picture",
        "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg'><circle r='4'/></svg>",
        "empty.png": b"",
    }


@pytest.mark.parametrize("name", list(bad_uploads()))
def test_a_bad_upload_gets_one_line_and_the_gallery_goes_on(name: str, judged: sc.pipeline.Run, shown: Open) -> None:
    app = shown()
    app = app.file_uploader[0].upload(name, bad_uploads()[name], "image/png").run()
    assert not app.exception
    (line,) = [one.value for one in app.error]
    assert "\n" not in line
    assert "Something went wrong" not in line
    assert next(one.value for one in app.dataframe if "sum" in one.value)["latent"].size == len(whole(judged))


# ---------------------------------------------------------------- the list, links, hostile words


def test_a_list_is_shown_alone_and_cleared(judged: sc.pipeline.Run, shown: Open) -> None:
    ids = whole(judged)["latent"].tolist()[:5]
    app = shown(list=",".join(map(str, ids)))
    assert "5 latents selected" in words(app)
    assert len(latents_of(app)) > 5
    app = app.toggle(key="gallery-only").set_value(True).run()
    assert sorted(latents_of(app)) == sorted(ids)
    assert "among 5 chosen" in words(app)
    app = button(app, "gallery-list-clear").click().run()
    assert "selected" not in words(app)
    assert len(latents_of(app)) == len(whole(judged))


@pytest.mark.parametrize("section", view.SECTIONS)
@pytest.mark.parametrize("group", ["all alive", "shared", "dead"])
def test_every_section_of_every_tab_opens(section: str, group: str, judged: sc.pipeline.Run, shown: Open) -> None:
    app = shown(section=section.lower().replace(" ", "-"), group=group)
    assert not app.exception
    assert not app.error
    assert "Something went wrong" not in words(app)


EVIL = "<img src=x onerror=alert(1)> **bold** [link](http://example.org) $x$ :red[y] `z`"


def assert_inert(app: AppTest) -> None:
    assert not app.exception
    assert not app.error
    said = "\n".join(str(e.value) for kind in ("markdown", "caption", "warning", "info") for e in app.get(kind))
    assert "Something went wrong" not in said
    assert "](http://example.org)" not in said
    assert "**bold**" not in said


@pytest.mark.parametrize("text", ["-1", "９", "photo:99999999", "1e309-nan", "a" * 5000, "\x00,,\n"])
def test_no_link_breaks_the_page(text: str, judged: sc.pipeline.Run, open_page: Open) -> None:
    assert_inert(open_page("gallery", run=judged.id, **dict.fromkeys(view.PARAMS, text)))


@pytest.mark.parametrize("name", sorted(view.PARAMS))
def test_markup_in_a_link_is_text(name: str, judged: sc.pipeline.Run, open_page: Open) -> None:
    assert_inert(open_page("gallery", run=judged.id, **{name: EVIL}))


def test_a_hostile_name_is_text_in_every_section(
    judged: sc.pipeline.Run, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = latents.table
    monkeypatch.setattr(latents, "table", lambda have: true(have).assign(name=EVIL, note=EVIL, best_class=EVIL))
    for section in ("pictures", "domain-shift", "table"):
        assert_inert(open_page("gallery", run=judged.id, section=section, **{"class": EVIL}))


def test_the_gallery_is_found_as_it_was_left_and_a_link_is_more(judged: sc.pipeline.Run, shown: Open) -> None:
    app = shown(rate="0.03-0.1")
    few = latents_of(app)
    app.switch_page("pages/interpret.py")
    app.query_params.clear()
    app.query_params["run"] = judged.id
    app.run()
    app.switch_page("pages/gallery.py")
    app.query_params.clear()
    app.query_params["run"] = judged.id
    app.run()
    assert latents_of(app) == few
    app.query_params["section"] = "table"
    app.query_params.pop("rate", None)
    app.run()
    assert len(latents_of(app)) == len(whole(judged)), "a link says all that is asked for"
