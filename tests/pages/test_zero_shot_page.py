"""The zero-shot page: two domains, several runs over each other, every section, prompts that make another evaluation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui import watch
from pages._ui.evaluation import compare, flips, prompts, sides
from tests.caches import small_config
from tests.pages.conftest import words

Open = Callable[..., AppTest]
SECTIONS = ("Accuracy", "Classes", "Confusion", "Flipped images", "Prompts", "Quality")


@pytest.fixture(scope="module")
def two_cache(demo_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's cache with a second run, of a dictionary that saw sketches alone."""
    cache = tmp_path_factory.mktemp("two") / "cache"
    shutil.copytree(demo_cache, cache)
    config = small_config()
    sae = config.sae.model_copy(update={"domains": ("sketch",)})
    sc.run(config.model_copy(update={"name": "sketch only", "sae": sae}), cache=cache, stage="evaluate")
    return cache


@pytest.fixture
def runs(two_cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, sc.pipeline.Recorded]:
    """Points the pages at the cache with two runs; the runs by name."""
    monkeypatch.setenv("SAE_LAB_CACHE", str(two_cache))
    return {run.name: run for run in sc.pipeline.runs(sc.Store(two_cache))}


def section(app: AppTest, name: str) -> AppTest:
    (group,) = [one for one in app.button_group if one.key == "zero-shot-section"]
    return group.set_value(name).run()


def sound(app: AppTest) -> AppTest:
    assert not app.exception
    assert not app.error
    return app


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_of_one_run_and_of_two(name: str, runs: dict[str, sc.pipeline.Recorded], open_page: Open) -> None:
    app = sound(section(open_page("zero_shot", run=runs["small"].id), name))
    app = sound(app.multiselect(key=sides.RUNS).set_value([runs["sketch only"].id]).run())
    sound(app.multiselect(key=sides.DOMAINS).set_value(["photo"]).run())


def test_two_runs_stand_beside_each_other_and_the_best_is_starred(
    runs: dict[str, sc.pipeline.Recorded], two_cache: Path, open_page: Open
) -> None:
    app = open_page("zero_shot", run=runs["small"].id)
    app = sound(app.multiselect(key=sides.RUNS).set_value([runs["sketch only"].id]).run())
    table = next(one.value for one in app.dataframe if "trained on it" in one.value)
    assert list(zip(table["domain"], table["run"], strict=True)) == [
        ("sketch", "small"),
        ("sketch", "sketch only"),
        ("photo", "small"),
        ("photo", "sketch only"),
    ]
    assert table["trained on it"].tolist() == ["yes", "yes", "yes", "no"]
    store = sc.Store(two_cache)
    r2 = [
        run.open(store).load("evaluate").report["domains"]["photo"]["reconstruction"]["r2"]
        for run in (runs["small"], runs["sketch only"])
    ]
    assert r2[0] > r2[1], "the one that saw photos rebuilds them better"
    assert table["R²"].tolist()[2:] == [f"{r2[0]:.3f}{compare.STAR}", f"{r2[1]:.3f}"]
    assert "Not trained on this domain" in words(app)


def test_one_domain_of_two_runs_is_two_columns_named_by_run(runs: dict[str, sc.pipeline.Recorded], open_page: Open) -> None:
    app = open_page("zero_shot", run=runs["small"].id)
    app = app.multiselect(key=sides.RUNS).set_value([runs["sketch only"].id]).run()
    app = sound(app.multiselect(key=sides.DOMAINS).set_value(["photo"]).run())
    assert [one.value for one in app.subheader] == ["Beside each other", "small", "sketch only"]


def test_the_confusion_and_the_flips_agree_with_the_report(
    runs: dict[str, sc.pipeline.Recorded], two_cache: Path, open_page: Open
) -> None:
    evaluation = runs["sketch only"].open(sc.Store(two_cache)).load("evaluate")
    kinds = evaluation.flips["kind"].value_counts()
    app = section(open_page("zero_shot", run=runs["sketch only"].id), "Flipped images")
    (group,) = [one for one in app.button_group if one.key == "flips-kind"]
    assert group.options == [f"{word} ({int(kinds.get(kind, 0))})" for kind, word in flips.KINDS.items()]
    lost = sum(found["zero_shot"]["lost"] for found in evaluation.report["domains"].values())
    assert kinds.get("lost", 0) == lost


