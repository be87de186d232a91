"""dictionary_learning's `ae.pt`, a state dict, and `config.json`, which says the class: one for every architecture here.

An interrupted run leaves {step, ae, optimizer, config, norm_factor} in the same file. Its weights are those of activations
divided by norm_factor; they are read as the finished run would have written them, with every bias and threshold multiplied by it.

Source: `dictionary.py`, `trainers/` and `training.py` of dictionary_learning 0.1.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae_core.config import Architecture, Matryoshka
from sae_core.errors import InputError
from sae_core.sae.architectures import SAE
from sae_core.sae.formats.files import (
    Format,
    agree,
    architecture,
    encoder_of,
    named,
    number,
    read_json,
    read_pickle,
    said_as,
    state_dict,
    theirs,
    write_json,
    write_pickle,
)
from sae_core.sae.formats.fold import folded, unfolded

WEIGHTS, CONFIG = "ae.pt", "config.json"


@dataclass(frozen=True)
class Kind:
    """One of the package's classes: what it computes and how its state dict names it."""

    kind: str
    centred: bool
    names: Mapping[str, str]
    buffers: tuple[str, ...] = ()

    def fits(self, found: Set[str]) -> bool:
        """Whether a state dict with these names can be of this class; k and threshold came to it later than the others."""
        needed = {*self.names.values()} | ({*self.buffers} & {"group_sizes"})
        return needed <= found <= {*self.names.values(), *self.buffers}


_LAYERS = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "decoder.weight"}
_MATRICES = {"W_enc": "W_enc", "b_enc": "b_enc", "W_dec": "W_dec", "b_dec": "b_dec", "threshold": "threshold"}
_GATED = {"b_gate": "gate_bias", "b_mag": "mag_bias", "r_mag": "r_mag"}
CLASSES = {
    "AutoEncoder": Kind("relu_l1", True, {**_LAYERS, "b_dec": "bias"}),
    "AutoEncoderNew": Kind("relu_l1", False, {**_LAYERS, "b_dec": "decoder.bias"}),
    "GatedAutoEncoder": Kind(
        "gated", True, {"W_enc": "encoder.weight", "W_dec": "decoder.weight", **_GATED, "b_dec": "decoder_bias"}
    ),
    "JumpReluAutoEncoder": Kind("jumprelu", False, _MATRICES),
    # Its threshold is for another way to use it than its own forward pass, which keeps the k largest.
    "AutoEncoderTopK": Kind("topk", True, {**_LAYERS, "b_dec": "b_dec"}, ("k", "threshold")),
    "BatchTopKSAE": Kind("batch_topk", True, {**_LAYERS, "b_dec": "b_dec", "threshold": "threshold"}, ("k",)),
    "MatryoshkaBatchTopKSAE": Kind("matryoshka", True, _MATRICES, ("k", "group_sizes")),
}
WRITTEN = {kind.kind: name for name, kind in CLASSES.items() if name != "AutoEncoderNew"}
"""The class that an architecture is written as. ReLU goes to AutoEncoder, which other packages' readers know too."""


def _matches(file: Path) -> bool:
    return file.suffix in (".pt", ".pth")


# ---------------------------------------------------------------- reading


def _read(file: Path) -> SAE:
    found, trainer, factor = read_pickle(file), _trainer(file), 1.0
    if isinstance(found, dict) and "ae" in found and not isinstance(found["ae"], Tensor):
        if isinstance(found.get("config"), dict):
            trainer = {**trainer, **found["config"]}
        if found.get("norm_factor") is not None:
            factor = number(found, "norm_factor")
        found = found["ae"]
    if not 0 < factor < float("inf"):
        raise InputError(f"norm_factor is {factor}; it must be positive and finite")
    state = state_dict(found, file)
    name = _class(trainer, state)
    kind = CLASSES[name]
    weights = named(state, kind.names, f"dictionary_learning's {name}", kind.buffers)
    if "threshold" in weights:
        weights["threshold"] = _threshold(weights["threshold"], name)
    weights = {ours: value if ours.startswith(("W", "r")) else value * factor for ours, value in weights.items()}
    m, d = weights["W_dec"].shape
    agree(trainer, CONFIG, {"activation_dim": d, "dict_size": m})
    return unfolded(_architecture(kind, trainer, state, m), weights, kind.centred, encoder=encoder_of(trainer))


def _trainer(file: Path) -> dict[str, Any]:
    # A run's checkpoints stand one folder below its configuration.
    folder = file.parent.parent if file.parent.name == "checkpoints" else file.parent
    found = read_json(folder / CONFIG).get("trainer") if (folder / CONFIG).is_file() else None
    return found if isinstance(found, dict) else {}


