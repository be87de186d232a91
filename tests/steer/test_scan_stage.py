"""The scan end to end: what it writes, that a stopped one goes on where it was, and that the command line reaches it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sae_core import pipeline
from sae_core.cli.entry import main
from sae_core.config import Runtime, ScanConfig
from sae_core.errors import Cancelled, DamagedArtifact, InputError
from sae_core.evaluate.metrics import unit
from sae_core.progress import Event, silent
from sae_core.steer import scan
from sae_core.steer.recipes import to_link
from sae_core.steer.scan import MEASURES, Scan
from sae_core.store import Inputs, Store
from tests.steer.planted import config_for

Planted = tuple[Path, Store, pipeline.Run]


@pytest.fixture(scope="module")
def inputs(planted: Planted) -> Inputs:
    made = planted[2]
    data = {f"{kind}:sketch": made.outcomes[f"{kind}:sketch"].path for kind in ("manifest", "embed")}
    return Inputs({"sae": made.outcomes["train"].path, "activations": made.outcomes["collect"].path, **data})


@pytest.fixture(scope="module")
def scanned(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    return scan.run(ScanConfig(), inputs, tmp_path_factory.mktemp("scan"), silent, Runtime())


def test_every_alive_latent_is_rated_on_held_out_images(planted: Planted, scanned: Scan) -> None:
    folder, _, made = planted
    acts = made.load("collect")
    assert scanned.table["latent"].tolist() == acts.alive().tolist()
    assert tuple(scanned.table.columns) == MEASURES
    images = [one["image"] for one in scanned.about["images"]]
    assert len(set(images)) == 16
    assert set(acts.images.loc[acts.images["image"].isin(images), "split"]) == {"test"}
    assert scanned.about["labels"]["sketch"]["source"] == "captions"
    counts = scanned.table["verdict"].value_counts()
    assert scanned.metrics()["scan_steerable"] == counts["steerable"]
    assert scanned.about["by_chance"] == pytest.approx(len(scanned.table) / 21, abs=0.06)
    # A latent raises the concept that its direction leans to most.
    directions = unit(np.asarray(made.load("train").sae.decoder_raw))
    cosines = directions @ unit(np.load(folder / "text_embeddings.npy")).T
    captions = made.load("manifest:sketch").captions
    steers = scanned.table[scanned.table["verdict"] == "steerable"]
    leans = [captions[cosines[latent].argmax()] for latent in steers["latent"]]
    assert len(steers) >= 10
    assert np.mean([label == lean for label, lean in zip(steers["label"], leans, strict=True)]) >= 0.9


def test_a_stopped_scan_goes_on_where_it_was(
    inputs: Inputs, scanned: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "PART", 8)
    rated: list[int] = []
    real = scan.rate

    def counted(latents: np.ndarray, *rest: object) -> pd.DataFrame:
        rated.extend(latents.tolist())
        return real(latents, *rest)

    def stop(event: Event) -> None:
        raise Cancelled("stopped")

    monkeypatch.setattr(scan, "rate", counted)
    with pytest.raises(Cancelled):
        scan.run(ScanConfig(), inputs, tmp_path, stop, Runtime())
    assert len(rated) == 8
    again = scan.run(ScanConfig(), inputs, tmp_path, silent, Runtime())
    assert rated == scanned.table["latent"].tolist()
    pd.testing.assert_frame_equal(again.table, scanned.table, atol=1e-6)
    pd.testing.assert_frame_equal(Scan.load(tmp_path).table, again.table)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["scan.json", "scan.parquet"]


def test_what_cannot_be_rated_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="latent 99 fires on no image or does not exist"):
        scan.run(ScanConfig.model_validate({"latents": {"ids": (1, 99)}}), inputs, tmp_path, silent, Runtime())
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("image_embeddings", "text_embeddings"):
        np.save(bare / f"{name}.npy", np.random.default_rng(0).standard_normal((60, 512)).astype(np.float32))
    table = pd.DataFrame({"file": [f"{i}.png" for i in range(60)], "caption": ["all the same"] * 60})
    table.to_csv(bare / "metadata.csv", index=False)
    with pytest.raises(InputError, match="no labels whose probabilities"):
        pipeline.run("scan", config_for(bare), Store(tmp_path / "cache"))


def test_a_missing_or_damaged_scan_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="scan command"):
        Scan.load(tmp_path)
    (tmp_path / "scan.json").write_text("{}")
    with pytest.raises(DamagedArtifact, match="make it again"):
        Scan.load(tmp_path)


def test_the_command_line_scans_and_replays(planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, store, made = planted
    config = tmp_path / "config.json"
    config.write_text(config_for(folder).model_dump_json())
    common = ["steer", "--config", str(config), "--cache", str(store.root), "--json"]

    def run(*more: str) -> dict[str, str]:
        assert main([*common, *more]) == 0
        return json.loads(capsys.readouterr().out)

    found = run("--scan")
    assert found["stage"] == "scan"
    assert run("--scan")["cached"]
    assert len(Scan.load(found["path"]).table) == len(made.load("collect").alive())
    assert main(["scan", *common[1:]]) == 0
    assert json.loads(capsys.readouterr().out)["key"] == found["key"]

    stage = made.load("steer")
    file = tmp_path / "recipe.json"
    file.write_text(stage.recipe.to_json())
    first = run("--recipe", str(file))
    assert first["metrics"] == pytest.approx(stage.metrics())
    assert run("--recipe", to_link(stage.recipe))["key"] == first["key"]
    for wrong in (
        ["--recipe", str(file), "--edit", "3:ablate"],
        ["--scan", "--image", "3"],
        ["--recipe", str(tmp_path / "none.json")],
        ["--recipe", "r1.AAAA"],
    ):
        assert main([*common, *wrong]) == 2
        assert capsys.readouterr().err.strip().count("\n") == 0
