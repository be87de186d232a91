"""The interpret stage on a planted world: embeddings that are sparse sums of known concepts, named by their captions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from sae_core import pipeline
from sae_core.activations.index import Activations
from sae_core.config import RunConfig, Runtime, validate
from sae_core.data.manifest import Manifest
from sae_core.errors import InputError, Unavailable
from sae_core.evaluate.metrics import unit
from sae_core.interpret.evidence import explain_half
from sae_core.interpret.stage import Names
from sae_core.store import Store

CONCEPTS, D, N = 24, 512, 1500


def plant(folder: Path) -> NDArray[np.float32]:
    """Write a folder of embeddings: each image is one concept plus a little of another; its caption names the first."""
    rng = np.random.default_rng(0)
    concepts = unit(rng.standard_normal((CONCEPTS, D)))
    shared = 2 * unit(rng.standard_normal((1, D)))
    main, other = rng.integers(0, CONCEPTS, (2, N))
    x = 3 * concepts[main] + 0.6 * concepts[other] + shared + 0.015 * rng.standard_normal((N, D))
    folder.mkdir(parents=True)
    np.save(folder / "image_embeddings.npy", (4 * x).astype(np.float32))
    np.save(folder / "text_embeddings.npy", (5 * (concepts[main] + 1.5 * unit(rng.standard_normal((1, D))))).astype(np.float32))
    words = [f"concept {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWX"]
    table = pd.DataFrame({"file": [f"{i}.png" for i in range(N)], "caption": [words[c] for c in main]})
    table.to_csv(folder / "metadata.csv", index=False)
    return concepts


def config_for(folder: Path, **changes: object) -> RunConfig:
    raw = {
        "name": "planted",
        "data": {"source": "arrays", "path": str(folder), "encoder": "ViT-B-32/openai"},
        "clip": {"model": "ViT-B-32", "pretrained": "openai"},
        "sae": {"architecture": {"kind": "topk", "k": 3}, "width": 32, "steps": 600, "batch_size": 256},
        "interpret": {"vocabulary": "captions", "templates": ["{}"]},
        **changes,
    }
    return validate(RunConfig, raw, "test")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.float32], pipeline.Run, Store]:
    root = tmp_path_factory.mktemp("planted")
    concepts = plant(root / "data")
    store = Store(root / "cache")
    return root / "data", concepts, pipeline.run("interpret", config_for(root / "data"), store), store


def test_planted_concepts_get_their_names(planted: tuple[Path, NDArray[np.float32], pipeline.Run, Store]) -> None:
    _, concepts, made, _ = planted
    names: Names = made.load("interpret")
    ok = names.table[names.table["status"] == "ok"]
    directions = unit(np.asarray(made.load("train").sae.decoder_raw))
    cosines = directions @ unit(concepts - concepts.mean(axis=0)).T
    letters = "ABCDEFGHIJKLMNOPQRSTUVWX"
    right = [names.label(j) == f"concept {letters[int(cosines[j].argmax())]}" for j in ok["latent"]]
    assert len(ok) >= 12
    assert np.mean(right) >= 0.9
    assert ok["score"].median() > 0.9
    assert (ok["ci_low"] > 0.5).all()  # what `ok` means; images with only a little of the concept fire it too
    assert (ok["p"] < 0.01).all()
    assert names.about["random_abstention"] >= 0.95


def test_the_artifact_says_how_it_was_made(planted: tuple[Path, NDArray[np.float32], pipeline.Run, Store]) -> None:
    _, _, made, store = planted
    path = made.outcomes["interpret"].path
    content = json.loads((path / "names.json").read_text(encoding="utf-8"))
    assert content["about"]["vocabulary"] == "captions"
    assert content["about"]["encoder"] == "ViT-B-32/openai"
    assert "circular" in content["about"]["circularity"]
    assert {p.name for p in path.iterdir()} == {"names.json", "sae_latents.csv", "manifest.json"}
    assert store.verify(made.outcomes["interpret"].key) == []
    with (path / "sae_latents.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["latent_id"]) for row in rows] == list(range(32))
    ok = next(row for row in rows if row["status"] == "ok")
    assert ok["interpretation"].startswith("concept")
    assert ok["top_images"].startswith("sketch/")
    assert set(made.outcomes["interpret"].metrics) >= {"names_ok", "names_dead", "names_abstention_isotropic"}


def test_naming_never_sees_an_image_it_is_scored_on(planted: tuple[Path, NDArray[np.float32], pipeline.Run, Store]) -> None:
    _, _, made, _ = planted
    activations: Activations = made.load("collect")
    manifest: Manifest = made.load("manifest:sketch")
    images = activations.images.copy()
    images["group"] = np.arange(len(images)) // 3  # pretend near-duplicates come in threes
    explain = explain_half(images, {"sketch": manifest}, seed=0)
    assert (explain.reshape(-1, 3) == explain.reshape(-1, 3)[:, :1]).all()
    assert 0.4 < explain.mean() < 0.6
    assert (explain_half(images, {"sketch": manifest}, seed=1) != explain).any()
    shuffled = images.sample(frac=1, random_state=0)
    again = explain_half(shuffled, {"sketch": manifest}, seed=0)
    np.testing.assert_array_equal(again, explain[shuffled.index])


def test_a_choice_of_latents_gives_the_same_names(planted: tuple[Path, NDArray[np.float32], pipeline.Run, Store]) -> None:
    folder, _, made, store = planted
    everything: Names = made.load("interpret")
    ids = everything.table.loc[everything.table["status"] == "ok", "latent"].tolist()[:3]
    few = config_for(folder, interpret={"vocabulary": "captions", "templates": ["{}"], "latents": {"ids": ids}})
    names: Names = pipeline.run("interpret", few, store).load("interpret")
    assert names.table["latent"].tolist() == ids
    assert [names.label(j) for j in ids] == [everything.label(j) for j in ids]


def test_the_same_seed_gives_the_same_bytes(
    planted: tuple[Path, NDArray[np.float32], pipeline.Run, Store], tmp_path: Path
) -> None:
    folder, _, made, _ = planted
    again = pipeline.run("interpret", config_for(folder), Store(tmp_path / "other"))
    for name in ("names.json", "sae_latents.csv"):
        assert (again.outcomes["interpret"].path / name).read_bytes() == (made.outcomes["interpret"].path / name).read_bytes()


def test_what_cannot_be_had_is_said_in_one_line(
    planted: tuple[Path, NDArray[np.float32], pipeline.Run, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, _, store = planted
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Unavailable, match="captions") as caught:
        pipeline.run("interpret", config_for(folder, interpret={"vocabulary": "builtin"}), store)
    assert "\n" not in str(caught.value)
    assert "ViT-B-32/openai" in str(caught.value)
    with pytest.raises(InputError, match="no two classes"):
        pipeline.run("interpret", config_for(folder, interpret={"vocabulary": "classes"}), store)
    with pytest.raises(InputError, match=r"no latent 99; .* 0 to 31"):
        pipeline.run(
            "interpret",
            config_for(folder, interpret={"vocabulary": "captions", "latents": {"ids": [0, 99]}}),
            store,
            runtime=Runtime(),
        )
