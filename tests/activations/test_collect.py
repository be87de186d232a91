"""The collect stage through the pipeline's door, against dense codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from sae_core import pipeline
from sae_core.activations import collect
from sae_core.activations.writer import FILES
from sae_core.config import CollectConfig, RunConfig, Runtime, TopK, validate
from sae_core.errors import Cancelled, InputError
from sae_core.pipeline import Run
from sae_core.progress import Event, silent
from sae_core.sae.architectures import SAE
from sae_core.store import MANIFEST, Inputs, Store

D = 512


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on two array domains of 50 and 30 rows."""
    root = tmp_path_factory.mktemp("collect")
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(8, D))
    for name, n in (("a", 50), ("b", 30)):
        (root / name).mkdir()
        x = rng.exponential(1, (n, 8)) @ basis
        np.save(root / name / "image_embeddings.npy", x.astype(np.float32))
        pd.DataFrame({"file": [f"{i}.png" for i in range(n)], "label": [("line", "dot")[i % 2] for i in range(n)]}).to_csv(
            root / name / "metadata.csv", index=False
        )
    raw = {
        "data": {name: {"source": "arrays", "path": str(root / name)} for name in ("a", "b")},
        "clip": {"model": "ViT-B-32", "pretrained": "openai"},
        "sae": {"width": 24, "architecture": {"kind": "topk", "k": 5}, "steps": 20, "batch_size": 16},
        "collect": {"batch_rows": 13},
    }
    return pipeline.run("collect", validate(RunConfig, raw, "test"), Store(root / "cache"))


def inputs_of(run: Run) -> Inputs:
    roles = {"sae": "train"} | {f"{kind}:{d}": f"{kind}:{d}" for kind in ("manifest", "embed") for d in ("a", "b")}
    return Inputs({role: run.outcomes[name].path for role, name in roles.items()})


def test_the_store_holds_the_codes(run: Run) -> None:
    acts = run.load("collect")
    sae = SAE.load(run.outcomes["train"].path)
    z = np.concatenate([np.asarray(sae.encode(run.load(f"embed:{d}").array())) for d in ("a", "b")])
    np.testing.assert_allclose(acts.csr().toarray(), z, rtol=2e-3, atol=1e-6)
    assert (acts.n, acts.m, acts.domains) == (80, 24, ("a", "b"))
    assert acts.about["sae"] == run.keys["train"]
    assert run.outcomes["collect"].metrics["nonzeros"] == (z > 0).sum()


def test_rows_are_those_of_the_manifests(run: Run) -> None:
    images = run.load("collect").images
    start = 0
    for domain in ("a", "b"):
        manifest = run.load(f"manifest:{domain}")
        part = images.iloc[start : start + manifest.n]
        assert (part["domain"] == domain).all()
        assert part["image"].tolist() == list(range(manifest.n))
        assert part["split"].tolist() == manifest.table["split"].tolist()
        assert part["label"].tolist() == manifest.labels.tolist()
        assert (part["group"].nunique(), len(set(part["group"]))) == (manifest.table["group"].nunique(),) * 2
        start += manifest.n


def test_batches_do_not_matter_and_leftovers_neither(run: Run, tmp_path: Path) -> None:
    (tmp_path / "values.tmp").write_bytes(b"of a killed attempt")
    collect.run(CollectConfig(batch_rows=1000), inputs_of(run), tmp_path, silent, Runtime())
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(FILES)
    made = run.outcomes["collect"].path
    assert sorted(p.name for p in made.iterdir()) == sorted([*FILES, MANIFEST])
    for name in set(FILES) - {
        "val.npy",
        "col_vals.npy",
        "stats.parquet",
        "col_rows.npy",
    }:  # a GEMM's last bit depends on its rows
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes(), name


@pytest.mark.parametrize("at", [20, 80])
def test_a_stopped_attempt_is_begun_again(run: Run, tmp_path: Path, at: int) -> None:
    def stop(event: Event) -> None:
        if event.step >= at:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        collect.run(CollectConfig(batch_rows=13), inputs_of(run), tmp_path, stop, Runtime())
    collect.run(CollectConfig(batch_rows=13), inputs_of(run), tmp_path, silent, Runtime())
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (run.outcomes["collect"].path / name).read_bytes(), name


def test_other_embeddings_are_refused(run: Run) -> None:
    narrow = {"W_enc": torch.ones(3, 7), "b_enc": torch.zeros(3), "W_dec": torch.ones(3, 7), "b_dec": torch.zeros(7)}
    embeddings = run.load("embed:a")
    with pytest.raises(InputError, match=r"domain a: embeddings are 512 wide, the dictionary takes 7"):
        collect.check_fit(SAE(TopK(k=1), narrow), embeddings, "a")
    sae = SAE.load(run.outcomes["train"].path)
    collect.check_fit(sae, embeddings, "a")
    other = SAE(sae.architecture, sae.weights, sae.mean, sae.scale, "ViT-L-14/openai")
    with pytest.raises(InputError, match=r"domain a: .* from ViT-B-32/openai, .* trained on ViT-L-14/openai"):
        collect.check_fit(other, embeddings, "a")