def test_other_prompts_are_a_job_on_the_same_dictionary(
    runs: dict[str, sc.pipeline.Recorded], open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(watch, "launch", lambda command, config, rerun=True: started.append((command, config)))
    run = runs["small"]
    app = section(open_page("zero_shot", run=run.id), "Prompts")
    start = f"prompts-start-{run.id}-sketch"
    assert app.button(key=start).disabled, "nothing was changed yet"
    area = f"prompts-{run.id}-sketch-templates-used"
    app = app.text_area(key=area).set_value("a scribble of a {}\n\n{} in ink\n").run()
    sound(app).button(key=start).click().run()
    ((command, config),) = started
    assert command == "evaluate"
    assert config.evaluate.templates == {"sketch": ("a scribble of a {}", "{} in ink")}
    assert (config.data, config.sae, config.clip) == (run.config.data, run.config.sae, run.config.clip)


def test_a_template_without_a_place_for_the_class_is_one_line(runs: dict[str, sc.pipeline.Recorded], open_page: Open) -> None:
    run = runs["small"]
    app = section(open_page("zero_shot", run=run.id), "Prompts")
    app = app.text_area(key=f"prompts-{run.id}-sketch-templates-used").set_value("a scribble").run()
    assert ["exactly once" in error.value for error in app.error] == [True]
    assert app.button(key=f"prompts-start-{run.id}-sketch").disabled


def test_words_of_a_domain_replace_those_of_before(runs: dict[str, sc.pipeline.Recorded]) -> None:
    run = runs["small"]
    first = prompts.config_with(run, {"sketch": {"templates": None, "class_names": {"cat": "kitten"}}})
    assert first.evaluate.class_names == {"sketch": {"cat": "kitten"}}
    assert first.evaluate.templates == run.config.evaluate.templates
    again = prompts.config_with(
        sc.pipeline.Recorded(run.id, run.name, run.created, run.keys, first), {"sketch": {"templates": None, "class_names": {}}}
    )
    assert again.evaluate == run.config.evaluate


def test_sparse_probes_are_made_when_asked_for(
    runs: dict[str, sc.pipeline.Recorded], open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(watch, "launch", lambda command, config, rerun=True: started.append((command, config)))
    app = section(open_page("zero_shot", run=runs["small"].id), "Quality")
    app.button(key="sparse-probes-start").click().run()
    ((command, config),) = started
    assert (command, config.evaluate.sparse_probes) == ("evaluate", True)


def test_differences_are_clear_only_where_intervals_lie_apart() -> None:
    def change(low: float, delta: float, high: float) -> dict[str, Any]:
        return {"zero_shot": {"delta": delta, "delta_ci_low": low, "delta_ci_high": high}}

    worse, near, better = change(-0.2, -0.15, -0.1), change(-0.12, -0.06, 0.0), change(-0.05, -0.02, 0.0)
    assert "overlap" in compare.verdict({"a": worse, "b": near})
    said = compare.verdict({"a": worse, "b": near, "c": better})
    assert said.startswith("**Clearly different**: a changes by -15.0 points, c by -2.0 points")
    assert compare.verdict({"a": worse}) == ""


def test_runs_of_one_name_are_told_apart() -> None:
    assert sides.unlike(["demo", "demo", "other"], ["run-0123", "run-4567", "run-89ab"]) == ["demo 0123", "demo 4567", "other"]


def test_a_flip_is_told_as_what_it_is_and_what_it_is_taken_for() -> None:
    names = ["cat", "*dog*", "<b>"]
    row = {"label": 0, "pred_clip": 0, "pred_sae": 1, "kind": "lost"}
    assert flips.sentence(row, names) == r"**cat → \*dog\***"
    assert flips.sentence({**row, "pred_clip": 2, "pred_sae": 0, "kind": "gained"}, names) == r"**\<b\> → cat** (is cat)"
    assert flips.sentence({**row, "pred_clip": 2, "kind": "changed"}, names) == r"**\<b\> → \*dog\*** (is cat)"


def test_the_parts_of_a_flip_add_up(runs: dict[str, sc.pipeline.Recorded], two_cache: Path) -> None:
    run = runs["sketch only"]
    have = run.open(sc.Store(two_cache))
    table = have.load("evaluate").flips
    assert len(table)
    entry = sides.Entry(run, have, "photo", run.name)
    for row in table.to_dict("records"):
        told = flips.parts(entry, row).replace("\\", "")
        numbers = [float(part.rsplit(" ", 1)[1]) for part in told.split(" · ")]
        *latents_and_bias, residual = numbers
        assert sum(latents_and_bias) == pytest.approx(row["margin_sae"], abs=0.01)
        assert sum(latents_and_bias) + residual == pytest.approx(row["margin_clip"], abs=0.01)


def test_the_common_view_is_shown_where_class_sets_differ(
    runs: dict[str, sc.pipeline.Recorded], two_cache: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = runs["small"].open(sc.Store(two_cache)).load("evaluate")
    z = evaluation.report["domains"]["sketch"]["zero_shot"]
    numbers = {
        key: z[key] for key in ("accuracy_clip", "accuracy_sae", "delta", "delta_ci_low", "delta_ci_high", "mcnemar_p", "n")
    }
    changed = dict(evaluation.report)
    changed["common"] = {"classes": ["a", "<i>b</i>"], "domains": {"sketch": numbers, "photo": numbers}}
    photo = changed["domains"]["photo"]
    changed["domains"] = {
        **changed["domains"],
        "photo": {**photo, "zero_shot": {**photo["zero_shot"], "classes": [*photo["zero_shot"]["classes"][:-1], "other"]}},
    }
    evaluation.report = changed
    monkeypatch.setattr("pages._ui.load.evaluation", lambda run: evaluation)
    app = sound(open_page("zero_shot", run=runs["small"].id))
    assert any("different classes" in one.value for one in app.warning)
    table = next(one.value for one in app.dataframe if "classes" in one.value)
    assert table["n"].tolist() == [z["n"], z["n"]]
    assert isinstance(table, pd.DataFrame)
    assert r"\<i\>b\</i\>" in words(app)
