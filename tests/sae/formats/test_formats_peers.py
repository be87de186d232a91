"""Checkpoints that the real packages wrote: read without being told what they are, they compute what those packages compute.

`tests/fixtures/peers/make.py` made them; each stands with the packages' own codes and reconstructions of four rows.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sae_core.errors import InputError
from sae_core.sae.architectures import SAE
from sae_core.sae.formats import load_sae
from tests.sae.formats.examples import FIXTURES

ROWS = np.load(FIXTURES / "x.npy", allow_pickle=False)
GROUPS = {"groups": (0.25, 0.25, 0.5)}
KINDS: dict[str, dict[str, Any]] = {
    "dictionary_learning-AutoEncoder": {"kind": "relu_l1"},
    "dictionary_learning-AutoEncoderNew": {"kind": "relu_l1"},
    "dictionary_learning-AutoEncoderTopK": {"kind": "topk", "k": 3},
    "dictionary_learning-BatchTopKSAE": {"kind": "batch_topk", "k": 3},
    "dictionary_learning-GatedAutoEncoder": {"kind": "gated"},
    "dictionary_learning-JumpReluAutoEncoder": {"kind": "jumprelu"},
    "dictionary_learning-MatryoshkaBatchTopKSAE": {"kind": "matryoshka", "k": 3, **GROUPS},
    "dictionary_learning-interrupted": {"kind": "matryoshka", "k": 3, "groups": (0.25, 0.75)},
    "saelens-standard": {"kind": "relu_l1"},
    "saelens-standard-plain": {"kind": "relu_l1"},
    "saelens-gated": {"kind": "gated"},
    "saelens-jumprelu": {"kind": "jumprelu"},
    "saelens-jumprelu-plain": {"kind": "jumprelu"},
    "saelens-topk": {"kind": "topk", "k": 3},
    "saelens-topk-rescaled": {"kind": "topk", "k": 3},
    "saelens-topk-trained": {"kind": "topk", "k": 3},
    "saelens-batchtopk": {"kind": "batch_topk", "k": 3},
    "saelens-matryoshka": {"kind": "matryoshka", "k": 3, **GROUPS},
    "saelens-version-5": {"kind": "topk", "k": 3},
    "sparsify-topk": {"kind": "topk", "k": 3},
    "sparsify-expansion": {"kind": "topk", "k": 3},
}


def close(sae: SAE, folder: Path, names: tuple[str, ...] = ("codes", "x_hat")) -> None:
    """The package's own codes and reconstruction, to 1e-5 of the largest entry."""
    for name in names:
        found = sae(ROWS) if name == "x_hat" else sae.encode(ROWS)
        expected = np.load(folder / f"{name}.npy", allow_pickle=False)
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def copied(name: str, tmp_path: Path) -> Path:
    """A copy of a fixture that may be altered."""
    return Path(shutil.copytree(FIXTURES / name, tmp_path / name))


@pytest.mark.parametrize("name", KINDS)
def test_a_package_s_own_file_computes_the_same_here(name: str) -> None:
    sae = load_sae(FIXTURES / name)
    close(sae, FIXTURES / name)
    said = sae.architecture.model_dump()
    assert {field: said[field] for field in KINDS[name]} == KINDS[name]
    assert sae.encoder_id is None
    (weights,) = [*(FIXTURES / name).glob("*.safetensors"), *(FIXTURES / name).glob("*.pt")]
    assert load_sae(weights).sha256 == sae.sha256


def test_every_fixture_is_read_or_refused_here() -> None:
    refused = {"dictionary_learning-unset_threshold", "sparsify-transcoder"}
    assert {path.name for path in FIXTURES.iterdir() if path.is_dir()} - {"__pycache__"} == set(KINDS) | refused
    with pytest.raises(InputError, match="threshold is -1, not set: BatchTopKSAE learns it after threshold_start_step"):
        load_sae(FIXTURES / "dictionary_learning-unset_threshold")
    with pytest.raises(InputError, match=r"cfg\.json says transcode"):
        load_sae(FIXTURES / "sparsify-transcoder")


@pytest.mark.parametrize("name", [name for name in KINDS if "interrupted" not in name])
def test_a_foreign_file_survives_the_way_through_here(name: str, tmp_path: Path) -> None:
    form = name.split("-")[0]
    load_sae(FIXTURES / name).save(tmp_path, format=form)
    again = load_sae(tmp_path)
    # ReLU is written with rows of length 1, which its trainer makes and AutoEncoderNew has not.
    close(again, FIXTURES / name, ("x_hat",) if name.endswith("AutoEncoderNew") else ("codes", "x_hat"))
    assert again.architecture == load_sae(FIXTURES / name).architecture
    if name.endswith(("TopK", "SAE", "GatedAutoEncoder", "JumpReluAutoEncoder")) and form == "dictionary_learning":
        # Nothing is computed on the way, so nothing is rounded: but for TopK's threshold, which its codes do not need.
        before, after = (torch.load(folder / "ae.pt", weights_only=True) for folder in (FIXTURES / name, tmp_path))
        assert before.keys() == after.keys()
        assert [key for key in before if not torch.equal(before[key], after[key])] in ([], ["threshold"])


