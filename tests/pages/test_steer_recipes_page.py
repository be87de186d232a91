"""Recipes on the steer page: loaded by link, file and name, to the last digit; kept, shared, and refused with their cause."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui.steer import opened
from tests.pages.conftest import words

Open = Callable[..., AppTest]


@pytest.fixture
def made(on_demo: Path) -> sc.pipeline.Run:
    store = sc.Store(on_demo)
    return sc.pipeline.runs(store)[0].open(store)


@pytest.fixture
def good(made: sc.pipeline.Run) -> sc.Recipe:
    """Two edits whose values no slider has, on an image that is not the first."""
    alive = made.load("collect").alive()
    sha = str(made.load("manifest:photo").table["sha256"].iat[3])
    far = 1.75 * sc.train_maxima(made.load("collect"), [int(alive[2])])[int(alive[2])]
    edits = [sc.Edit(latent=int(alive[1]), op="clamp", value=1.2345), sc.Edit(latent=int(alive[2]), op="set", value=far)]
    return opened.recipe(made, sha, edits, keep_error=False)


def shown(app: AppTest) -> sc.Recipe:
    """The recipe that the page's own Python carries."""
    (python,) = [code.value for code in app.code if "read_recipe" in code.value]
    return sc.read_recipe(python.split("read_recipe('")[1].split("'")[0])


def test_a_link_is_loaded_to_the_last_digit_on_its_own_image(made: sc.pipeline.Run, good: sc.Recipe, open_page: Open) -> None:
    app = open_page("steer", recipe=sc.to_link(good))
    assert not app.error
    assert shown(app) == good
    text = words(app).replace("\\", "")
    assert "on the image it was made on (image 3 of photo)" in text
    assert "steer.image=3" in text
    assert not app.toggle(key="steer-keep").value
    assert [s.value for s in app.slider if s.key.endswith(f"-{good.edits[0].latent}-clamp")] == [1.2345]


def test_a_loaded_recipe_is_ones_own_after_a_move(good: sc.Recipe, open_page: Open) -> None:
    app = open_page("steer", recipe=sc.to_link(good))
    (slider,) = [s for s in app.slider if s.key.endswith(f"-{good.edits[0].latent}-clamp")]
    app = slider.set_value(3.0).run()
    after = {edit.latent: edit for edit in shown(app).edits}
    assert after[good.edits[0].latent].value == 3.0
    other = good.edits[1].latent
    unit = good.maxima[other]
    assert after[other].op == "clamp"
    assert after[other].value * unit == pytest.approx(good.edits[1].value)


def test_of_two_edits_of_one_latent_the_last_wins_and_that_is_said(made: sc.pipeline.Run, open_page: Open) -> None:
    latent = int(made.load("collect").alive()[0])
    recipe = opened.recipe(made, None, [sc.Edit(latent=latent, value=1.0), sc.Edit(latent=latent, value=5.0)])
    app = open_page("steer", recipe=sc.to_link(recipe))
    text = words(app).replace("\\", "")
    assert f"latent {latent} is edited twice: clamp 5 counts, clamp 1 does not" in text
    assert "above 4 the embedding is like none seen" in text
    assert [s.value for s in app.slider if s.key.endswith(f"-{latent}-clamp")] == [5.0]


def bad(made: sc.pipeline.Run, good: sc.Recipe) -> dict[str, tuple[str, str]]:
    """A recipe that is refused by its fault, and the words that say why."""
    acts = made.load("collect")
    silent = int(acts.alive()[1])

    def changed(**update: object) -> str:
        return json.dumps(json.loads(good.to_json()) | update)

    return {
        "encoder": (
            changed(encoder="ViT-B-32/openai"),
            "edits embeddings of ViT-B-32/openai, the dictionary's are of bundled/v1",
        ),
        "dictionary": (changed(sae="0" * 64), "the recipe is for dictionary 000000000000"),
        "range": (changed(edits=[{"latent": acts.m}]), f"this dictionary has latents 0 to {acts.m - 1}"),
        "nan": (good.to_json().replace("1.2345", "NaN"), "must be finite"),
        "version": (changed(version=9), "version"),
        "key": (changed(strength=2), "strength"),
        "json": ("{", "is no JSON"),
        "cut": (sc.to_link(good)[:60], "recipe link"),
        "other": ("hello", "this is no recipe"),
        "dead": (changed(edits=[{"latent": silent}], maxima={str(silent): 0.0}), f"latent {silent} is dead"),
    }


@pytest.mark.parametrize("fault", ["encoder", "dictionary", "range", "nan", "version", "key", "json", "cut", "other", "dead"])
def test_a_bad_recipe_is_refused_in_one_line_and_nothing_changes(
    fault: str, made: sc.pipeline.Run, good: sc.Recipe, open_page: Open
) -> None:
    text, cause = bad(made, good)[fault]
    app = open_page("steer", recipe=text)
    assert not app.exception
    (error,) = app.error
    said = error.value.replace("\\", "")
    assert said.startswith("The recipe is not loaded: ")
    assert cause in said
    assert "\n" not in said
    assert shown(app) == shown(open_page("steer"))


def test_a_file_and_a_pasted_address_are_loaded(good: sc.Recipe, open_page: Open) -> None:
    app = open_page("steer")
    app = app.file_uploader(key="steer-recipe-file").upload("recipe.json", good.to_json().encode(), "application/json").run()
    assert shown(app) == good
    app = open_page("steer")
    app = (
        app.text_input(key="steer-recipe-link").set_value(f"https://example.org/steer?run=a&recipe={sc.to_link(good)}&x=1").run()
    )
    assert shown(app) == good
    app = app.file_uploader(key="steer-recipe-file").upload("recipe.json", b"\xff\xfe", "application/json").run()
    assert "recipe.json is no recipe" in app.error[0].value.replace("\\", "")


def test_a_recipe_is_kept_with_the_dictionary_and_found_again(good: sc.Recipe, on_demo: Path, open_page: Open) -> None:
    app = open_page("steer", recipe=sc.to_link(good))
    app.text_input(key="steer-save-name").set_value("more spirals")
    app = app.button(key="steer-save").click().run()
    run = sc.pipeline.runs(sc.Store(on_demo))[0]
    try:
        assert sc.load_recipe(sc.Store(on_demo), run.id, "more spirals") == good
        app = open_page("steer")
        app = app.selectbox(key="steer-recipe-kept").set_value("more spirals").run()
        assert shown(app) == good
    finally:
        for file in sc.saved_recipes(sc.Store(on_demo), run.id).values():
            file.unlink()


def test_strangers_keep_recipes_for_their_visit_alone(
    good: sc.Recipe, on_demo: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    app = open_page("steer", recipe=sc.to_link(good))
    app.text_input(key="steer-save-name").set_value("mine")
    app = app.button(key="steer-save").click().run()
    assert sc.saved_recipes(sc.Store(on_demo), sc.pipeline.runs(sc.Store(on_demo))[0].id) == {}
    app = app.run()
    assert app.selectbox(key="steer-recipe-kept").options == ["mine"]
    assert "switched off where strangers use the app" in words(app)
