"""The geometry stage through the pipeline: drawn pictures in, verdicts with controls out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sae_core import pipeline
from sae_core.cli import main
from sae_core.config import RunConfig, validate
from sae_core.errors import Cancelled, DamagedArtifact, InputError
from sae_core.evaluate.geometry.report import OWN, RANDOM, RAW, GeometryReport
from sae_core.evaluate.geometry.verdicts import LEAST_FIRINGS, UNTESTED, VERDICTS
from sae_core.progress import Event
from sae_core.store import Store

N = 300
SAE = {"width": 64, "architecture": {"kind": "topk", "k": 4}, "steps": 60, "batch_size": 64}
GEOMETRY = {"draws": 200}


def config(data: dict[str, object], **changes: object) -> RunConfig:
    return validate(RunConfig, {"data": data, "sae": SAE, "geometry": GEOMETRY, **changes}, "test")


def drawn(rendering: str, n: int = N) -> dict[str, object]:
    return {"source": "drawn", "rendering": rendering, "n": n}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def made(store: Store) -> pipeline.Run:
    return pipeline.run("geometry", config({"sketch": drawn("sketch"), "photo": drawn("photo")}), store)


def test_a_plain_run_leaves_it_out_and_asking_makes_its_parents(made: pipeline.Run, store: Store) -> None:
    parents = {"strokes:sketch", "strokes:photo", "embed:sketch", "train", "collect", "geometry"}
    assert parents <= set(made.outcomes)
    assert "evaluate" not in made.outcomes
    plain = {node.stage.name for node in pipeline.plan(made.config).values()} - pipeline.ON_REQUEST
    assert not {"strokes", "geometry"} & plain
    again = pipeline.run("geometry", made.config, store)
    assert all(outcome.cached for outcome in again.outcomes.values())


def test_the_report_counts_every_latent_once(made: pipeline.Run) -> None:
    found = made.load("geometry")
    acts = made.load("collect")
    assert list(found.report["domains"]) == ["sketch", "photo"]
    for name, domain in found.report["domains"].items():
        assert N * 0.9 <= domain["n"] <= N
        assert domain["classes"] == 54
        assert 0 < domain["class_from_nothing"] < domain["class_from_strokes"] <= 1
        assert list(domain["dictionaries"]) == [OWN, RANDOM, RAW]
        assert domain["dictionaries"][RAW]["tested"] == made.load("train").sae.d  # a dense code fires everywhere
        for table in domain["dictionaries"].values():
            assert sum(table[verdict]["latents"] for verdict in VERDICTS) == table["tested"]
            for verdict in VERDICTS:
                assert table[verdict]["low"] <= table[verdict]["share"] <= table[verdict]["high"]
                assert table[verdict]["share"] == pytest.approx(table[verdict]["latents"] / table["tested"])
        own = found.latents[found.latents["domain"] == name]
        assert own["latent"].tolist() == list(range(64))
        tested = own["verdict"] != UNTESTED
        assert (own["count"][tested] >= LEAST_FIRINGS).all()
        assert tested.sum() == domain["latents_tested"] == domain["dictionaries"][OWN]["tested"]
        assert (own["count"].to_numpy() <= acts.stats[f"{name}.count"].to_numpy()).all()
        assert own["count"].sum() > 0.9 * acts.stats[f"{name}.count"].sum()  # all but near-duplicates
        measured = found.measures[found.measures["domain"] == name]
        assert set(measured["latent"]) == set(own["latent"][tested])
        strongest = own[tested].merge(measured, on=["latent", "measure"], suffixes=("", "_of"))
        np.testing.assert_allclose(strongest["rho"], strongest["rho_of"])
    assert found.report["random_dictionary"]["k"] == 4
    assert found.report["notes"] == {}
    assert made.metrics["sketch.geometric_share"] == found.report["domains"]["sketch"]["dictionaries"][OWN]["geometric"]["share"]
    assert {"photo.neither_share_random", "photo.both_share_raw", "photo.both_share_ci_low"} <= set(made.metrics)


def test_the_seed_of_a_domain_does_not_depend_on_the_others(made: pipeline.Run, store: Store) -> None:
    alone = pipeline.run(
        "geometry",
        made.config.model_copy(
            update={"geometry": config({"photo": drawn("photo")}, geometry={**GEOMETRY, "domains": ["photo"]}).geometry}
        ),
        store,
    ).load("geometry")
    both = made.load("geometry")
    assert alone.report["domains"]["photo"] == both.report["domains"]["photo"]
    assert list(alone.report["domains"]) == ["photo"]


def test_a_stopped_stage_leaves_nothing_and_the_next_attempt_ends_the_same(made: pipeline.Run, store: Store) -> None:
    before = made.load("geometry")
    store.remove(made.keys["geometry"])

    def stop(event: Event) -> None:
        if event.stage == "geometry" and event.step > 100:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        pipeline.run("geometry", made.config, store, stop)
    assert not store.has(made.keys["geometry"])
    after = pipeline.run("geometry", made.config, store).load("geometry")
    assert after.report == before.report
    pd.testing.assert_frame_equal(after.latents, before.latents)
    pd.testing.assert_frame_equal(after.measures, before.measures)


def test_few_pictures_are_a_sample(made: pipeline.Run, store: Store) -> None:
    few = made.config.model_copy(
        update={"geometry": config({"x": drawn("sketch")}, geometry={**GEOMETRY, "images": 280}).geometry}
    )
    found = pipeline.run("geometry", few, store).load("geometry")
    assert found.report["domains"]["sketch"]["n"] <= 280


def test_a_domain_without_pictures_is_noted_and_alone_is_refused(
    made: pipeline.Run, store: Store, captioned_arrays: Callable[..., Path]
) -> None:
    known = made.load("embed:sketch")
    arrays = {"source": "arrays", "path": str(captioned_arrays(d=known.d)), "encoder": known.encoder}
    said: list[str] = []
    both = config({"sketch": drawn("sketch"), "flat": arrays})
    report = pipeline.run("geometry", both, store, lambda event: said.append(event.message)).load("geometry").report
    assert list(report["domains"]) == ["sketch"]
    assert "no pictures" in report["notes"]["flat"]
    assert any("flat is left out" in message for message in said)
    with pytest.raises(InputError, match="no domain can be judged: flat: no pictures"):
        pipeline.run("geometry", config({"flat": arrays}), store)


def test_the_command_line_makes_it_and_compares(made: pipeline.Run, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(store.root / "runs" / made.id / "config.yaml")
    common = ["--cache", str(store.root), "--json"]
    for stage in ("strokes", "geometry"):
        assert main([stage, "--config", file, *common]) == 0
        json.loads(capsys.readouterr().out)
    assert main(["compare", made.id, made.id, *common]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [(line["domain"], line["dictionary"]) for line in printed["geometry"][:3]] == [
        ("sketch", OWN),
        ("sketch", RANDOM),
        ("sketch", RAW),
    ]
    assert printed["geometry"][0]["geometric"] == made.metrics["sketch.geometric_share"]
    (line,) = printed["shift"]
    assert line["shared"] + line["sketch only"] + line["photo only"] + line["dead"] == 64
    assert main(["compare", made.id, "--cache", str(store.root)]) == 0
    assert "dictionary=random dictionary" in capsys.readouterr().out


def test_a_damaged_report_is_named(made: pipeline.Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make them with the geometry command"):
        GeometryReport.load(tmp_path)
    made.load("geometry").save(tmp_path)
    assert GeometryReport.load(tmp_path).report == made.load("geometry").report
    (tmp_path / "latents.parquet").write_bytes(b"x")
    with pytest.raises(DamagedArtifact, match="remove it and judge again"):
        GeometryReport.load(tmp_path)
