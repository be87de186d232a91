"""The evaluate stage through the pipeline's door, against the same numbers worked out densely."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from sae_core import pipeline
from sae_core.clip import towers
from sae_core.config import EvaluateConfig, RunConfig, Runtime, validate
from sae_core.errors import DamagedArtifact, InputError, Unavailable
from sae_core.evaluate import stage
from sae_core.evaluate.evaluation import FLIPS, PER_CLASS
from sae_core.evaluate.metrics import caption_hits
from sae_core.evaluate.recall import KS, distinct_captions
from sae_core.pipeline import Run
from sae_core.progress import silent
from sae_core.sae.architectures import SAE
from sae_core.store import Inputs, Store

D, N, C = 512, 90, 3


def write_arrays(folder: Path, seed: int, captions: bool) -> None:
    """Embeddings of three classes, and texts near them; a caption is shared by three images."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(C, D))
    labels = np.arange(N) % C
    x = centres[labels] + 0.8 * rng.normal(size=(N, D))
    folder.mkdir()
    np.save(folder / "image_embeddings.npy", x.astype(np.float32))
    table = {"file": [f"{i}.png" for i in range(N)], "kind": [("line", "curve", "dot")[c] for c in labels]}
    if captions:
        spoken = np.repeat(np.arange(N // 3), 3)
        texts_ = x[spoken * 3] + 2.0 * np.random.default_rng(1).normal(size=(N // 3, D))[spoken]
        np.save(folder / "text_embeddings.npy", texts_.astype(np.float32))
        table["caption"] = [f"drawing number {i}" for i in spoken]
    pd.DataFrame(table).to_csv(folder / "metadata.csv", index=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Store]:
    """A run on two domains of arrays: one with captions, one with classes. Their CLIP's weights are not here."""
    root = tmp_path_factory.mktemp("evaluate")
    write_arrays(root / "a", 0, captions=True)
    write_arrays(root / "b", 1, captions=False)
    raw = {
        "data": {
            "captioned": {"source": "arrays", "path": str(root / "a"), "encoder": "ViT-B-32/openai"},
            "classed": {"source": "arrays", "path": str(root / "b"), "encoder": "ViT-B-32/openai", "label_column": "kind"},
        },
        "clip": {"model": "ViT-B-32", "pretrained": "openai"},
        "sae": {"width": 32, "architecture": {"kind": "topk", "k": 4}, "steps": 30, "batch_size": 32, "domains": ["captioned"]},
    }
    config = validate(RunConfig, raw, "test")
    store = Store(root / "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        return pipeline.run("evaluate", config, store), store


def inputs_of(run: Run) -> Inputs:
    roles = {"sae": "train"} | {f"{kind}:{d}": f"{kind}:{d}" for kind in ("manifest", "embed") for d in run.config.data}
    return Inputs({role: run.outcomes[name].path for role, name in roles.items()})


def held_out(run: Run, domain: str) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], SAE]:
    manifest, embeddings = run.load(f"manifest:{domain}"), run.load(f"embed:{domain}")
    sae = SAE.load(run.outcomes["train"].path)
    rows = manifest.split_rows("test")
    x = embeddings.rows(rows)
    return rows, x, np.asarray(sae.decode(sae.encode(x))), sae


class FixedTower:
    """A text tower that answers with planted directions: the class's centre for any prompt that names it."""

    id = "ViT-B-32/openai"

    def texts(self, texts: list[str]) -> NDArray[np.float32]:
        centres = np.random.default_rng(7).normal(size=(C, D)).astype(np.float32)
        return np.stack([centres[next(c for c, name in enumerate(("curve", "dot", "line")) if name in text)] for text in texts])


def test_reconstruction_is_the_definition(run: tuple[Run, Store]) -> None:
    metrics = run[0].outcomes["evaluate"].metrics
    for domain in ("captioned", "classed"):
        _, x, x_hat, sae = held_out(run[0], domain)
        error = ((x.astype(np.float64) - x_hat) ** 2).sum()
        r2 = 1 - error / ((x - x.mean(axis=0, dtype=np.float64)) ** 2).sum()
        assert metrics[f"{domain}.r2"] == pytest.approx(r2, abs=1e-5)
        assert metrics[f"{domain}.l0"] == pytest.approx((np.asarray(sae.encode(x)) > 0).sum(axis=1).mean())
    # Pooled over the domain it was trained on only.
    assert metrics["r2"] == metrics["captioned.r2"]
    report = run[0].load("evaluate").report
    assert report["pooled_over"] == ["captioned"]
    assert report["split"] == "test"


def test_caption_recall_of_held_out_images(run: tuple[Run, Store]) -> None:
    manifest, embeddings = run[0].load("manifest:captioned"), run[0].load("embed:captioned")
    rows, x, x_hat, _ = held_out(run[0], "captioned")
    own, first = distinct_captions(manifest.captions)
    metrics = run[0].outcomes["evaluate"].metrics
    assert metrics["captioned.n"] == len(rows)
    assert run[0].load("evaluate").report["domains"]["captioned"]["recall"]["captions"] == N // 3
    candidates = np.asarray(embeddings.texts)[first]
    for name, vectors in (("clip", x), ("sae", x_hat), ("floor", np.tile(x.mean(axis=0), (len(x), 1)))):
        expected = caption_hits(vectors, own[rows], candidates, KS).mean(axis=0)
        assert [metrics[f"captioned.recall_{k}_{name}"] for k in KS] == pytest.approx(expected.tolist(), abs=1e-9)
    random = run[0].load("evaluate").report["domains"]["captioned"]["controls"][2]
    assert random["recall_n"] == len(rows)
    assert random["recall_10"] == metrics["captioned.recall_10_random"]
    assert random["recall_10_delta"] == pytest.approx(random["recall_10"] - metrics["captioned.recall_10_clip"])
    for k in KS:
        delta = metrics[f"captioned.recall_{k}_delta"]
        assert delta == pytest.approx(metrics[f"captioned.recall_{k}_sae"] - metrics[f"captioned.recall_{k}_clip"])
        assert metrics[f"captioned.recall_{k}_delta_ci_low"] <= delta <= metrics[f"captioned.recall_{k}_delta_ci_high"]


def test_a_missing_text_tower_is_said(run: tuple[Run, Store]) -> None:
    found = run[0].load("evaluate")
    assert "classed.accuracy_clip" not in found.metrics()
    note = found.report["domains"]["classed"]["notes"][0]
    assert note.startswith("no zero-shot accuracy: ")
    assert "ViT-B-32/openai" in note
    assert "\n" not in note
    assert len(found.per_class) == len(found.per_image) == len(found.flips) == 0
    assert list(found.per_class.columns) == list(PER_CLASS)
    assert list(found.flips.columns) == list(FLIPS)


def test_log_lines(run: tuple[Run, Store]) -> None:
    lines = run[0].load("evaluate").log.splitlines()
    m = run[0].outcomes["evaluate"].metrics
    clip = "/".join(f"{m[f'captioned.recall_{k}_clip']:.4f}" for k in KS)
    sae = "/".join(f"{m[f'captioned.recall_{k}_sae']:.4f}" for k in KS)
    delta = "/".join(f"{m[f'captioned.recall_{k}_delta']:+.4f}" for k in KS)
    tail = f"L0: {m['captioned.l0']:.2f} | R2: {m['captioned.r2']:.4f}"
    assert lines[0] == f"captioned | recall@1/5/10 CLIP: {clip} | CLIP+SAE: {sae} | delta: {delta} | {tail}"
    assert lines[1] == f"classed | L0: {m['classed.l0']:.2f} | R2: {m['classed.r2']:.4f}"


def test_zero_shot_with_a_text_tower(run: tuple[Run, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(towers, "load_encoder", lambda *_: FixedTower())
    config = EvaluateConfig(templates={"classed": ("a {} drawn by hand", "{}")}, bootstrap=200)
    found = stage.run(config, inputs_of(run[0]), tmp_path, silent, Runtime())
    manifest = run[0].load("manifest:classed")
    rows, x, x_hat, _ = held_out(run[0], "classed")
    labels = manifest.labels[rows]
    weights = FixedTower().texts(manifest.classes)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    metrics = found.metrics()
    clip, sae = (x @ weights.T).argmax(axis=1), (x_hat @ weights.T).argmax(axis=1)
    assert metrics["classed.accuracy_clip"] == pytest.approx((clip == labels).mean())
    assert metrics["classed.accuracy_sae"] == pytest.approx((sae == labels).mean())
    constant = (x.mean(axis=0) @ weights.T).argmax()
    assert metrics["classed.accuracy_floor"] == pytest.approx((labels == constant).mean())
    assert metrics["classed.n"] == len(rows)
    part = found.report["domains"]["classed"]["zero_shot"]
    assert part["templates"] == ["a {} drawn by hand", "{}"]
    assert part["classes"] == manifest.classes
    images = found.per_image
    assert images["image"].tolist() == rows.tolist()
    assert images["pred_clip"].tolist() == clip.tolist()
    assert images["pred_sae"].tolist() == sae.tolist()
    table = found.per_class
    assert table["n"].sum() == len(rows)
    assert (table["n"] * table["accuracy_sae"]).sum() == pytest.approx((sae == labels).sum())
    line = found.log.splitlines()[1]
    m = {name: metrics[f"classed.{name}"] for name in ("accuracy_clip", "accuracy_sae", "delta", "l0", "r2")}
    assert line == (
        f"classed | zero-shot CLIP: {m['accuracy_clip']:.4f} | CLIP+SAE: {m['accuracy_sae']:.4f} | delta: {m['delta']:+.4f} "
        f"| L0: {m['l0']:.2f} | R2: {m['r2']:.4f}"
    )
    again = stage.Evaluation.load(tmp_path)
    assert again.metrics() == metrics
    assert again.log == found.log
    pd.testing.assert_frame_equal(again.per_class, found.per_class, check_dtype=False)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("local-dir/mine", r"local-dir/mine was read from a folder"),
        ("ViT-B-33/openai", r"texts of ViT-B-33/openai are not here: no CLIP model 'ViT-B-33'"),
        ("ViT-B-32/openai", r"cannot fetch CLIP weights ViT-B-32/openai"),
    ],
)
def test_an_encoder_that_is_not_here(encoder: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Unavailable, match=message):
        towers.Towers("cpu").of(encoder)


def test_an_encoder_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(towers, "load_encoder", lambda *_: FixedTower())
    assert towers.Towers("cpu").of("ViT-B-32/openai").id == "ViT-B-32/openai"
    with pytest.raises(Unavailable, match=r"made by bundled/v0, here is ViT-B-32/openai"):
        towers.Towers("cpu").of("bundled/v0")


def test_same_seed_same_report(run: tuple[Run, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        stage.run(EvaluateConfig(seed=seed, bootstrap=200), inputs_of(run[0]), tmp_path / name, silent, Runtime())
    reports = [json.loads((tmp_path / name / "report.json").read_text()) for name in "abc"]
    assert reports[0] == reports[1]
    assert reports[0]["metrics"] != reports[2]["metrics"]


def test_bad_templates_are_refused(run: tuple[Run, Store], tmp_path: Path) -> None:
    for templates, message in ((("a drawing",), "must hold"), ("sketchy", "no template set")):
        with pytest.raises(InputError, match=message):
            stage.run(EvaluateConfig(templates={"classed": templates}), inputs_of(run[0]), tmp_path, silent, Runtime())


def test_a_dictionary_of_another_clip_is_refused(run: tuple[Run, Store], tmp_path: Path) -> None:
    sae = SAE.load(run[0].outcomes["train"].path)
    SAE(sae.architecture, sae.weights, sae.mean, sae.scale, "ViT-L-14/openai").save(tmp_path / "sae")
    inputs = Inputs({**inputs_of(run[0]).paths, "sae": tmp_path / "sae"})
    with pytest.raises(InputError, match=r"domain captioned: .* ViT-B-32/openai, .* trained on ViT-L-14/openai"):
        stage.run(EvaluateConfig(), inputs, tmp_path, silent, Runtime())


def test_a_dictionary_from_elsewhere_is_pooled_over_all(run: tuple[Run, Store], tmp_path: Path) -> None:
    assert stage.trained_domains(run[0].outcomes["train"].path, ["captioned", "classed"]) == ["captioned"]
    SAE.load(run[0].outcomes["train"].path).save(tmp_path)
    assert stage.trained_domains(tmp_path, ["captioned", "classed"]) == ["captioned", "classed"]


def test_damage_and_absence_are_named(run: tuple[Run, Store], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no evaluation"):
        stage.Evaluation.load(tmp_path)
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(DamagedArtifact, match="evaluate again"):
        stage.Evaluation.load(tmp_path)


def test_real_clip_recall_is_the_published_one(shared_data: Path) -> None:
    """All 1,000 patents against the 750 distinct captions: recall@1 7.8 %, @5 20.9 %, @10 30.4 % (the data's own README)."""
    folder = shared_data / "design-patents-2007"
    images, captions = (np.load(folder / f"{name}_embeddings.npy") for name in ("image", "text"))
    own, first = distinct_captions(pd.read_csv(folder / "metadata.csv")["caption"].tolist())
    assert len(first) == 750
    assert caption_hits(images, own, captions[first], KS).mean(axis=0).tolist() == [0.078, 0.209, 0.304]
