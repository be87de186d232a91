"""The native format and the seed project's: round trips, and files that lie or are damaged, refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sae_core.config import Architecture, ReluL1, TopK
from sae_core.errors import InputError
from sae_core.sae.architectures import SAE
from sae_core.sae.formats import load_sae, save_sae, write_weights
from tests.sae.formats.examples import EVERY, random_sae

Make = Callable[..., SAE]


def rows() -> np.ndarray:
    return (np.random.default_rng(1).normal(size=(30, 6)) * 4 + 3).astype(np.float32)


def altered(file: Path, change: Callable[[dict[str, torch.Tensor], dict[str, object]], None]) -> None:
    """Rewrite a native file after `change(tensors, header)`."""
    with safe_open(file, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
        header = json.loads(opened.metadata()["sae"])
    change(tensors, header)
    save_file(tensors, file, {"sae": json.dumps(header)})


@pytest.mark.parametrize("architecture", [TopK(k=3, aux_k=7), ReluL1(l1=0.5), *EVERY], ids=lambda architecture: architecture.kind)
def test_native_round_trip_is_exact(architecture: Architecture, tmp_path: Path) -> None:
    sae = random_sae(architecture, 6, 20, encoder="ViT-B-32/openai")
    file = sae.save(tmp_path / "new" / "folder")
    for place in (file, file.parent):
        back = load_sae(place)
        assert back.sha256 == sae.sha256
        assert back.architecture == architecture
        assert back.encoder_id == "ViT-B-32/openai"
        np.testing.assert_array_equal(back(rows()), sae(rows()))
    assert json.loads((file.parent / "config.json").read_text())["d"] == 6


def test_a_checkpoint_needs_no_other_file(make_sae: Make, tmp_path: Path) -> None:
    write_weights(make_sae(), tmp_path / "sae_epoch_03.safetensors")
    assert SAE.load(tmp_path / "sae_epoch_03.safetensors").sha256 == make_sae().sha256


def test_the_seed_format_folds_the_scaling(make_sae: Make, tmp_path: Path) -> None:
    sae = make_sae(ReluL1())
    file = sae.save(tmp_path, format="seed")
    state = torch.load(file, weights_only=True)
    x = torch.from_numpy(rows())
    # The seed project's own forward pass: two linear layers with a ReLU between.
    z = torch.relu(x @ state["encoder.weight"].T + state["encoder.bias"])
    plain = z @ state["decoder.weight"].T + state["decoder.bias"]
    assert state["decoder.weight"].shape == (6, 20)
    assert np.abs(plain.numpy() - sae(rows())).max() <= 1e-5 * np.abs(sae(rows())).max()
    back = load_sae(tmp_path)
    assert np.abs(back(rows()) - sae(rows())).max() <= 1e-5 * np.abs(sae(rows())).max()
    np.testing.assert_allclose(back.encode(rows()), sae.encode(rows()), atol=1e-4)


def test_the_seed_format_holds_relu_only(make_sae: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds relu_l1 dictionaries only, this is topk; use native"):
        make_sae().save(tmp_path, format="seed")


def test_an_unknown_format_is_named(make_sae: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown format 'onnx'; there are native, dictionary_learning, saelens, sparsify, seed"):
        save_sae(make_sae(), tmp_path, "onnx")


LIES: dict[str, tuple[Callable[[dict[str, torch.Tensor], dict[str, object]], None], str]] = {
    "encoder too wide": (lambda t, h: t.update(W_enc=torch.zeros(20, 7)), r"W_enc has shape \[20, 7\]"),
    "bias too short": (lambda t, h: t.update(b_enc=torch.zeros(19)), r"b_enc has shape \[19\]"),
    "mean too long": (lambda t, h: t.update(mean=torch.zeros(9)), r"mean has shape \[9\]"),
    "weight missing": (lambda t, h: t.pop("b_dec"), "has the weights W_enc, b_enc, W_dec, b_dec; there is"),
    "weight too many": (lambda t, h: t.update(extra=torch.zeros(2)), "extra"),
    "not finite": (lambda t, h: t.update(W_dec=torch.full((20, 6), torch.inf)), "W_dec holds NaN or infinite"),
    "header counts": (lambda t, h: h.update(m=21), "its header says m = 21, W_dec has 20"),
    "k impossible": (lambda t, h: h.update(architecture={"kind": "topk", "k": 999}), "k = 999 is above the dictionary size, 20"),
    "no such kind": (lambda t, h: h.update(architecture={"kind": "magic"}), "architecture .* is not known"),
    "scale a word": (lambda t, h: h.update(scale="big"), "scale is 'big'"),
    "scale zero": (lambda t, h: h.update(scale=0), "scale is 0.0"),
    "other version": (lambda t, h: h.update(version=99), "format version 99"),
    "foreign": (lambda t, h: h.clear(), "another program's file"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_native_file_that_lies_is_refused_by_name(lie: str, make_sae: Make, tmp_path: Path) -> None:
    change, said = LIES[lie]
    file = tmp_path / "sae_epoch_01.safetensors"
    write_weights(make_sae(), file)
    altered(file, change)
    with pytest.raises(InputError, match=said) as caught:
        load_sae(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: b"", lambda data: b"\xff" * 8 + data[8:]])
def test_a_damaged_file_is_refused(damage: Callable[[bytes], bytes], make_sae: Make, tmp_path: Path) -> None:
    file = make_sae().save(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match="damaged"):
        load_sae(tmp_path)


def test_weights_and_config_of_two_dictionaries_do_not_go_together(make_sae: Make, tmp_path: Path) -> None:
    make_sae().save(tmp_path / "a")
    make_sae(TopK(k=7)).save(tmp_path / "b")
    (tmp_path / "b" / "config.json").replace(tmp_path / "a" / "config.json")
    with pytest.raises(InputError, match="do not belong together"):
        load_sae(tmp_path / "a")


def test_where_there_is_nothing_it_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no dictionary at"):
        load_sae(tmp_path / "missing")
    with pytest.raises(InputError, match=r"looked for sae.safetensors, ae.pt, sae_weights.safetensors, sae_final.pt"):
        load_sae(tmp_path)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"encoder.weight": torch.zeros(4, 3)}, "the seed project's file has encoder.weight, encoder.bias"),
        ({"epoch": 3}, "no state dict of tensors"),
        (
            {
                "encoder.weight": torch.zeros(4, 3),
                "encoder.bias": torch.zeros(4),
                "decoder.weight": torch.zeros(4, 3),
                "decoder.bias": torch.zeros(3),
            },
            r"W_enc has shape \[4, 3\]; with W_dec \[3, 4\]",
        ),
        (
            {
                "encoder.weight": torch.zeros(4, 3),
                "encoder.bias": torch.zeros(4),
                "decoder.weight": torch.zeros(12),
                "decoder.bias": torch.zeros(3),
            },
            "decoder.weight has shape",
        ),
    ],
)
def test_a_seed_file_that_lies_is_refused_by_name(state: dict[str, object], said: str, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "sae_final.pt")
    with pytest.raises(InputError, match=said):
        load_sae(tmp_path)
