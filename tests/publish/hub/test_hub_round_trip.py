"""A run goes to the Hub and comes back: equal hashes, equal metrics; what is published holds no image, no path, no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

import sae_core as sc
from sae_core.cli import main
from sae_core.errors import InputError, Unavailable
from sae_core.publish.folder import PARTS
from sae_core.publish.hub.bring import bring
from sae_core.publish.hub.client import Patience
from sae_core.publish.hub.push import plan_push, push_run
from sae_core.publish.licences import Licences
from sae_core.store import Store, sha256_file
from tests.publish.loopback_hub import TOKEN, LoopbackHub, status

ROOT = Path(__file__).parents[3]
FORMATS = ["native", "saelens", "dictionary_learning", "sparsify"]
CANARY = "canary-5f1e77d0c4"


def config_of(cache: Path) -> Path:
    (file,) = cache.glob("runs/run-*/config.yaml")
    return file


@pytest.fixture
def pushed(hub: LoopbackHub, small_run: sc.pipeline.Run, patience: Patience) -> LoopbackHub:
    """The Hub with the run in me/x."""
    push_run(small_run, "me/x", formats=FORMATS, licences=Licences("cc-by-4.0"), patience=patience)
    return hub


def test_what_is_published_is_the_artifacts_own_bytes(pushed: LoopbackHub, small_run: sc.pipeline.Run) -> None:
    files = pushed.repos["me/x"].files
    for stage, part in PARTS.items():
        for name in part.files:
            assert files[f"{part.folder}/{name}"] == (small_run.paths[stage] / name).read_bytes()
    assert {name.partition("/")[0] for name in files} == {
        ".gitattributes", "README.md", "run.yaml", "publication.json", "dictionary", "evaluation", "names",
        "saelens", "dictionary_learning", "sparsify",
    }  # fmt: skip
    assert not [name for name in files if name.endswith((".png", ".jpg", ".webp", ".npy", ".bin"))], "no image of the data set"
    assert pushed.repos["me/x"].private


def test_the_same_run_again_makes_no_commit(pushed: LoopbackHub, small_run: sc.pipeline.Run, patience: Patience) -> None:
    again = push_run(small_run, "hf://me/x", formats=FORMATS, licences=Licences("cc-by-4.0"), patience=patience)
    assert not again.changed
    assert len(pushed.repos["me/x"].messages) == 2


def test_the_card_says_what_was_measured(pushed: LoopbackHub, small_run: sc.pipeline.Run) -> None:
    card = ModelCard(pushed.repos["me/x"].files["README.md"].decode())
    assert card.data.license == "cc-by-4.0"
    assert card.data.library_name == "sketch-sae-lab"
    measured = {(r.dataset_name.partition(":")[0], r.metric_name): r for r in card.data.eval_results or []}
    m = small_run.metrics
    for domain in ("sketch", "photo"):
        result = measured[domain, f"{domain}: zero-shot accuracy of CLIP through the dictionary"]
        assert result.metric_value == round(m[f"{domain}.accuracy_sae"], 6)
        assert result.dataset_split == "test"
        delta = measured[domain, f"{domain}: change in zero-shot accuracy"]
        assert delta.metric_args == {
            "ci_95_low": round(m[f"{domain}.delta_ci_low"], 6), "ci_95_high": round(m[f"{domain}.delta_ci_high"], 6)
        }  # fmt: skip
    for said in (
        'sc.load_sae("hf://me/x")',
        f"| L0 | {m['l0']:.4f} |",
        "near-duplicates",
        "x̄ the vector mean",
        "bundled demo model",
    ):
        assert said in card.text


def test_load_sae_reads_it_by_its_address_in_every_format(pushed: LoopbackHub, small_run: sc.pipeline.Run) -> None:
    x = np.random.default_rng(0).normal(size=(5, 128)).astype(np.float32)
    expected = sc.load_sae(small_run.paths["train"])(x)
    np.testing.assert_array_equal(sc.load_sae("hf://me/x")(x), expected)
    np.testing.assert_array_equal(sc.load_sae("hf://me/x@main")(x), expected)
    for name in FORMATS[1:]:
        np.testing.assert_allclose(sc.load_sae(f"hf://me/x/{name}")(x), expected, atol=1e-4)


def test_it_comes_back_with_equal_hashes_and_equal_metrics(
    pushed: LoopbackHub, small_run: sc.pipeline.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "elsewhere"
    assert main(["import", "hf://me/x", "--check", "--cache", str(cache), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["sha256"] == sha256_file(small_run.paths["train"] / "sae.safetensors")
    assert said["reproduced"], said["differences"]
    assert said["compared"] > 20
    assert said["recorded"]
    store = Store(cache)
    for stage in ("train", "interpret"):
        assert store.verify(small_run.keys[stage]) == []
    made = store.open(small_run.keys["evaluate"]).path
    for table in ("per_class.parquet", "per_image.parquet", "flips.parquet"):
        assert sha256_file(made / table) == sha256_file(small_run.paths["evaluate"] / table)
    again = sc.pipeline.find_run(store, small_run.id).open(store)
    assert again.keys["train"] == small_run.keys["train"]
    for table in ("names.json", "sae_latents.csv"):
        assert sha256_file(again.paths["interpret"] / table) == sha256_file(small_run.paths["interpret"] / table)


def test_without_check_the_published_evaluation_is_there_and_nothing_is_made_twice(
    pushed: LoopbackHub, small_run: sc.pipeline.Run, tmp_path: Path
) -> None:
    store = Store(tmp_path / "elsewhere")
    brought = bring("hf://me/x", store)
    assert brought.commit == pushed.repos["me/x"].branches["main"]
    assert dict(brought.artifacts) == {stage: small_run.keys[stage] for stage in PARTS}
    assert store.open(small_run.keys["evaluate"]).metrics == dict(small_run.outcomes["evaluate"].metrics)
    assert all(store.verify(key) == [] for key in brought.artifacts.values())
    record = store.open(small_run.keys["train"]).manifest
    assert record["imported_from"] == f"hf://me/x@{brought.commit}"
    before = sha256_file(store.open(small_run.keys["train"]).path / "manifest.json")
    bring("hf://me/x", store)
    assert sha256_file(store.open(small_run.keys["train"]).path / "manifest.json") == before


# ---------------------------------------------------------------- lies and trouble


def altered(hub: LoopbackHub, name: str, content: bytes) -> None:
    repo = hub.repos["me/x"]
    repo.commit("main", {**repo.files, name: content}, "altered")


def test_an_altered_file_or_record_is_refused(pushed: LoopbackHub, small_run: sc.pipeline.Run, tmp_path: Path) -> None:
    store = Store(tmp_path / "elsewhere")
    sound = pushed.repos["me/x"].files
    weights = bytearray(sound["dictionary/sae.safetensors"])
    weights[-1] ^= 1
    altered(pushed, "dictionary/sae.safetensors", bytes(weights))
    with pytest.raises(InputError, match=r"dictionary/sae\.safetensors is missing or does not have the hash"):
        bring("hf://me/x", store)
    said = json.loads(sound["publication.json"])
    said["artifacts"]["train"]["config"]["seed"] = 99
    altered(pushed, "publication.json", json.dumps(said).encode())
    with pytest.raises(InputError, match="does not follow from what it was made from"):
        bring("hf://me/x", store)
    said = json.loads(sound["publication.json"])
    said["artifacts"]["train"]["files"]["../../evil"] = {"sha256": "0" * 64, "size": 1}
    altered(pushed, "publication.json", json.dumps(said).encode())
    with pytest.raises(InputError, match="as this program does not"):
        bring("hf://me/x", store)
    altered(pushed, "publication.json", b"[]")
    with pytest.raises(InputError, match="no published run"):
        bring("hf://me/x", store)
    assert not store.has(small_run.keys["train"])


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("hf://me/missing", InputError, "no such repository"),
        ("hf://me/x@nowhere", InputError, "no such revision"),
        ("hf://me/x/dictionary", InputError, "imported as a whole"),
        ("hf://me", InputError, "no place on the Hub"),
        ("hf://me/../x", InputError, "no place on the Hub"),
        ("hf://me/x@a b", InputError, "no place on the Hub"),
        ("hf://me/x\0", InputError, "no place on the Hub"),
    ],
)
def test_a_wrong_address_is_one_line(
    pushed: LoopbackHub, tmp_path: Path, address: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        bring(address, Store(tmp_path / "c"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_private_run_is_not_seen_without_its_token(
    pushed: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(InputError, match=r"no such repository|does not accept"):
        bring("hf://me/x", Store(tmp_path / "c"))


def test_a_hub_in_trouble_is_said(pushed: LoopbackHub, tmp_path: Path) -> None:
    pushed.script("info", *[status(500)] * 50)
    with pytest.raises(Unavailable, match="cannot be fetched"):
        bring("hf://me/x", Store(tmp_path / "c"))


# ---------------------------------------------------------------- the command line


def test_a_dry_run_says_every_file_and_asks_nobody(
    hub: LoopbackHub, demo_cache: Path, small_run: sc.pipeline.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["publish", "hub", "me/x", "--dry-run", "--formats", "saelens", "--config", str(config_of(demo_cache))]
    assert main([*argv, "--cache", str(demo_cache), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["private"]
    names = {one["file"] for one in said["files"]}
    assert {"README.md", "run.yaml", "dictionary/sae.safetensors", "saelens/sae_weights.safetensors"} <= names
    assert said["bytes"] == sum(one["bytes"] for one in said["files"]) > 10_000
    assert all(one["to"] == f"{hub.url}/me/x/blob/main/{one['file']}" for one in said["files"])
    assert hub.requests == []
    planned = plan_push(small_run, "me/x", formats=["saelens"])
    assert {name for name, _, _ in planned.files} == names


def test_the_command_in_a_process_of_its_own_leaks_no_secret(hub: LoopbackHub, demo_cache: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": TOKEN,
        "LAB_TEST_SECRET": CANARY,
    }
    argv = ["publish", "hub", "me/x", "--config", str(config_of(demo_cache)), "--cache", str(demo_cache), "--json", "--debug"]
    done = subprocess.run(
        [sys.executable, "-m", "sae_core", *argv], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["changed"]
    assert said["url"] == f"{hub.url}/me/x"
    everything = [done.stdout.encode(), done.stderr.encode(), *hub.repos["me/x"].files.values(), *hub.storage.values()]
    everything += [body for _, _, _, body in hub.requests]
    everything += [f"{path}{headers.get('User-Agent')}".encode() for _, path, headers, _ in hub.requests]
    everything += [file.read_bytes() for file in demo_cache.rglob("*") if file.is_file()]
    for secret in (TOKEN, CANARY):
        assert not [one[:80] for one in everything if secret.encode() in one]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["hub", "no-owner"], "no place on the Hub"),
        (["hub", "me/x", "--formats", "gguf"], "unknown format 'gguf'"),
        (["hub", "me/x", "--formats", "seed"], "seed format holds"),
        (["hub", "me/x", "--data-license", "moon=mit"], "DOMAIN one of sketch, photo"),
        ([], "say where to"),
    ],
)
def test_bad_words_are_one_line(
    hub: LoopbackHub, demo_cache: Path, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    code = main(["publish", *argv, "--config", str(config_of(demo_cache)), "--cache", str(demo_cache)])
    out, err = capsys.readouterr()
    assert code == 2, err
    assert out == ""
    assert said in err.strip().splitlines()[-1]
    assert "me/x" not in hub.repos
