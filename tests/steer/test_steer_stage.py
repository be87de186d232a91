"""The steer stage end to end, on precomputed embeddings with captions and on the drawn world with classes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sae_core import pipeline
from sae_core.activations import collect
from sae_core.config import CollectConfig, Edit, InterpretConfig, RunConfig, Runtime, SteerConfig, validate
from sae_core.errors import InputError
from sae_core.evaluate.metrics import unit
from sae_core.interpret import stage as interpret
from sae_core.progress import silent
from sae_core.sae.architectures import SAE
from sae_core.steer import stage
from sae_core.steer.edits import apply
from sae_core.steer.stage import Steered
from sae_core.store import Inputs, Store

CONCEPTS, D, N = 12, 512, 400


def plant(folder: Path) -> None:
    """Embeddings that are one concept each, with the concept's text; captions name it."""
    rng = np.random.default_rng(1)
    concepts = unit(rng.standard_normal((CONCEPTS, D)))
    main, other = rng.integers(0, CONCEPTS, (2, N))
    x = 3 * concepts[main] + 0.5 * concepts[other] + 0.03 * rng.standard_normal((N, D))
    folder.mkdir(parents=True)
    np.save(folder / "image_embeddings.npy", (3 * x).astype(np.float32))
    np.save(folder / "text_embeddings.npy", (4 * concepts[main]).astype(np.float32))
    table = pd.DataFrame({"file": [f"{i}.png" for i in range(N)], "caption": [f"concept {c}" for c in main]})
    table.to_csv(folder / "metadata.csv", index=False)


def config_for(folder: Path, **steer: object) -> RunConfig:
    raw = {
        "data": {"source": "arrays", "path": str(folder), "encoder": "ViT-B-32/openai"},
        "clip": {"model": "ViT-B-32", "pretrained": "openai"},
        "sae": {"architecture": {"kind": "topk", "k": 3}, "width": 20, "steps": 400, "batch_size": 128},
        "interpret": {"vocabulary": "captions", "templates": ["{}"]},
        "steer": steer,
    }
    return validate(RunConfig, raw, "test")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store, pipeline.Run]:
    root = tmp_path_factory.mktemp("steer")
    plant(root / "data")
    store = Store(root / "cache")
    return root / "data", store, pipeline.run("steer", config_for(root / "data"), store)


def test_the_default_turns_the_images_strongest_latent_up(planted: tuple[Path, Store, pipeline.Run]) -> None:
    _, store, made = planted
    steered: Steered = made.load("steer")
    result = steered.result
    activations = made.load("collect")
    latents, values = activations.row(result["row"])
    edit = result["edits"][0]
    assert edit["latent"] in latents
    assert edit["op"] == "clamp"
    assert edit["value"] == 2.0
    assert edit["active"]
    train, _ = activations.postings(edit["latent"], split="train")
    assert edit["maximum"] == pytest.approx(float(activations.postings(edit["latent"], split="train")[1][0]))
    assert len(train)
    assert activations.images["split"].iloc[result["row"]] == "test"
    assert result["labels"]["source"] == "captions"
    assert "12 of 12 distinct captions" in result["labels"]["note"]
    assert {p.name for p in made.outcomes["steer"].path.iterdir()} == {
        "recipe.json",
        "curves.parquet",
        "neighbours.parquet",
        "result.json",
        "manifest.json",
    }
    assert store.verify(made.outcomes["steer"].key) == []
    assert values[latents == edit["latent"]][0] == pytest.approx(edit["activation"], rel=2e-3)


def test_everything_written_follows_from_the_recipe(planted: tuple[Path, Store, pipeline.Run]) -> None:
    _, _, made = planted
    steered: Steered = made.load("steer")
    sae = made.load("train").sae
    embeddings = made.load("embed:sketch")
    x = embeddings.rows(np.array([steered.result["row"]]))
    after = apply(x, steered.recipe, sae)
    assert float((unit(x) * unit(after)).sum()) == pytest.approx(steered.result["cosine"], abs=1e-5)
    near = unit(embeddings.array()) @ unit(after)[0]
    near[steered.result["row"]] = -np.inf
    found = steered.neighbours[steered.neighbours["side"] == "after"]
    assert found["row"].tolist() == np.argsort(-near, kind="stable")[:12].tolist()
    before = steered.neighbours[steered.neighbours["side"] == "before"]
    a, b = set(before["row"]), set(found["row"])
    assert steered.result["steer_jaccard"] == pytest.approx(len(a & b) / len(a | b))
    sums = steered.curves.groupby("strength")["probability"].sum()
    np.testing.assert_allclose(sums, 1, atol=1e-9)
    assert set(steered.curves["strength"]) == {0.0, 0.5, 1.0, 2.0, 4.0}
    assert all(np.isfinite(value) for value in steered.metrics().values())