# ---------------------------------------------------------------- dictionary_learning


def test_a_checkpoint_of_a_run_finds_its_configuration(tmp_path: Path) -> None:
    folder = copied("dictionary_learning-BatchTopKSAE", tmp_path)
    (folder / "checkpoints").mkdir()
    (folder / "ae.pt").rename(folder / "checkpoints" / "ae_20.pt")
    close(load_sae(folder / "checkpoints" / "ae_20.pt"), folder)


@pytest.mark.parametrize("name", [name for name in KINDS if name.startswith("dictionary_learning")])
def test_without_a_configuration_the_weights_tell_the_class_where_they_can(name: str, tmp_path: Path) -> None:
    folder = copied(name, tmp_path)
    (folder / "config.json").unlink()
    if name.endswith(("AutoEncoderTopK", "BatchTopKSAE")) and "Matryoshka" not in name:
        with pytest.raises(InputError, match=r"AutoEncoderTopK or BatchTopKSAE; put its config\.json beside it"):
            load_sae(folder)
    else:
        close(load_sae(folder), folder)


def test_an_interrupted_run_without_normalisation_is_read_as_it_is(tmp_path: Path) -> None:
    folder = copied("dictionary_learning-GatedAutoEncoder", tmp_path)
    state = torch.load(folder / "ae.pt", weights_only=True)
    torch.save({"step": 3, "ae": state, "optimizer": {}, "config": {}, "norm_factor": None}, folder / "ae.pt")
    close(load_sae(folder), folder)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("inf"), float("nan"), "big"])
def test_an_impossible_norm_factor_is_refused(factor: object, tmp_path: Path) -> None:
    folder = copied("dictionary_learning-interrupted", tmp_path)
    saved = torch.load(folder / "ae.pt", weights_only=True)
    torch.save({**saved, "norm_factor": factor}, folder / "ae.pt")
    with pytest.raises(InputError, match="norm_factor is"):
        load_sae(folder)


# ---------------------------------------------------------------- sae-lens


def altered(folder: Path, **said: object) -> Path:
    """The folder with its cfg.json changed; None takes a key out."""
    cfg = {**json.loads((folder / "cfg.json").read_text()), **said}
    (folder / "cfg.json").write_text(json.dumps({key: value for key, value in cfg.items() if value is not None}))
    return folder


def test_a_training_checkpoint_s_own_input_factor_is_used(tmp_path: Path) -> None:
    folder = altered(copied("saelens-standard", tmp_path), normalize_activations="expected_average_only_in")
    with pytest.raises(InputError, match="whose factor is not in the file; fold it in SAELens"):
        load_sae(folder)
    (folder / "activation_scaler.json").write_text('{"scaling_factor": 0.25, "has_whitening": false}')
    sae = load_sae(folder)
    expected = np.load(folder / "x_hat.npy")
    np.testing.assert_allclose(sae(ROWS / 0.25), expected / 0.25, rtol=0, atol=4e-5 * np.abs(expected).max())
    np.testing.assert_allclose(sae.encode(ROWS / 0.25), np.load(folder / "codes.npy"), atol=1e-5)


def test_thresholds_that_differ_make_a_jumprelu_of_a_batchtopk(tmp_path: Path) -> None:
    folder = copied("saelens-batchtopk", tmp_path)
    tensors = load_file(folder / "sae_weights.safetensors")
    tensors["threshold"][0] += 1
    save_file(tensors, folder / "sae_weights.safetensors")
    assert load_sae(folder).architecture.kind == "jumprelu"


def test_a_negative_threshold_passes_what_0_passes(tmp_path: Path) -> None:
    folder = copied("saelens-jumprelu", tmp_path)
    tensors = load_file(folder / "sae_weights.safetensors")
    tensors["threshold"].fill_(-3)
    save_file(tensors, folder / "sae_weights.safetensors")
    codes = load_sae(folder).encode(ROWS)
    assert (codes >= 0).all()
    assert (load_sae(folder).weights["threshold"] == 0).all()
    assert (codes > 0).sum() > (np.load(folder / "codes.npy") > 0).sum()


def test_an_old_factor_of_1_for_each_code_is_no_obstacle(tmp_path: Path) -> None:
    folder = copied("saelens-version-5", tmp_path)
    tensors = load_file(folder / "sae_weights.safetensors")
    save_file({**tensors, "scaling_factor": torch.ones(16)}, folder / "sae_weights.safetensors")
    close(load_sae(folder), folder)
    save_file({**tensors, "scaling_factor": torch.full((16,), 2.0)}, folder / "sae_weights.safetensors")
    with pytest.raises(InputError, match="scaling_factor is not 1"):
        load_sae(folder)


def test_half_precision_files_become_float32(tmp_path: Path) -> None:
    folder = copied("saelens-standard", tmp_path)
    tensors = load_file(folder / "sae_weights.safetensors")
    save_file({name: tensor.bfloat16() for name, tensor in tensors.items()}, folder / "sae_weights.safetensors")
    sae = load_sae(folder)
    assert {tensor.dtype for tensor in sae.weights.values()} == {torch.float32}
    np.testing.assert_allclose(sae(ROWS), np.load(folder / "x_hat.npy"), atol=0.2)