def _class(trainer: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    said = trainer.get("dict_class")
    if said is not None:
        if not isinstance(said, str) or said not in CLASSES:
            raise InputError(f"{CONFIG} says dict_class = {said!r}; there are {', '.join(CLASSES)}")
        return said
    fitting = [name for name, kind in CLASSES.items() if kind.fits(state.keys())]
    if not fitting:
        raise InputError(f"no class of dictionary_learning has {', '.join(sorted(state))}; there are {', '.join(CLASSES)}")
    if len(fitting) > 1:
        raise InputError(f"it may be {' or '.join(fitting)}; put its {CONFIG} beside it, which says dict_class")
    return fitting[0]


def _threshold(threshold: Tensor, name: str) -> Tensor:
    if threshold.ndim == 0 and float(threshold) < 0:
        raise InputError(
            f"threshold is {float(threshold):g}, not set: {name} learns it after threshold_start_step; train further there"
        )
    return threshold.clamp_min(0)  # a negative one passes what ReLU passes, as 0 does


def _architecture(kind: Kind, trainer: Mapping[str, Any], state: Mapping[str, Tensor], m: int) -> Architecture:
    fields: dict[str, Any] = {"kind": kind.kind}
    if "k" in kind.buffers:
        fields["k"] = _whole(state["k"], "k") if "k" in state else trainer.get("k")
        agree(trainer, CONFIG, {"k": fields["k"]})
    if "group_sizes" in kind.buffers:
        sizes = state.get("group_sizes", torch.zeros(0))
        if not sizes.numel() or sizes.is_floating_point():
            raise InputError("group_sizes is missing or no whole numbers; a MatryoshkaBatchTopKSAE has them")
        fields["groups"] = shares(sizes.flatten().tolist(), m, "group_sizes")
    return architecture(fields)


def shares(sizes: list[int], m: int, name: str) -> list[float]:
    """Sizes of groups as shares of m. Raises InputError when they do not sum to m, or one is empty."""
    if sum(sizes) != m or min(sizes) < 1:
        raise InputError(f"{name} are {sizes}; they must be positive and sum to the dictionary size, {m}")
    return [size / m for size in sizes]


def _whole(tensor: Tensor, name: str) -> int:
    if tensor.numel() != 1 or tensor.is_floating_point():
        raise InputError(f"{name} is {tensor.dtype} of shape {list(tensor.shape)}; it must be one whole number")
    return int(tensor.item())


# ---------------------------------------------------------------- writing


def _write(sae: SAE, file: Path) -> None:
    name = WRITTEN[said_as(sae.architecture.kind)]
    kind = CLASSES[name]
    weights = folded(sae, kind.centred)
    if name == "AutoEncoder":
        weights = unit_rows(weights)
    state = theirs(weights, kind.names)
    trainer: dict[str, Any] = {"dict_class": name, "activation_dim": sae.d, "dict_size": sae.m}
    if "k" in kind.buffers:
        trainer["k"] = getattr(sae.architecture, "k", None)
        state["k"] = torch.tensor(trainer["k"], dtype=torch.int32)
    if "threshold" in kind.buffers:
        state["threshold"] = torch.tensor(-1.0)
    if isinstance(sae.architecture, Matryoshka):
        trainer["group_sizes"] = list(sae.architecture.sizes(sae.m))
        state["group_sizes"] = torch.tensor(trainer["group_sizes"])
    write_pickle(state, file)
    # Its own loader needs dict_class and k; SAELens' loader of it reads layer, lm_name and ctx_len as well.
    trainer |= {
        "layer": 0,
        "lm_name": sae.encoder_id or "unknown",
        "submodule_name": "image embedding",
        "encoder": sae.encoder_id,
    }
    write_json({"trainer": trainer, "buffer": {"ctx_len": 1, "d_submodule": sae.d}}, file.with_name(CONFIG))


def unit_rows(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same ReLU map with decoder rows of length 1: codes are multiplied by the length that a row loses.

    The package's AutoEncoder does it on loading and stops where rounding then shows; here it is done in float64.
    """
    out = dict(weights)
    lengths = weights["W_dec"].double().norm(dim=1, keepdim=True)
    first = torch.zeros_like(weights["W_dec"], dtype=torch.float64)
    first[:, 0] = 1
    # A row of length 0 says nothing of its latent: any direction will do, as the latent then never fires.
    out["W_dec"] = torch.where(lengths > 0, weights["W_dec"].double() / lengths, first).float()
    out["W_enc"] = (weights["W_enc"].double() * lengths).float()
    out["b_enc"] = (weights["b_enc"].double() * lengths.squeeze(1)).float()
    return out


DICTIONARY_LEARNING = Format("dictionary_learning", (WEIGHTS, CONFIG), tuple(WRITTEN), _matches, _read, _write)
