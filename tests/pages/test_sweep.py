"""The sweep page: a sweep is started, found again and read, and one of its members is taken on to training."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui import bits, member, session, stability_view, sweep_view
from tests.caches import swept_config
from tests.pages.conftest import words
from tests.pages.test_frame import until

Open = Callable[..., AppTest]


def plain_words(app: AppTest) -> str:
    return words(app).replace("\\", "")


@pytest.fixture
def sweep(on_sweep: Path) -> sc.pipeline.Recorded:
    """The recorded sweep."""
    (found,) = session.all_sweeps()
    return found


# ---------------------------------------------------------------- the result


def test_the_page_shows_the_sweeps_table_with_its_front_marked(sweep: sc.pipeline.Recorded, open_page: Open) -> None:
    swept = sweep.open(session.store()).load("sweep")
    app = open_page("sweep")
    assert not app.exception
    assert not app.error
    shown = next(table.value for table in app.dataframe if "front" in table.value).set_index("member")
    table = swept.table.set_index("name").loc[shown.index]
    assert len(shown) == len(swept.table) == 5
    assert list(shown["front"] == "★") == list(table["pareto"])
    for ours, theirs in (("L0", "l0"), ("R²", "r2"), ("dead", "dead_fraction"), ("cosine", "cosine"), ("width", "width")):
        assert list(shown[ours]) == list(table[theirs])
    assert set(shown["architecture"]) == {"TopK", "PCA", "k-means"}
    assert "5 dictionaries" in plain_words(app)
    assert any("sae_core sweep --config" in code.value and sweep.id in code.value for code in app.code)


def test_the_table_is_the_csv(sweep: sc.pipeline.Recorded) -> None:
    table = sweep.open(session.store()).load("sweep").table
    read = pd.read_csv(io.BytesIO(bits.csv(table)))
    assert list(read["name"]) == list(table["name"])
    assert list(read["r2"]) == pytest.approx(list(table["r2"]))


def test_the_python_of_a_member_loads_it(sweep: sc.pipeline.Recorded, open_page: Open) -> None:
    app = open_page("sweep")
    (python,) = [code.value for code in app.code if ".sae(" in code.value]
    scope: dict[str, Any] = {}
    exec(python, scope)
    chosen = app.selectbox(key=f"sweep-member-{sweep.id}").value
    assert scope["sae"].architecture == member.members_of(sweep.config)[chosen].architecture


def test_the_front_comes_first_from_sparse_to_dense() -> None:
    rows = {
        "name": ["a", "b", "c", "d"],
        "architecture": "topk",
        "l0": [16.0, 8.0, 9.0, 20.0],
        "r2": [0.9, 0.8, 0.7, 0.75],
        "pareto": [True, True, False, False],
        "cosine": 0.9,
        "dead_fraction": 0.0,
        "width": 64,
        "lr": 0.1,
        "seed": 0,
    }
    assert list(sweep_view.shown(pd.DataFrame(rows))["member"]) == ["b", "a", "d", "c"]


def test_a_sweep_is_no_run_of_the_run_picker(sweep: sc.pipeline.Recorded, open_page: Open) -> None:
    app = open_page("sweep")
    runs = app.selectbox(key="run")
    assert [option.partition(" · ")[0] for option in runs.options] == ["small"]
    assert [option.rpartition(" · ")[0] for option in app.selectbox(key="sweep").options] == ["small grid · 5 members"]
    assert "✓ done" in set(open_page("overview").dataframe[0].value["state"]), "and its cache opens as before"


def test_earlier_sweeps_are_found_again_and_the_address_chooses(
    sweep: sc.pipeline.Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Open
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(session.cache_folder(), cache)
    monkeypatch.setenv("SAE_LAB_CACHE", str(cache))
    other = sc.config.override(sweep.config.model_dump(mode="json"), ["name=other", "sweep={architecture: [pca], k: [3]}"])
    made = sc.run(sc.config.validate(sc.RunConfig, other, "test"), cache=cache, stage="sweep")
    app = open_page("sweep")
    assert app.selectbox(key="sweep").value == made.id, "the newest"
    assert len(app.selectbox(key="sweep").options) == 2
    app = open_page("sweep", sweep=sweep.id)
    assert app.selectbox(key="sweep").value == sweep.id
    assert "5 dictionaries" in plain_words(app)
    app.selectbox(key="sweep").set_value(made.id).run()
    assert "1 dictionary" in plain_words(app)
    assert app.query_params["sweep"] == made.id


def test_a_damaged_sweep_is_one_line_and_can_be_rebuilt(
    sweep: sc.pipeline.Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Open
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(session.cache_folder(), cache)
    monkeypatch.setenv("SAE_LAB_CACHE", str(cache))
    key = sweep.keys["sweep"]
    (sc.Store(cache).folder(key) / "sweep.json").write_text("{}")
    app = open_page("sweep")
    assert not app.exception
    assert "is damaged" in app.error[0].value.replace("\\", "")
    app.button(key=f"rebuild-{key}").click().run()
    until(lambda: sc.Store(cache).has(key) and not sc.Store(cache).verify(key))


# ---------------------------------------------------------------- its seeds


def test_a_sweep_of_one_seed_says_how_to_compare_seeds(sweep: sc.pipeline.Recorded, open_page: Open) -> None:
    app = open_page("sweep")
    assert "no two of its members differ in the seed only" in plain_words(app)
    assert not any("matched" in table.value for table in app.dataframe)


@pytest.fixture
def seeds(on_sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sc.pipeline.Run:
    """A sweep over three seeds, in a cache of its own."""
    cache = tmp_path / "cache"
    shutil.copytree(on_sweep, cache)
    monkeypatch.setenv("SAE_LAB_CACHE", str(cache))
    grid = ["name=seeds", "sweep={architecture: [topk, pca], k: [8], seed: [0, 1, 2]}", "sae.steps=40"]
    config = sc.config.validate(sc.RunConfig, sc.config.override(swept_config().model_dump(mode="json"), grid), "test")
    return sc.run(config, cache=cache, stage="sweep")


def test_the_page_shows_how_well_seeds_agree(seeds: sc.pipeline.Run, open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page("sweep", sweep=seeds.id)
    assert not app.exception
    assert not app.error
    (table,) = (one.value for one in app.dataframe if "matched" in one.value)
    found = sc.stability_of(seeds.load("sweep"))
    assert list(table["architecture"]) == ["TopK", "PCA"]
    assert list(table["matched"]) == list(found["matched"])
    assert list(table["MMCS"]) == list(found["mmcs"])
    assert found["seeds"].tolist() == [3, 3]
    assert table["matched"].iloc[1] == pytest.approx(1.0, abs=1e-5), "PCA does not depend on a seed"
    assert table["matched"].iloc[0] < 0.99
    # What would take long is asked for.
    monkeypatch.setattr(stability_view, "PATIENCE", 0.0)
    app = open_page("sweep", sweep=seeds.id)
    assert not any("matched" in one.value for one in app.dataframe)
    app.button(key="sweep-stability").click().run()
    assert any("matched" in one.value for one in app.dataframe)


def test_a_sweep_of_an_older_version_is_shown_but_for_its_stability(seeds: sc.pipeline.Run, open_page: Open) -> None:
    folder = seeds.outcomes["sweep"].path
    for file in folder.glob("members/*/counts.npy"):
        file.unlink()
    about = json.loads((folder / "manifest.json").read_text())
    about["files"] = {name: digest for name, digest in about["files"].items() if not name.endswith("counts.npy")}
    (folder / "manifest.json").write_text(json.dumps(about))
    app = open_page("sweep", sweep=seeds.id)
    assert not app.error
    assert "has no firing counts" in plain_words(app)
    assert any("front" in table.value for table in app.dataframe)


# ---------------------------------------------------------------- a member as a run


def test_a_member_begins_a_run_with_its_own_settings(sweep: sc.pipeline.Recorded) -> None:
    for name, sae in member.members_of(sweep.config).items():
        found = member.config_of(sweep, name)
        assert found.sae == sae
        assert found.sweep is None
        assert found.data == sweep.config.data
        sc.config.validate(sc.RunConfig, found.model_dump(mode="json"), name)
    with pytest.raises(sc.InputError, match="no member 'nosuch'"):
        member.config_of(sweep, "nosuch")


def trained_form() -> None:
    import json

    import streamlit as st

    from pages._ui import train_form

    st.text(json.dumps(train_form.controls()[0]))


@pytest.mark.parametrize("name", ["topk-k4-w128-s0", "pca-k8-w128-s0", "kmeans-w128-s0"])
def test_the_train_form_begins_from_the_member_of_the_address(name: str, sweep: sc.pipeline.Recorded) -> None:
    app = AppTest.from_function(trained_form, default_timeout=120)
    app.query_params["sweep"], app.query_params["member"] = sweep.id, name
    app.run()
    assert not app.exception
    made = sc.config.validate(sc.RunConfig, json.loads(app.text[0].value), "form")
    assert sc.config.science(made) == sc.config.science(member.config_of(sweep, name))
    app.selectbox(key="train-preset").set_value("demo").run()
    assert json.loads(app.text[0].value)["name"] == "demo", "what is chosen afterwards stands"


def test_use_this_one_opens_the_train_page_with_it(sweep: sc.pipeline.Recorded, open_page: Open) -> None:
    app = open_page("sweep")
    app.selectbox(key=f"sweep-member-{sweep.id}").set_value("topk-k8-w128-s0").run()
    app.button(key="sweep-use").click().run()
    assert not app.exception
    assert app.title[0].value == "Train a dictionary"
    assert app.selectbox(key="train-preset").value == "small grid topk-k8-w128-s0"


def test_an_address_with_no_such_member_is_one_line(on_sweep: Path, open_page: Open) -> None:
    app = open_page("train", sweep="run-0000000000000000", member="x")
    assert not app.exception
    assert not app.error
    assert "no run" in app.warning[0].value
    assert app.selectbox(key="train-preset").value == "demo"


def test_a_stranger_does_not_begin_from_the_servers_files(
    sweep: sc.pipeline.Recorded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    local = sweep.config.model_copy(update={"data": {"sketch": sc.config.FolderSource(path=str(tmp_path))}})
    monkeypatch.setattr(sc.pipeline, "find_run", lambda store, identity: sc.pipeline.Recorded("run-1", "x", 0.0, {}, local))
    app = AppTest.from_function(trained_form, default_timeout=120)
    app.query_params["sweep"], app.query_params["member"] = sweep.id, "topk-k4-w128-s0"
    app.run()
    assert app.selectbox(key="train-preset").value == "demo"
    assert str(tmp_path) not in app.text[0].value


# ---------------------------------------------------------------- the job


def left_behind(cache: Path, state: str) -> Path:
    """The folder of a sweep's job as a worker that is gone left it."""
    config = swept_config()
    store = sc.Store(cache)
    store.prepare()
    keyed = sc.pipeline.keys(config, store)
    sc.pipeline.record(store, sc.pipeline.run_id(keyed), config, keyed)
    folder = cache / ".jobs" / sc.jobs.job_id("sweep", config)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config.model_dump(mode="json")))
    now = time.time()
    status = {"command": "sweep", "state": state, "pid": 1, "started": now, "heartbeat": now, "stage": "sweep", "step": 40}
    (folder / "status.json").write_text(json.dumps({**status, "total": 150, "run_id": sc.pipeline.run_id(keyed)}))
    told = [
        {"stage": "sweep", "step": 9, "total": 50, "metrics": {"loss": 2.0}},
        {"stage": "sweep", "step": 40, "total": 150, "metrics": {"members": 2.0, "best_held_out_r2": 0.625}},
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in told))
    return folder


