"""Zero-shot, steer and publish on the demo: the numbers are the artifacts', sliders are recipes, downloads are the export."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui.steer import opened
from tests.pages.conftest import words

Open = Callable[..., AppTest]


@pytest.fixture
def made(on_demo: Path) -> sc.pipeline.Run:
    """The demo's run, opened."""
    store = sc.Store(on_demo)
    return sc.pipeline.runs(store)[0].open(store)


# ---------------------------------------------------------------- zero-shot


def test_zero_shot_shows_the_reports_numbers_with_n_interval_and_p(made: sc.pipeline.Run, open_page: Open) -> None:
    report = made.load("evaluate").report
    app = open_page("zero_shot")
    text = words(app).replace("\\", "")
    for domain, found in report["domains"].items():
        z = found["zero_shot"]
        assert domain in [header.value for header in app.subheader]
        assert f"{100 * z['accuracy_clip']:.1f} %" in [metric.value for metric in app.metric]
        change = f"{100 * z['delta']:+.1f} points [{100 * z['delta_ci_low']:+.1f}, {100 * z['delta_ci_high']:+.1f}]"
        assert change in [metric.delta for metric in app.metric]
        assert f"McNemar p = {z['mcnemar_p']:.2g}" in text
        q = found["reconstruction"]
        assert f"R² **{q['r2']:.3f}** [{q['r2_ci_low']:.3f}, {q['r2_ci_high']:.3f}] centred" in text
    (group,) = [one for one in app.button_group if one.key == "zero-shot-section"]
    app = group.set_value("Classes").run()
    classes = next(table.value for table in app.dataframe if "CLIP+SAE" in table.value)
    assert classes["n"].sum() == sum(found["zero_shot"]["n"] for found in report["domains"].values())
    app = group.set_value("Prompts").run()
    for found in report["domains"].values():
        assert "\n".join(found["zero_shot"]["templates"]) in [area.value for area in app.text_area]


# ---------------------------------------------------------------- steer


def sliders(app: AppTest) -> dict[str, float]:
    """Every slider's position by its latent's title."""
    return {slider.label.removesuffix(" × maximum"): slider.value for slider in app.slider}


def recipe_of(app: AppTest, run: sc.pipeline.Run) -> sc.config.SteerConfig:
    """The steer config that the page's own command line means."""
    (command,) = [code.value for code in app.code if "steer.edits" in code.value]
    parts = shlex.split(command)
    pairs = [parts[place + 1] for place, part in enumerate(parts) if part == "--set"]
    raw = sc.config.override(run.config.model_dump(mode="json"), pairs)
    return sc.config.validate(sc.RunConfig, raw, "command").steer


def test_steer_begins_as_the_steer_stage_does(made: sc.pipeline.Run, open_page: Open) -> None:
    stage = made.load("steer")
    app = open_page("steer")
    assert not app.error
    config = recipe_of(app, made)
    assert config.edits == stage.recipe.edits
    assert (config.domain, config.image) == (stage.result["domain"], stage.result["image"])
    text = words(app).replace("\\", "")
    assert stage.result["reason"] in text
    assert f"Nobody has moved a slider yet: turned up is {stage.result['chosen']}." in text


def test_what_the_page_computes_is_what_the_stage_wrote(made: sc.pipeline.Run) -> None:
    stage = made.load("steer")
    row = stage.result["row"]
    recipe = opened.recipe(made, stage.recipe.image, stage.recipe.edits, stage.recipe.keep_error, stage.recipe.renormalise)
    assert recipe == stage.recipe
    done = opened.steered(made, opened.scene(made).subject(row), recipe)
    assert done.metrics() == pytest.approx(stage.metrics())
    np.testing.assert_array_equal(done.neighbours["row"], stage.neighbours["row"])


