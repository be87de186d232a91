"""The stage with a vision model: through the pipeline and the command line, cut off in every way it can be, and resumed."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sae_core import pipeline
from sae_core.cli import main
from sae_core.config import RunConfig, dump_yaml, validate
from sae_core.errors import Cancelled, InputError, Unavailable
from sae_core.interpret.material import Material
from sae_core.interpret.records import CSV_COLUMNS, Names
from sae_core.interpret.rescore import rescore
from sae_core.interpret.vision.budget import Budget
from sae_core.interpret.vision.kept import Kept
from sae_core.progress import Event
from sae_core.store import Inputs, Store
from tests.interpret.vision.asking import PRICE, asking
from tests.interpret.vision.loopback import Loopback, status
from tests.interpret.vision.planted import LEAST, Seer

ROOT = Path(__file__).parents[3]
LATENTS = 16
CALLS = 16
COST = 0.0012


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Run:
    """Everything up to the activations, once."""
    raw: dict[str, Any] = {"data": {"source": "drawn", "rendering": "sketch", "n": 300, "seed": 3}}
    raw["sae"] = {"width": LATENTS, "architecture": {"kind": "topk", "k": 4}, "steps": 60, "batch_size": 64}
    return pipeline.run("collect", validate(RunConfig, raw, "test"), Store(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def store(parents: pipeline.Run) -> Iterator[Store]:
    """Their store, without names or replies of another test."""
    store = Store(parents.paths["collect"].parents[1])
    yield store
    for key in [*store.keys(), *(p.name.removeprefix(".partial-") for p in store.root.glob("interpret/.partial-*"))]:
        if key.startswith("interpret-"):
            store.remove(key)
    for file in store.root.glob(".calls/*"):
        file.unlink()


@pytest.fixture
def server(parents: pipeline.Run) -> Iterator[Loopback]:
    manifest = parents.load("manifest:sketch")
    truth: pd.DataFrame = manifest.truth[list(LEAST)] >= pd.Series(LEAST)
    with Loopback(model=Seer(manifest, truth)) as running:
        yield running


def config(parents: pipeline.Run, server: Loopback, **vision: Any) -> RunConfig:
    settings = {"method": "vision", "vision": {"endpoint": server.url, "model": "test/seer", **vision}}
    return validate(RunConfig, {**parents.config.model_dump(mode="json"), "interpret": settings}, "test")


def paid(server: Loopback) -> list[str]:
    """What was asked, as far as it decides the reply."""
    return [json.dumps([body["messages"], body["model"]], sort_keys=True) for body in server.bodies]


def test_an_artifact_has_a_record_for_every_latent_with_all_it_was_made_of(
    parents: pipeline.Run, store: Store, server: Loopback
) -> None:
    events: list[Event] = []
    made = pipeline.run("interpret", config(parents, server), store, events.append)
    names: Names = made.load("interpret")
    folder = made.outcomes["interpret"].path
    assert {p.name for p in folder.iterdir()} == {"names.json", "sae_latents.csv", "manifest.json"}
    assert store.verify(made.keys["interpret"]) == []
    table = names.table
    assert table["latent"].tolist() == list(range(LATENTS))
    asked = table[table["calls"] > 0]
    assert len(asked) >= 8
    assert server.calls == int(table["calls"].sum()) == len(asked) * CALLS
    assert names.about["cost"] == pytest.approx(server.calls * COST) == pytest.approx(names.about["spent"])
    assert (names.about["model"], names.about["models_served"]) == ("test/seer", ["test/seer-served"])
    for record in names.records():
        tested = record["scores"]["detection"]
        if record["status"] == "ok":
            assert record["score"] == pytest.approx(tested["value"], abs=1e-6)
            assert record["score"] >= 0.7
            assert record["ci_low"] > 0.5
        assert (names.label(record["latent"]) is not None) == (record["status"] == "ok")
    # The Seer's words are words the bundled model has read, so that the two methods can be compared.
    scores = names.scores()
    assert set(scores["method"]) == {"detection", "intruder", "clip_consistency"}
    assert scores[scores["method"] == "clip_consistency"]["value"].between(0, 1).all()
    plan = next(event for event in events if event.stage == "interpret")
    assert "Nothing leaves this machine" in plan.message
    assert plan.metrics["requests"] >= server.calls
    assert plan.metrics["cost_low"] < names.about["cost"] < plan.metrics["cost_high"]
    with (folder / "sae_latents.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0][: len(CSV_COLUMNS)]) == CSV_COLUMNS
    cells = dict(zip(rows[0], rows[1 + int(asked["latent"].iloc[0])], strict=True))
    assert cells["model_served"] == "test/seer-served"
    assert float(cells["detection_auroc"]) <= 1


def test_a_job_killed_half_way_goes_on_without_paying_twice(
    parents: pipeline.Run, store: Store, server: Loopback, tmp_path: Path
) -> None:
    server.latency = 0.03
    wanted = config(parents, server)
    (tmp_path / "run.yaml").write_text(dump_yaml(wanted), encoding="utf-8")
    command = [sys.executable, "-m", "sae_core", "interpret", "--config", str(tmp_path / "run.yaml"), "--cache", str(store.root)]
    job = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while server.calls < 4 * CALLS and job.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    job.send_signal(signal.SIGTERM)
    said = job.communicate(timeout=300)[1]
    assert job.returncode == 130, said
    before = server.calls
    kept = Kept.open(next(store.root.glob("interpret/.partial-*")) / "records.jsonl")
    assert 1 <= len(kept.finished) < LATENTS
    assert kept.spent == pytest.approx(before * COST)
    again: Names = pipeline.run("interpret", wanted, store).load("interpret")
    assert again.table["latent"].tolist() == list(range(LATENTS))
    assert server.calls > before
    assert len(set(paid(server))) == server.calls == int(again.table["calls"].sum())
    assert again.about["cost"] == pytest.approx(server.calls * COST)


def test_a_stop_is_an_orderly_end_and_a_line_cut_by_a_kill_is_passed_over(
    parents: pipeline.Run, store: Store, server: Loopback
) -> None:
    server.latency = 0.05

    def stop(event: Event) -> None:
        if event.stage == "interpret" and event.step >= 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        pipeline.run("interpret", config(parents, server), store, stop)
    before = server.calls
    time.sleep(0.2)
    assert server.calls == before  # nothing is sent once it is said to have ended
    file = next(store.root.glob("interpret/.partial-*")) / "records.jsonl"
    finished = Kept.open(file).finished
    file.write_text(file.read_text(encoding="utf-8") + '{"spent": 1, "rec', encoding="utf-8")
    assert Kept.open(file).finished == finished
    server.latency = 0.0
    names: Names = pipeline.run("interpret", config(parents, server), store).load("interpret")
    assert len(names.table) == LATENTS
    assert len(set(paid(server))) == server.calls


def test_the_cap_holds_and_a_higher_one_goes_on(parents: pipeline.Run, store: Store, server: Loopback) -> None:
    with pytest.raises(InputError, match=r"cap of \$0\.06.* latents are finished and kept: raise --cap"):
        pipeline.run("interpret", config(parents, server, cap=0.06), store)
    assert 0 < server.calls * COST <= 0.06
    before = server.calls
    names: Names = pipeline.run("interpret", config(parents, server, cap=5.0), store).load("interpret")
    assert len(set(paid(server))) == server.calls > before
    assert names.about["spent"] == pytest.approx(server.calls * COST)


def test_a_refused_key_ends_the_job_and_loses_nothing(parents: pipeline.Run, store: Store, server: Loopback) -> None:
    server.script(*[None] * 40, status(401, message="no such key"))
    with pytest.raises(Unavailable, match=r"latents are finished and kept: the same command goes on") as caught:
        pipeline.run("interpret", config(parents, server), store)
    assert "\n" not in str(caught.value)
    names: Names = pipeline.run("interpret", config(parents, server), store).load("interpret")
    assert len(names.table) == LATENTS
    twice = len(paid(server)) - len(set(paid(server)))
    assert twice <= 1  # the question that was refused, unpaid


def test_a_manual_label_is_scored_as_the_machine_names_are(parents: pipeline.Run, store: Store, server: Loopback) -> None:
    wanted = config(parents, server)
    names: Names = pipeline.run("interpret", wanted, store).load("interpret")
    row = names.table[names.table["candidate"].notna()].iloc[0]
    paths = {**parents.paths, "activations": parents.paths["collect"]}
    material = Material.load(Inputs(paths), wanted.interpret.seed)
    before = server.calls
    with closing(asking(server, budget=Budget(1.0, PRICE), openrouter=False)) as client:
        found = rescore(int(row["latent"]), row["candidate"], "A", material, wanted.interpret, client)
    assert server.calls == before + 10
    assert found["detection"]["value"] == pytest.approx(row["scores"]["detection"]["value"])
    assert found["detection"]["cost"] == pytest.approx(10 * COST)
    assert found["clip_consistency"]["value"] == pytest.approx(row["scores"]["clip_consistency"]["value"])
    assert found["notes"] == {}
    unread = rescore(int(row["latent"]), "a thing never read of", "A", material, wanted.interpret)
    assert unread["clip_consistency"] is unread["detection"] is None
    assert "never read" in unread["notes"]["clip_consistency"]


def test_a_dry_run_says_what_would_leave_and_asks_nobody(
    parents: pipeline.Run, store: Store, server: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.yaml").write_text(dump_yaml(parents.config), encoding="utf-8")
    line = ["interpret", "--config", str(tmp_path / "run.yaml"), "--cache", str(store.root), "--json", "--dry-run"]
    vision = ["--method", "vision", "--model", "test/seer", "--endpoint", server.url, "--cap", "0.5"]
    assert main([*line, *vision, "--latents", "strongest:5"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert server.calls == 0
    assert said["latents"] + said["lacking"] == 5
    assert said["requests"] == said["latents"] * CALLS
    assert said["pictures"] == said["latents"] * (20 + 2 * 40 + 5 * 5)
    assert said["cap"] == 0.5
    assert 0 < said["cost"][0] < said["cost"][1]
    assert said["tokens_in"][0] < said["requests"] * 1000 < said["tokens_in"][1]
    assert "Nothing leaves this machine" in said["plan"][0]
    assert sum(said["domains"].values()) == said["distinct"]
    assert main([*line, "--method", "clip"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"] == ["Nothing leaves this machine and nothing is paid."]
    assert main([*line, *vision, "--latents", "bookmarked"]) == 2
    assert "no latent of this dictionary" in capsys.readouterr().err
    from sae_core.browse.marks import set_mark

    for latent in (3, 7):
        set_mark(store, pipeline.runs(store)[0].id, latent, bookmarked=True)
    assert main([*line, *vision, "--latents", "bookmarked"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["latents"] + said["lacking"] == 2
    assert main([*line, "--method", "vision", "--endpoint", server.url]) == 2
    assert "choose a vision model" in capsys.readouterr().err


def test_embeddings_without_pictures_cannot_be_shown(server: Loopback, captioned_arrays: Any, tmp_path: Path) -> None:
    raw = {
        "data": {"source": "arrays", "path": str(captioned_arrays(d=512)), "encoder": "ViT-B-32/openai"},
        "clip": {"model": "ViT-B-32", "pretrained": "openai"},
        "sae": {"width": 16, "architecture": {"kind": "topk", "k": 4}, "steps": 20, "batch_size": 64},
        "interpret": {"method": "vision", "vision": {"endpoint": server.url, "model": "test/seer"}},
    }
    with pytest.raises(InputError, match="no pictures"):
        pipeline.run("interpret", validate(RunConfig, raw, "test"), Store(tmp_path / "cache"))
    assert server.calls == 0