def test_another_concepts_latent_raises_its_caption(planted: tuple[Path, Store, pipeline.Run]) -> None:
    folder, store, made = planted
    activations = made.load("collect")
    default: Steered = made.load("steer")
    alive = activations.alive()
    others = [j for j in alive if j not in activations.row(default.result["row"])[0]]
    directions = unit(np.asarray(made.load("train").sae.decoder_raw))
    texts = unit(np.load(folder / "text_embeddings.npy"))
    clear = max(others, key=lambda j: float((directions[j] @ texts.T).max()))
    config = config_for(folder, edits=[{"latent": int(clear), "op": "clamp", "value": 2.0}])
    steered: Steered = pipeline.run("steer", config, store).load("steer")
    assert steered.result["verdict"] == "steerable"
    assert steered.result["steer_spearman"] >= 0.9
    captions = made.load("manifest:sketch").captions
    assert steered.result["raised"] == captions[int((directions[clear] @ texts.T).argmax())]
    assert not steered.result["edits"][0]["active"]
    assert steered.result["steer_jaccard"] < 0.5
    activation = steered.result["neighbour_activation"]
    assert activation["after"] > activation["before"]


def test_the_same_recipe_gives_the_same_bytes(planted: tuple[Path, Store, pipeline.Run], tmp_path: Path) -> None:
    folder, _, made = planted
    again = pipeline.run("steer", config_for(folder), Store(tmp_path))
    for name in ("recipe.json", "result.json", "curves.parquet", "neighbours.parquet"):
        assert (again.outcomes["steer"].path / name).read_bytes() == (made.outcomes["steer"].path / name).read_bytes()


def test_an_empty_recipe_changes_nothing(planted: tuple[Path, Store, pipeline.Run]) -> None:
    folder, store, _ = planted
    steered: Steered = pipeline.run("steer", config_for(folder, edits=[]), store).load("steer")
    assert steered.result["verdict"] is None
    assert steered.result["steer_jaccard"] == 1.0
    assert steered.result["cosine"] == pytest.approx(1.0)
    assert not len(steered.curves)


@pytest.mark.parametrize(
    ("steer", "fault"),
    [
        ({"edits": [{"latent": 20}]}, "latents 0 to 19"),
        ({"image": 9999}, "no image 9999"),
    ],
)
def test_bad_requests_are_refused(planted: tuple[Path, Store, pipeline.Run], steer: dict[str, object], fault: str) -> None:
    folder, store, _ = planted
    with pytest.raises(InputError, match=fault):
        pipeline.run("steer", config_for(folder, **steer), store)


def test_a_dead_latent_is_refused(planted: tuple[Path, Store, pipeline.Run], tmp_path: Path) -> None:
    _, _, made = planted
    trained = made.load("train").sae
    silent_bias = trained.weights["b_enc"].clone()
    silent_bias[5] = -1e6
    SAE(trained.architecture, {**trained.weights, "b_enc": silent_bias}, trained.mean, trained.scale, trained.encoder_id).save(
        tmp_path / "sae"
    )
    data = {f"{kind}:sketch": made.outcomes[f"{kind}:sketch"].path for kind in ("manifest", "embed")}
    parents = {"sae": tmp_path / "sae", "activations": tmp_path / "acts", "names": tmp_path / "names", **data}
    for folder in ("acts", "names", "out"):
        (tmp_path / folder).mkdir()
    collect.run(CollectConfig(), Inputs(parents), tmp_path / "acts", silent, Runtime())
    captions = InterpretConfig(vocabulary="captions", templates=("{}",))
    names = interpret.run(captions, Inputs(parents), tmp_path / "names", silent, Runtime())
    assert names.table.set_index("latent").loc[5, "status"] == "dead"
    with pytest.raises(InputError, match="latent 5 is dead"):
        stage.run(SteerConfig(edits=(Edit(latent=5, op="set", value=1.0),)), Inputs(parents), tmp_path / "out", silent, Runtime())


def test_a_damaged_or_missing_result_is_named(planted: tuple[Path, Store, pipeline.Run], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no steering result"):
        Steered.load(tmp_path)
    (tmp_path / "result.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(Exception, match="steer again") as caught:
        Steered.load(tmp_path)
    assert "\n" not in str(caught.value)
