"""The paired report through the pipeline: two labelled domains of different classes, a dictionary trained on one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from sae_core import pipeline
from sae_core.clip import towers
from sae_core.config import RunConfig, validate
from sae_core.errors import InputError
from sae_core.evaluate.evaluation import Evaluation
from sae_core.pipeline import Run
from sae_core.publish.card import model_card
from sae_core.store import Store

D, N = 512, 120
WORDS = ("line", "curve", "dot", "loop", "round thing")
CENTRES = np.random.default_rng(7).normal(size=(len(WORDS), D)).astype(np.float32)
CENTRES[4] = CENTRES[3]  # "round thing" means "loop"
DOMAINS = {"sketch": ("curve", "dot", "line"), "photo": ("curve", "dot", "loop")}


class WordTower:
    """A text tower that knows five words: a prompt's direction is that of the last one it holds."""

    id = "ViT-B-32/openai"
    asked: list[str]

    def __init__(self) -> None:
        self.asked = []

    def texts(self, texts: list[str]) -> NDArray[np.float32]:
        self.asked += texts
        return np.stack([CENTRES[max(range(len(WORDS)), key=lambda i: text.rfind(WORDS[i]))] for text in texts])


def write(folder: Path, classes: tuple[str, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.arange(N) % len(classes)
    x = CENTRES[[WORDS.index(classes[c]) for c in labels]] + 6.0 * rng.normal(size=(N, D))
    folder.mkdir()
    np.save(folder / "image_embeddings.npy", x.astype(np.float32))
    table = {"file": [f"{i}.png" for i in range(N)], "kind": [classes[c] for c in labels]}
    pd.DataFrame(table).to_csv(folder / "metadata.csv", index=False)


class Lab:
    def __init__(self, root: Path) -> None:
        self.root, self.store = root, Store(root / "cache")
        for seed, (name, classes) in enumerate(DOMAINS.items()):
            write(root / name, classes, seed)

    def run(self, **evaluate: object) -> Run:
        source = {"source": "arrays", "encoder": "ViT-B-32/openai", "label_column": "kind"}
        sae = {"width": 24, "architecture": {"kind": "topk", "k": 3}, "steps": 60, "batch_size": 32, "domains": ["sketch"]}
        raw = {
            "data": {name: {**source, "path": str(self.root / name)} for name in DOMAINS},
            "clip": {"model": "ViT-B-32", "pretrained": "openai"},
            "sae": sae,
            "evaluate": {"bootstrap": 200, **evaluate},
        }
        return pipeline.run("evaluate", validate(RunConfig, raw, "test"), self.store)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("paired"))


@pytest.fixture
def tower(monkeypatch: pytest.MonkeyPatch) -> WordTower:
    one = WordTower()
    monkeypatch.setattr(towers, "load_encoder", lambda *_: one)
    return one


@pytest.fixture
def found(lab: Lab, tower: WordTower) -> Evaluation:
    evaluation: Evaluation = lab.run().load("evaluate")
    return evaluation


def test_a_domain_that_was_not_trained_on_is_measured_as_fully(found: Evaluation) -> None:
    sketch, photo = (found.report["domains"][name] for name in DOMAINS)
    assert (sketch["trained_on"], photo["trained_on"]) == (True, False)
    assert set(sketch) == set(photo)
    assert set(sketch["zero_shot"]) == set(photo["zero_shot"])
    assert found.report["pooled_over"] == ["sketch"]
    assert sketch["encoder"] == "ViT-B-32/openai"
    trained, other = ({m.partition(".")[2] for m in found.metrics() if m.startswith(f"{name}.")} for name in DOMAINS)
    assert trained == other
    assert {"accuracy_pca", "accuracy_random", "r2_pca", "r2_random", "ms", "cknna"} <= other


def test_controls(found: Evaluation) -> None:
    for name in DOMAINS:
        domain = found.report["domains"][name]
        mean, pca, random = domain["controls"]
        assert [one["name"] for one in (mean, pca, random)] == ["mean ablation", "PCA", "random dictionary"]
        assert (pca["components"], random["k"], random["width"]) == (3, 3, 24)
        assert pca["l0"] == pytest.approx(3)
        assert random["l0"] <= 3
        assert mean["accuracy"] == domain["zero_shot"]["accuracy_floor"] == found.metrics()[f"{name}.accuracy_floor"]
        for one in (mean, pca, random):
            assert one["delta"] == pytest.approx(one["accuracy"] - domain["zero_shot"]["accuracy_clip"])
            assert one["delta_ci_low"] <= one["delta"] <= one["delta_ci_high"]
            assert one["sae_ahead"] == pytest.approx(domain["zero_shot"]["accuracy_sae"] - one["accuracy"])
            assert one["n"] == domain["zero_shot"]["n"]
    # Both are fitted on sketches only, whose classes span what the photo-only class is not in.
    assert found.metrics()["photo.r2_pca"] < found.metrics()["sketch.r2_pca"]


def test_confusion_per_class_and_flips_agree(found: Evaluation) -> None:
    for name, classes in DOMAINS.items():
        z = found.report["domains"][name]["zero_shot"]
        images = found.per_image[found.per_image["domain"] == name]
        before, after = np.array(z["confusion_clip"]), np.array(z["confusion_sae"])
        assert before.sum() == after.sum() == z["n"] == len(images)
        assert np.trace(before) / z["n"] == pytest.approx(z["accuracy_clip"])
        assert np.trace(after) / z["n"] == pytest.approx(z["accuracy_sae"])
        assert before[0, 1] == ((images["label"] == 0) & (images["pred_clip"] == 1)).sum()
        table = found.per_class[found.per_class["domain"] == name].set_index("class")
        assert table["n"].tolist() == [int(before[classes.index(c)].sum()) for c in table.index]
        assert (table["delta_ci_low"] <= table["delta"] + 1e-12).all()
        assert (table["delta"] <= table["delta_ci_high"] + 1e-12).all()
        flips = found.flips[found.flips["domain"] == name]
        assert len(flips) == (images["pred_clip"] != images["pred_sae"]).sum()
        assert (flips["kind"] == "lost").sum() == z["lost"]
        assert (flips["kind"] == "gained").sum() == z["gained"]
        assert np.allclose(flips["margin_sae"] + flips["residual"], flips["margin_clip"])
        assert all(len(a) == len(b) <= 3 for a, b in zip(flips["latents"], flips["pushes"], strict=True))
    assert len(found.flips) > 0
    assert len(found.latents) == 2 * 24


def test_common_classes(found: Evaluation) -> None:
    common = found.report["common"]
    assert common["classes"] == ["curve", "dot"]
    for name, classes in DOMAINS.items():
        images = found.per_image[found.per_image["domain"] == name]
        kept = images["label"].isin([classes.index("curve"), classes.index("dot")])
        view = common["domains"][name]
        assert view["n"] == kept.sum() < len(images)
        # With fewer rivals no image that was right becomes wrong.
        assert view["accuracy_clip"] >= (images["pred_clip"] == images["label"])[kept].mean()
        assert view["accuracy_sae"] >= (images["pred_sae"] == images["label"])[kept].mean()
        assert view["delta_ci_low"] <= view["delta"] <= view["delta_ci_high"]


def test_renamed_classes_are_asked_for_by_their_new_words(lab: Lab, tower: WordTower, found: Evaluation) -> None:
    tower.asked.clear()
    templates = {"photo": ["the {}!"]}
    again = lab.run(class_names={"photo": {"loop": "round thing"}}, templates=templates).load("evaluate")
    assert "the round thing!" in tower.asked
    assert "the loop!" not in tower.asked
    z = again.report["domains"]["photo"]["zero_shot"]
    assert z["classes"] == ["curve", "dot", "loop"]
    assert z["class_names"] == ["curve", "dot", "round thing"]
    assert z["templates"] == ["the {}!"]
    # The words mean the same to this tower, so nothing else may change.
    assert again.metrics() == found.metrics()
    renamed = lab.run(class_names={"photo": {"loop": "line"}}).load("evaluate")
    assert renamed.report["common"] is None


def test_a_class_that_is_not_there_is_refused(lab: Lab, tower: WordTower) -> None:
    with pytest.raises(InputError, match=r"evaluate.class_names.photo renames 'lop'; photo has curve, dot, loop"):
        lab.run(class_names={"photo": {"lop": "round thing"}})
    with pytest.raises(InputError, match=r"evaluate.class_names names domain 'foto'"):
        lab.run(class_names={"foto": {"loop": "round thing"}})


def test_sparse_probes_when_asked_for(lab: Lab, tower: WordTower, found: Evaluation) -> None:
    assert found.report["domains"]["sketch"]["quality"]["sparse_probes"] is None
    assert any("evaluate.sparse_probes" in note for note in found.report["domains"]["sketch"]["notes"])
    lines = lab.run(sparse_probes=True).load("evaluate").report["domains"]["sketch"]["quality"]["sparse_probes"]
    assert {(line["k"], line["features"]) for line in lines} >= {(1, "latents"), (1, "dimensions")}


def test_the_card_shows_the_controls(lab: Lab, tower: WordTower) -> None:
    run = lab.run()
    card, m = model_card(run), run.metrics
    assert f"| {m['sketch.accuracy_floor']:.4f} | {m['sketch.accuracy_pca']:.4f} | {m['sketch.accuracy_random']:.4f} |" in card
    assert "| photo (not trained on) | zero-shot accuracy |" in card