def test_a_moved_slider_is_an_edit_and_reset_takes_all_back(made: sc.pipeline.Run, open_page: Open) -> None:
    app = open_page("steer")
    first, second = app.slider[0], app.slider[1]
    rest = second.value
    app = second.set_value(3.0).run()
    edits = recipe_of(app, made).edits or ()
    latent = int(second.label.split()[1].rstrip(":"))
    assert {edit.latent: edit.value for edit in edits}[latent] == 3.0
    assert len(edits) == 2
    app = {button.label: button for button in app.button}["Reset the sliders"].click().run()
    assert recipe_of(app, made).edits == ()
    assert "No latent is edited" in words(app)
    assert sliders(app)[second.label.removesuffix(" × maximum")] == rest
    assert first.label in [slider.label for slider in app.slider]


def test_the_other_operations(made: sc.pipeline.Run, open_page: Open) -> None:
    app = open_page("steer")
    (begun,) = recipe_of(app, made).edits or ()
    silent = next(s.key for s in app.slider if s.key.endswith(f"-{begun.latent}-clamp")).removesuffix("-clamp")
    app = app.selectbox(key=f"{silent}-op").set_value("ablate").run()
    assert recipe_of(app, made).edits == (), "a latent that is silent here cannot be switched off"
    latents, _ = made.load("collect").row(made.load("steer").result["row"])
    assert begun.latent not in latents
    latent = int(latents[0])
    key = next(s.key for s in app.slider if s.key.endswith(f"-{latent}-clamp")).removesuffix("-clamp")
    app = app.selectbox(key=f"{key}-op").set_value("ablate").run()
    (edit,) = recipe_of(app, made).edits or ()
    assert (edit.latent, edit.op) == (latent, "ablate")
    assert app.slider(key=f"{key}-ablate").disabled
    app = app.selectbox(key=f"{key}-op").set_value("add").run()
    assert recipe_of(app, made).edits == (), "adding nothing is no edit"
    app = app.slider(key=f"{key}-add").set_value(-1.0).run()
    (edit,) = recipe_of(app, made).edits or ()
    maximum = made.load("collect").postings(latent, split="train")[1][0]
    assert (edit.latent, edit.op, edit.value) == (latent, "add", pytest.approx(-maximum))


def test_switches_reach_the_recipe(made: sc.pipeline.Run, open_page: Open) -> None:
    app = open_page("steer")
    app.toggle(key="steer-keep").set_value(False)
    app = app.toggle(key="steer-norm").set_value(True).run()
    config = recipe_of(app, made)
    assert (config.keep_error, config.renormalise) == (False, True)


def test_a_linked_latent_gets_the_first_slider(made: sc.pipeline.Run, open_page: Open) -> None:
    alive = made.load("collect").alive()
    app = open_page("steer", latent=str(alive[-1]))
    assert app.slider[0].key.split("-")[2] == str(alive[-1])
    assert [edit.latent for edit in recipe_of(app, made).edits or ()] == [alive[-1]]


@pytest.mark.parametrize("asked", ["99999", "abc", "-1"])
def test_a_link_to_no_latent_steers_the_images_own(asked: str, made: sc.pipeline.Run, open_page: Open) -> None:
    app = open_page("steer", latent=asked)
    assert not app.exception
    assert not app.error
    assert sliders(app) == sliders(open_page("steer"))


def test_another_domain_is_another_image(made: sc.pipeline.Run, open_page: Open) -> None:
    app = open_page("steer")
    (group,) = [one for one in app.button_group if one.key == "steer-domain"]
    app = group.set_value("photo").run()
    assert not app.error
    assert recipe_of(app, made).domain == "photo"


# ---------------------------------------------------------------- publish


def test_publish_lists_the_files_of_the_export(made: sc.pipeline.Run, open_page: Open, tmp_path: Path) -> None:
    out = tmp_path / "out"
    expected = {path.relative_to(out).as_posix(): path for path in sc.export_run(made, out)}
    app = open_page("publish")
    table = next(table.value for table in app.dataframe if "what" in table.value)
    assert sorted(table["file"]) == sorted(expected)
    assert table["what"].str.len().gt(0).all(), "every file is explained"
    assert expected["README.md"].read_text(encoding="utf-8").strip() in [code.value.strip() for code in app.code]
    assert any("sae_core publish folder published --config" in code.value for code in app.code)