def test_a_stopped_sweep_is_offered_to_go_on_even_to_a_new_visitor(on_empty: Path, open_page: Open) -> None:
    folder = left_behind(on_empty, "cancelled")
    app = open_page("sweep")
    assert not app.exception
    assert "Stopped" in words(app)
    assert app.button(key=f"again-{folder.name}").label == "Resume"
    assert "Step 40: 2 dictionaries · the best has R² 0.625 so far" in plain_words(app)
    assert "Resume" not in [button.label for button in open_page("train").button], "it is no training of this page's"


def test_a_sweep_runs_as_a_job_and_its_result_is_shown_when_it_is_there(
    demo_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Open
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(demo_cache, cache)
    monkeypatch.setenv("SAE_LAB_CACHE", str(cache))
    app = open_page("sweep")
    (run,) = session.all_runs()
    assert app.selectbox(key="sweep-base").value == "as the run shown in the sidebar"
    pills = {group.key: group for group in app.button_group}
    pills[f"sweep-{run.id}-dictionaries"].set_value(["topk"])
    pills[f"sweep-{run.id}-controls"].set_value([]).run()
    app.multiselect(key=f"sweep-{run.id}-k").set_value(["2", "4"]).run()
    assert "2 dictionaries: 2 TopK" in plain_words(app)
    assert "at this machine's earlier pace" in plain_words(app)
    app.button(key="sweep-start").click().run()
    assert not app.exception
    (job,) = [job for job in sc.jobs.all_jobs(sc.Store(cache)) if job.command == "sweep"]
    until(lambda: sc.jobs.read(sc.Store(cache), job.id).state == "done")
    app = open_page("sweep")
    assert "2 dictionaries" in plain_words(app)
    shown = next(table.value for table in app.dataframe if "front" in table.value)
    assert sorted(shown["member"]) == ["topk-k2-w128-s0", "topk-k4-w128-s0"]
    (swept,) = session.all_sweeps()
    assert swept.keys["embed:sketch"] == run.keys["embed:sketch"], "nothing is embedded again"
