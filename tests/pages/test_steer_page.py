"""The steer page's parts: what was set is said, controls, the latents that steer, the strip, generators and their refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui.steer import opened, outcome
from tests.pages.conftest import words

Open = Callable[..., AppTest]


@pytest.fixture
def made(on_demo: Path) -> sc.pipeline.Run:
    store = sc.Store(on_demo)
    return sc.pipeline.runs(store)[0].open(store)


@pytest.fixture
def recipe(made: sc.pipeline.Run) -> sc.Recipe:
    alive = made.load("collect").alive()
    return opened.recipe(made, None, [sc.Edit(latent=int(alive[0]), value=2.0)])


# ---------------------------------------------------------------- words and controls


def test_what_is_set_is_said_in_full(made: sc.pipeline.Run) -> None:
    names = made.load("interpret")
    edits = (
        sc.Edit(latent=3, value=1.0),
        sc.Edit(latent=4, op="add", value=-1.0),
        sc.Edit(latent=5, op="ablate"),
        sc.Edit(latent=6, op="set", value=0.25),
        sc.Edit(latent=3, value=1.35),
    )
    said = outcome.said(sc.Recipe(edits=edits, maxima={4: 2.0}), names)
    for part in ("set to 1.35 ×", "-0.50 ×", "switched off", "set to 0.25"):
        assert part in said
    assert "1.00" not in said, "of two edits of one latent the last counts"
    assert outcome.said(sc.Recipe(), names) == "no edit"
    assert outcome.said(sc.Recipe(), names, "none") == "the image as it is (the edit: no edit)"


def test_controls_stand_in_for_the_edit(made: sc.pipeline.Run, recipe: sc.Recipe) -> None:
    scene = opened.scene(made)
    subject = scene.subject(2)
    results = {control: opened.steered(made, subject, recipe, control).result for control in outcome.CONTROLS}
    assert results["none"]["cosine"] == pytest.approx(1.0, abs=1e-6)
    assert results["none"]["steer_jaccard"] == 1.0
    assert results["none"]["collateral"] == []
    assert {one["verdict"] for one in results.values()} == {results["edited"]["verdict"]}, "the verdict is the edit's"
    maxima = scene.maxima(recipe)
    far = {c: np.linalg.norm(sc.steered_to(subject.x, recipe, scene.sae, maxima, c) - subject.x) for c in ("edited", "random")}
    assert far["random"] == pytest.approx(far["edited"], rel=1e-4)
    np.testing.assert_allclose(
        sc.steered_to(subject.x, recipe, scene.sae, maxima, "reconstruction"), scene.sae(subject.x[None])[0], atol=1e-5
    )
    with pytest.raises(sc.InputError, match="no control 'other'"):
        sc.steered_to(subject.x, recipe, scene.sae, maxima, "other")  # type: ignore[arg-type]


def test_the_page_switches_between_controls(made: sc.pipeline.Run, open_page: Open) -> None:
    app = open_page("steer")
    (group,) = [one for one in app.button_group if one.key == "steer-control"]
    for control in outcome.CONTROLS:
        app = group.set_value(control).run()
        assert not app.error
        assert not app.exception


# ---------------------------------------------------------------- which latents steer


def test_latents_that_steer_are_offered_most_effective_first(
    judged_cache: Path, monkeypatch: pytest.MonkeyPatch, open_page: Open
) -> None:
    monkeypatch.setenv("SAE_LAB_CACHE", str(judged_cache))
    store = sc.Store(judged_cache)
    run = next(run for run in sc.pipeline.runs(store) if run.name == "small")
    table = run.open(store).load("scan").table
    steers = table[table["verdict"] == "steerable"].sort_values("beyond", ascending=False, kind="stable")
    app = open_page("steer", run=run.id)
    if steers.empty:
        assert "none is steerable" in words(app)
        return
    box = app.selectbox(key="steer-scan")
    assert [int(option.split()[0]) for option in box.options] == steers["latent"].tolist()
    app = box.set_value(box.options[-1]).run()
    assert app.slider[0].key.split("-")[2] == str(steers["latent"].iloc[-1])


def test_without_a_scan_a_button_makes_it(made: sc.pipeline.Run, open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from pages._ui import watch

    started: list[str] = []
    monkeypatch.setattr(watch, "launch", lambda command, config, rerun=True: started.append(command))
    app = open_page("steer")
    assert "has not been rated" in words(app)
    app.button(key="make-scan").click().run()
    assert started == ["scan"]


# ---------------------------------------------------------------- generators


class Grey:
    """A pretrained decoder of the demo's own CLIP that draws one grey for each row, or runs out of memory."""

    def __init__(self, present: bool = False) -> None:
        self.present_ = present
        self.asked: list[dict[str, Any]] = []
        self.answer: Any = None

    id, title, encoders, licence = "grey", "Grey", ("bundled/v1",), "Licence of Grey"

    def present(self) -> bool:
        return self.present_

    def needs(self) -> dict[str, Any]:
        return {
            "what": "Grey",
            "source": "a hub",
            "size": "about 9 GB",
            "memory": "2 GB",
            "memory_offloaded": "1 GB",
            "present": self.present_,
        }


