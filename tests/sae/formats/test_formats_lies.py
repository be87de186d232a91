"""Foreign files that lie, or say what cannot be computed here, are refused by name in one line."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sae_core.errors import InputError
from sae_core.sae.formats import load_sae
from tests.sae.formats.examples import FIXTURES

Change = Callable[[dict[str, Any], dict[str, Any]], object]


def changed(name: str, change: Change, tmp_path: Path) -> Path:
    """A copy of a fixture after `change(tensors, configuration)`; a configuration emptied is a file left out."""
    folder = Path(shutil.copytree(FIXTURES / name, tmp_path / name))
    config = folder / ("config.json" if name.startswith("dictionary_learning") else "cfg.json")
    weights = next(path for path in folder.iterdir() if path.suffix in (".pt", ".safetensors"))
    tensors = torch.load(weights, weights_only=True) if weights.suffix == ".pt" else load_file(weights)
    said = json.loads(config.read_text())
    change(tensors, said)
    if weights.suffix == ".pt":
        torch.save(tensors, weights)
    else:
        save_file(tensors, weights)
    config.write_text(json.dumps(said)) if said else config.unlink()
    return folder


def trainer(**fields: object) -> Change:
    return lambda tensors, said: said["trainer"].update(fields)


def cfg(**fields: object) -> Change:
    return lambda tensors, said: said.update(fields)


def put(name: str, value: torch.Tensor) -> Change:
    return lambda tensors, said: tensors.update({name: value})


NORMAL = torch.zeros(16, 8)
LIES: dict[str, tuple[str, Change, str]] = {
    # dictionary_learning
    "width said": ("dictionary_learning-AutoEncoderTopK", trainer(activation_dim=512), r"config.json says activation_dim = 512"),
    "size said": (
        "dictionary_learning-AutoEncoder",
        trainer(dict_size=99),
        r"config.json says dict_size = 99, the weights say 16",
    ),
    "k said": ("dictionary_learning-BatchTopKSAE", trainer(k=4), r"config.json says k = 4, the weights say 3"),
    "k above size": ("dictionary_learning-BatchTopKSAE", lambda t, c: (t.pop("k"), c["trainer"].update(k=17)), "k = 17 is above"),
    "k of nothing": ("dictionary_learning-AutoEncoderTopK", lambda t, c: (t.pop("k"), c["trainer"].pop("k")), "is not known"),
    "k zero": ("dictionary_learning-AutoEncoderTopK", lambda t, c: (t.pop("k"), c["trainer"].update(k=0)), "is not known"),
    "k a word": ("dictionary_learning-AutoEncoderTopK", put("k", torch.tensor([1.5])), "must be one whole number"),
    "matrices disagree": (
        "dictionary_learning-AutoEncoder",
        put("encoder.weight", torch.zeros(16, 7)),
        r"W_enc has shape \[16, 7\]",
    ),
    "turned round": ("dictionary_learning-JumpReluAutoEncoder", put("W_enc", torch.zeros(16, 8)), r"W_enc has shape \[8, 16\]"),
    "no matrix": ("dictionary_learning-GatedAutoEncoder", put("decoder.weight", torch.zeros(16)), "must be a matrix"),
    "groups too small": (
        "dictionary_learning-MatryoshkaBatchTopKSAE",
        put("group_sizes", torch.tensor([4, 4, 7])),
        r"group_sizes are \[4, 4, 7\]; they must be positive and sum to the dictionary size, 16",
    ),
    "group empty": (
        "dictionary_learning-MatryoshkaBatchTopKSAE",
        put("group_sizes", torch.tensor([0, 8, 8])),
        "group_sizes are .* must be positive",
    ),
    "groups none": ("dictionary_learning-MatryoshkaBatchTopKSAE", put("group_sizes", torch.zeros(0)), "group_sizes is missing"),
    "not finite": ("dictionary_learning-AutoEncoder", put("bias", torch.full((8,), torch.nan)), "bias holds NaN or infinite"),
    "nothing": (
        "dictionary_learning-AutoEncoder",
        put("decoder.weight", torch.zeros(8, 0)),
        r"shape \[8, 0\]; it must be a matrix",
    ),
    "class no word": ("dictionary_learning-AutoEncoder", trainer(dict_class=["AutoEncoder"]), r"dict_class = \['AutoEncoder'\]"),
    "no floats": ("dictionary_learning-AutoEncoder", put("bias", torch.zeros(8, dtype=torch.int32)), "bias holds torch.int32"),
    "complex": ("dictionary_learning-AutoEncoder", put("bias", torch.zeros(8, dtype=torch.complex64)), "must be real numbers"),
    "endless": (
        "dictionary_learning-AutoEncoder",
        put("encoder.weight", torch.zeros(1, 1).expand(1 << 20, 1 << 20)),
        "encoder.weight is no plain tensor, or claims more numbers than the file has",
    ),
    "sparse": ("dictionary_learning-AutoEncoder", put("encoder.weight", NORMAL.to_sparse()), "encoder.weight is no plain tensor"),
    "other class": ("dictionary_learning-AutoEncoder", trainer(dict_class="CrossCoder"), "dict_class = 'CrossCoder'; there are"),
    "wrong class": (
        "dictionary_learning-AutoEncoder",
        trainer(dict_class="GatedAutoEncoder"),
        "GatedAutoEncoder has .*gate_bias",
    ),
    "no class fits": (
        "dictionary_learning-AutoEncoder",
        lambda t, c: (t.pop("bias"), c.clear()),
        "no class of dictionary_learning has",
    ),
    "threshold for each": ("dictionary_learning-BatchTopKSAE", put("threshold", torch.ones(16)), r"threshold has shape \[16\]"),
    # SAELens
    "d_in said": ("saelens-standard", cfg(d_in=512), r"cfg.json says d_in = 512, the weights say 8; they do not belong together"),
    "d_sae said": ("saelens-topk", cfg(d_sae=17), r"cfg.json says d_sae = 17"),
    "topk too large": ("saelens-topk", cfg(k=17), "k = 17 is above the dictionary size, 16"),
    "rescaled disagree": ("saelens-topk-rescaled", put("W_enc", torch.zeros(7, 16)), r"W_enc has shape \[16, 7\]"),
    "layer norm": (
        "saelens-standard",
        cfg(normalize_activations="layer_norm"),
        "normalize_activations = 'layer_norm', a factor for",
    ),
    "row norm": ("saelens-standard", cfg(normalize_activations="constant_norm_rescale"), "no dictionary here computes that"),
    "whitening": ("saelens-standard", cfg(normalize_activations="covariance_whitening"), "fold it in SAELens and save again"),
    "heads": ("saelens-standard", cfg(reshape_activations="hook_z"), "reshape_activations = 'hook_z'; it reads attention heads"),
    "transcoder": ("saelens-standard", cfg(architecture="transcoder"), "architecture = 'transcoder'; only standard"),
    "training": ("saelens-standard", cfg(architecture="batchtopk"), r"save it there with save_inference_model\(\)"),
    "architecture no word": ("saelens-standard", cfg(architecture=["topk"]), r"architecture = \['topk'\]; only standard"),
    "bias not finite": ("saelens-standard", put("b_enc", torch.full((16,), torch.inf)), "b_enc holds NaN or infinite"),
    "extra tensor": ("saelens-standard", put("W_skip", torch.zeros(8, 8)), "SAELens' standard has .* this one has .*W_skip"),
    "widths": (
        "saelens-matryoshka",
        lambda t, c: c["metadata"]["training_architecture_details"].update(matryoshka_widths=[4, 20]),
        "matryoshka_widths are .* sum to the dictionary size, 16",
    ),
    "widths no list": (
        "saelens-matryoshka",
        lambda t, c: c["metadata"]["training_architecture_details"].update(matryoshka_widths="wide"),
        "matryoshka_widths = 'wide'",
    ),
    "old function": ("saelens-version-5", cfg(activation_fn_str="tanh-relu"), "activation_fn = 'tanh-relu'; only relu and topk"),
    "old heads": ("saelens-version-5", cfg(hook_name="blocks.0.attn.hook_z"), "it reads attention heads"),
    "old scaling": ("saelens-version-5", cfg(normalize_activations=True), "whose factor is not in the file"),
    "no cfg": ("saelens-standard", lambda t, c: c.clear(), "cfg.json beside it is missing; the format needs it"),
    # sparsify
    "skip": ("sparsify-topk", cfg(skip_connection=True), "cfg.json says skip_connection: a skip connection passes"),
    "signed": ("sparsify-topk", cfg(signed=True), "signed codes can be negative"),
    "groupmax": ("sparsify-topk", cfg(activation="groupmax"), "activation = 'groupmax'; only topk"),
    "latents said": ("sparsify-topk", cfg(num_latents=32), "num_latents = 32, the weights say 16"),
    "expansion said": ("sparsify-expansion", cfg(expansion_factor=3), "expansion_factor = 3, the weights say 2"),
    "input said": ("sparsify-topk", cfg(d_in=512), "d_in = 512, the weights say 8"),
    "k missing": ("sparsify-topk", lambda t, c: c.pop("k"), "is not known"),
    "no decoder": ("sparsify-topk", lambda t, c: t.pop("W_dec"), "a sparsify file has .*W_dec"),
    "k beyond": ("sparsify-topk", cfg(k=17), "k = 17 is above the dictionary size, 16"),
}


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_refused_by_name(lie: str, tmp_path: Path) -> None:
    name, change, said = LIES[lie]
    load_sae(FIXTURES / name)
    with pytest.raises(InputError, match=said) as caught:
        load_sae(changed(name, change, tmp_path))
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["saelens-standard", "sparsify-topk"])
def test_a_header_that_lies_about_its_size_is_refused(name: str, tmp_path: Path) -> None:
    folder = changed(name, lambda tensors, said: None, tmp_path)
    (file,) = folder.glob("*.safetensors")
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header["b_dec"]["shape"] = [1 << 40]
    altered = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(altered)) + altered + data[8 + length :])
    with pytest.raises(InputError, match="damaged"):
        load_sae(folder)


@pytest.mark.parametrize("text", ["{", "[]", "null", '"topk"', "[" * 100_000], ids=["{", "[]", "null", "word", "deep"])
def test_a_configuration_that_is_no_object_is_refused(text: str, tmp_path: Path) -> None:
    for name in ("saelens-standard", "dictionary_learning-AutoEncoder"):
        folder = changed(name, lambda tensors, said: None, tmp_path)
        next(path for path in folder.iterdir() if path.suffix == ".json").write_text(text)
        with pytest.raises(InputError, match=r"\.json beside it (cannot be read as JSON|holds no JSON object)"):
            load_sae(folder)


def test_a_truncated_pickle_is_refused(tmp_path: Path) -> None:
    folder = changed("dictionary_learning-AutoEncoder", lambda tensors, said: None, tmp_path)
    data = (folder / "ae.pt").read_bytes()
    for part in (b"", data[:100], data[: len(data) // 2]):
        (folder / "ae.pt").write_bytes(part)
        with pytest.raises(InputError, match="cannot be read as weights, it is damaged"):
            load_sae(folder)


class Evil:
    """A pickle that would write a file when opened."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("file", ["ae.pt", "sae_final.pt"])
def test_a_foreign_pickle_executes_nothing(file: str, tmp_path: Path) -> None:
    torch.save({"encoder.weight": Evil(tmp_path / "owned")}, tmp_path / file)
    with pytest.raises(InputError, match="cannot be read as weights, it holds more than tensors"):
        load_sae(tmp_path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("found", [{"epoch": 3}, [], {}, {"ae": {"epoch": 3}, "norm_factor": None}])
def test_a_pickle_of_something_else_is_refused(found: object, tmp_path: Path) -> None:
    torch.save(found, tmp_path / "ae.pt")
    with pytest.raises(InputError, match="holds no state dict of tensors"):
        load_sae(tmp_path)
