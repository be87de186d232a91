"""Every page on data that has captions and embeddings only: no classes, no pictures, one domain, no text tower at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui.drawing.bars import Section
from pages._ui.steer import outcome
from tests.pages.conftest import ROOT, words

Open = Callable[..., AppTest]
EVIL = "<img src=x onerror=alert(1)> **bold** [link](http://example.org) =1+1"
SETTINGS = ["sae.width=48", "sae.architecture.k=4", "sae.batch_size=64", "sae.steps=60", "evaluate.bootstrap=100"]
SETTINGS += ["interpret.random_directions=50", "steer.random_directions=4", "visualize.latents.strongest=2"]


@pytest.fixture(scope="module")
def captioned_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 240 embeddings around 12 captions, one of which tries to be markup."""
    folder = tmp_path_factory.mktemp("arrays")
    rng = np.random.default_rng(3)
    topics = rng.normal(size=(12, 512)).astype(np.float32)
    topic = np.arange(240) % 12
    np.save(folder / "image_embeddings.npy", topics[topic] + 0.8 * rng.normal(size=(240, 512)).astype(np.float32))
    np.save(folder / "text_embeddings.npy", topics[topic])
    captions = [EVIL, *(f"thing number {i}" for i in range(1, 12))]
    files = [f"images/{i}.png" for i in range(240)]
    pd.DataFrame({"file": files, "caption": [captions[t] for t in topic]}).to_csv(folder / "metadata.csv", index=False)
    cache = tmp_path_factory.mktemp("captioned") / "cache"
    sc.run(ROOT / "configs" / "embeddings.yaml", cache=cache, overrides=[f"data.path={folder}", *SETTINGS])
    return cache


@pytest.fixture
def on_captioned(captioned_cache: Path, monkeypatch: pytest.MonkeyPatch) -> sc.pipeline.Run:
    """Points the pages at the captioned run, with no way to fetch a text tower."""
    monkeypatch.setenv("SAE_LAB_CACHE", str(captioned_cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    store = sc.Store(captioned_cache)
    return sc.pipeline.runs(store)[0].open(store)


@pytest.mark.parametrize("page", ["zero_shot", "geometry", "gallery", "latent", "interpret", "steer", "publish"])
def test_a_page_shows_what_there_is(page: str, on_captioned: sc.pipeline.Run, open_page: Open) -> None:
    app = open_page(page)
    assert not app.exception
    assert not app.error
    assert "Something went wrong" not in words(app)
    # Where a caption is shown in markdown, nothing of it is markup.
    said = "\n".join(str(e.value) for kind in ("markdown", "caption", "subheader", "warning", "info") for e in app.get(kind))
    assert "**bold**" not in said
    assert "](http://example.org)" not in said


def test_zero_shot_shows_recall_before_and_after(on_captioned: sc.pipeline.Run, open_page: Open) -> None:
    recall = on_captioned.load("evaluate").report["domains"]["sketch"]["recall"]
    table = next(one.value for one in open_page("zero_shot").dataframe if "McNemar p" in one.value)
    assert table["CLIP"].tolist() == [recall[f"recall_{k}_clip"] for k in (1, 5, 10)]
    assert table["CLIP+SAE"].tolist() == [recall[f"recall_{k}_sae"] for k in (1, 5, 10)]


def test_gallery_of_one_domain_has_no_domain_tabs_and_search_says_what_it_lacks(
    on_captioned: sc.pipeline.Run, open_page: Open
) -> None:
    app = open_page("gallery")
    (group,) = [one for one in app.button_group if one.key == "gallery-group"]
    assert [option.partition(" (")[0] for option in group.options] == ["all alive", "dead"]
    app = app.text_input(key="gallery-search").set_value("spiral").run()
    assert not app.error
    assert app.warning[0].value.startswith("Search needs the text tower")


def test_steer_follows_captions_when_there_are_no_classes(
    on_captioned: sc.pipeline.Run, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Section] = []
    monkeypatch.setattr(outcome, "show", lambda sections, key, seq: shown.extend(sections))
    app = open_page("steer")
    assert not app.error
    assert any("distinct captions nearest to the unsteered image" in section.note for section in shown)


def test_without_classes_or_pictures_geometry_says_what_it_takes(on_captioned: sc.pipeline.Run, open_page: Open) -> None:
    app = open_page("geometry")
    assert "No domain of this run has both" in words(app)
    assert "make-geometry" not in [button.key for button in app.button], "it could only fail"
    (group,) = [one for one in app.button_group if one.key == "geometry-section"]
    assert "one domain, so no latent can shift" in words(group.set_value("Domain shift").run())


@pytest.mark.parametrize("section", ["Classes", "Confusion", "Flipped images", "Prompts", "Quality"])
def test_every_section_of_zero_shot_does_without_classes(section: str, on_captioned: sc.pipeline.Run, open_page: Open) -> None:
    app = open_page("zero_shot")
    (group,) = [one for one in app.button_group if one.key == "zero-shot-section"]
    app = group.set_value(section).run()
    assert not app.error
    assert not app.exception
    if section != "Quality":
        assert "no classes" in words(app).lower()