@pytest.fixture
def grey(monkeypatch: pytest.MonkeyPatch) -> Grey:
    decoder = Grey()

    def picture(x: Any, recipe: sc.Recipe, sae: Any, asked: Any, **how: Any) -> Any:
        decoder.asked.append(how)
        if decoder.answer is not None:
            if isinstance(decoder.answer, Exception):
                raise decoder.answer
            return decoder.answer
        return sc.Pictured(tuple(Image.new("RGB", (8, 8), "grey") for _ in x), None, recipe)

    monkeypatch.setattr(sc, "PretrainedDecoder", Grey)
    monkeypatch.setattr(sc, "decoders_for", lambda encoder_id: [decoder])
    monkeypatch.setattr(sc, "picture", picture)
    return decoder


def test_size_memory_and_licence_are_said_before_anything_is_fetched(grey: Grey, on_demo: Path, open_page: Open) -> None:
    app = open_page("steer")
    text = words(app).replace("\\", "")
    assert "**Grey**: not on this machine; about 9 GB would be fetched. Memory 2 GB; with offloading 1 GB." in text
    assert "Licence Licence of Grey. From a hub." in text
    assert grey.asked == []
    app = app.button(key="steer-draw-grey").click().run()
    assert grey.asked == [{"offload": False, "fetch": True}]
    assert "Drawn by Grey for latent" in words(app).replace("\\", "")


def test_memory_that_runs_out_leaves_level_0_and_the_recipe(grey: Grey, on_demo: Path, open_page: Open) -> None:
    app = open_page("steer")
    before = [code.value for code in app.code]
    grey.answer = sc.NotDrawn(sc.Recipe(), "memory ran out while grey drew")
    app = app.button(key="steer-draw-grey").click().run()
    assert not app.error
    assert "memory ran out while grey drew. The recipe is kept" in words(app).replace("\\", "")
    assert [code.value for code in app.code] == before
    grey.answer = sc.Unavailable("cannot fetch Grey: no network")
    app = app.button(key="steer-draw-grey").click().run()
    assert "cannot fetch Grey: no network" in app.error[0].value.replace("\\", "")


def test_strangers_are_offered_no_generator(grey: Grey, on_demo: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    app = open_page("steer")
    assert not [button for button in app.button if str(button.key).startswith("steer-draw")]
    assert grey.asked == []


def test_where_none_fits_the_encoders_that_would_are_named(made: sc.pipeline.Run, open_page: Open) -> None:
    text = words(open_page("steer")).replace("\\", "")
    assert "None draws embeddings of bundled/v1" in text
    for decoder in sc.PRETRAINED.values():
        assert f"{decoder.title}: {decoder.encoders[0]}" in text
    assert "configs/kandinsky_bigG.yaml" in text


def test_every_pretrained_generator_has_a_licence() -> None:
    assert all("Apache" in one.licence or "RAIL" in one.licence for one in sc.PRETRAINED.values())


class Lines:
    """A generator that needs no fetching: its picture says how long the embedding is."""

    id, title, encoders = "lines", "Lines", ("bundled/v1",)

    def present(self) -> bool:
        return True


def test_a_generator_of_the_project_draws_at_once_and_its_strip_is_called_generated(
    on_demo: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def picture(x: Any, recipe: sc.Recipe, sae: Any, decoder: Any, **how: Any) -> Any:
        drawn.append(len(x))
        svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><path d="M0 0L9 9"/></svg>'
        return sc.Pictured(tuple(Image.new("RGB", (8, 8), "white") for _ in x), tuple(svg for _ in x), recipe)

    shown: list[Any] = []
    show = outcome.show
    monkeypatch.setattr(outcome, "show", lambda sections, key, seq: (shown.extend(sections), show(sections, key, seq)))
    monkeypatch.setattr(sc, "decoders_for", lambda encoder_id: [Lines()])
    monkeypatch.setattr(sc, "picture", picture)
    app = open_page("steer")
    assert not app.error
    (section,) = [one for one in shown if one.title == "Drawn (generated)"][:1]
    assert [picture.label.rpartition(", ")[2] for picture in section.pictures] == ["generated", "generated"]
    assert "both from seed 0" in section.note
    assert set(drawn) == {1, 14}, "before and after one by one, both rows of the strip at once"
    assert ":violet-badge[generated]" in words(app)
    (group,) = [one for one in app.button_group if one.key == "steer-strip-way"]
    app = group.set_value("nearest images of the data").run()
    assert ":violet-badge[generated]" not in words(app)
