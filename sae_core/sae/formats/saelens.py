"""SAELens' `sae_weights.safetensors` and `cfg.json`: standard, gated, jumprelu and topk; of version 6, and read of 5 as well.

SAELens trains BatchTopK and Matryoshka but keeps them as jumprelu with one threshold for all, noting what they were trained as
in the metadata. So do we, and read them back from it.

Source: `saes/sae.py`, the architectures beside it and `loading/pretrained_sae_loaders.py` of sae-lens 6.54.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae_core.config import BatchTopK, Matryoshka
from sae_core.errors import InputError
from sae_core.sae.architectures import SAE
from sae_core.sae.formats.dictionary_learning import shares
from sae_core.sae.formats.files import (
    Format,
    agree,
    architecture,
    encoder_of,
    named,
    number,
    read_header,
    read_json,
    read_safetensors,
    said_as,
    theirs,
    write_json,
    write_safetensors,
)
from sae_core.sae.formats.fold import folded, unfolded

WEIGHTS, CFG, SCALER = "sae_weights.safetensors", "cfg.json", "activation_scaler.json"
_SHARED = {"W_enc": "W_enc", "W_dec": "W_dec", "b_dec": "b_dec"}
_PLAIN = {**_SHARED, "b_enc": "b_enc"}
NAMES = {
    "standard": _PLAIN,
    "topk": _PLAIN,
    "jumprelu": {**_PLAIN, "threshold": "threshold"},
    "gated": {**_SHARED, "b_gate": "b_gate", "b_mag": "b_mag", "r_mag": "r_mag"},
}
KINDS = {"standard": "relu_l1", "topk": "topk", "jumprelu": "jumprelu", "gated": "gated"}
WRITTEN = {**{kind: name for name, kind in KINDS.items()}, "batch_topk": "jumprelu", "matryoshka": "jumprelu"}
TRAINED_AS = {"batchtopk": "batch_topk", "matryoshka_batchtopk": "matryoshka"}


def _matches(file: Path) -> bool:
    if file.name == WEIGHTS:
        return True
    header = read_header(file) if file.suffix == ".safetensors" else None
    return header is not None and "W_enc" in header.names


# ---------------------------------------------------------------- reading


def _read(file: Path) -> SAE:
    cfg = _as_version_6(read_json(file.with_name(CFG)))
    name = cfg.get("architecture")
    if not isinstance(name, str) or name not in NAMES:
        hint = "; save it there with save_inference_model()" if name in [*TRAINED_AS] else ""
        raise InputError(f"{CFG} says architecture = {name!r}; only {', '.join(NAMES)} can be imported{hint}")
    if cfg.get("reshape_activations", "none") != "none":
        raise InputError(
            f"{CFG} says reshape_activations = {cfg['reshape_activations']!r}; it reads attention heads, not embeddings"
        )
    scale = _input_scale(cfg, file)
    tensors, _ = read_safetensors(file)
    _no_finetuning(tensors)
    weights = named(tensors, NAMES[name], f"SAELens' {name}")
    m, d = weights["W_dec"].shape
    agree(cfg, CFG, {"d_in": d, "d_sae": m})
    if "threshold" in weights:
        weights["threshold"] = weights["threshold"].clamp_min(0)  # a negative one passes what ReLU passes, as 0 does
    fields: dict[str, Any] = {"kind": KINDS[name]}
    if name == "topk":
        fields["k"] = cfg.get("k")
    if name == "jumprelu" and (trained := _trained_as(_metadata(cfg), weights["threshold"], m)):
        fields, weights["threshold"] = trained, weights["threshold"][0]
    centred = bool(cfg.get("apply_b_dec_to_input", True))
    sae = unfolded(architecture(fields), weights, centred, scale, encoder_of(_metadata(cfg)))
    return _rescaled(sae) if name == "topk" and cfg.get("rescale_acts_by_decoder_norm") else sae


def _as_version_6(cfg: dict[str, Any]) -> dict[str, Any]:
    """What SAELens itself makes of a configuration older than its version 6."""
    version = re.match(r"\d+", str(cfg.get("sae_lens_version") or _metadata(cfg).get("sae_lens_version") or ""))
    if version and int(version.group()) >= 6:
        return cfg
    function = cfg.get("activation_fn", cfg.get("activation_fn_str", "relu"))
    if function not in ("relu", "topk"):
        raise InputError(f"{CFG} says activation_fn = {function!r}; only relu and topk can be imported")
    arguments = cfg.get("activation_fn_kwargs")
    k = arguments.get("k") if isinstance(arguments, dict) else None
    norm = cfg.get("normalize_activations") or "none"
    hook = str(cfg.get("hook_name") or cfg.get("hook_point") or "")
    return {
        "architecture": "standard",
        "reshape_activations": "hook_z" if "hook_z" in hook else "none",
        **cfg,
        **({"architecture": "topk", "k": k} if function == "topk" else {}),
        "normalize_activations": "expected_average_only_in" if norm is True else norm,
    }


def _metadata(cfg: Mapping[str, Any]) -> Mapping[str, Any]:
    found = cfg.get("metadata")
    return found if isinstance(found, dict) else {}


def _input_scale(cfg: Mapping[str, Any], file: Path) -> float:
    """By what the weights want raw embeddings multiplied: 1, or what a training checkpoint keeps beside them."""
    norm = cfg.get("normalize_activations") or "none"
    if norm == "none":
        return 1.0
    if norm == "expected_average_only_in" and file.with_name(SCALER).is_file():
        return number(read_json(file.with_name(SCALER)), "scaling_factor")
    if norm in ("expected_average_only_in", "covariance_whitening"):
        raise InputError(
            f"{CFG} says normalize_activations = {norm}, whose factor is not in the file; fold it in SAELens and save again"
        )
    raise InputError(f"{CFG} says normalize_activations = {norm!r}, a factor for each row; no dictionary here computes that")


def _no_finetuning(tensors: dict[str, Tensor]) -> None:
    # Old files carry a factor for each code; it is 1 unless it was tuned afterwards.
    factor = tensors.pop("scaling_factor", torch.ones(1))
    if not bool((factor == 1).all()):
        raise InputError("scaling_factor is not 1: its codes were tuned afterwards; multiply W_dec by it and leave it out")


def _rescaled(sae: SAE) -> SAE:
    """Codes times the length of their decoder row, which is what its topk compares, and rows of length 1."""
    weights = {name: tensor.double() for name, tensor in sae.weights.items()}
    lengths = weights["W_dec"].norm(dim=1, keepdim=True)
    weights["W_enc"] *= lengths
    weights["b_enc"] *= lengths.squeeze(1)
    weights["W_dec"] /= torch.where(lengths > 0, lengths, 1.0)
    floats = {name: tensor.float() for name, tensor in weights.items()}
    return SAE(sae.architecture, floats, sae.mean, sae.scale, sae.encoder_id)


def _trained_as(metadata: Mapping[str, Any], threshold: Tensor, m: int) -> dict[str, Any] | None:
    """The BatchTopK or Matryoshka that a jumprelu was trained as, None where it is one of its own.

    It still is one while all latents share a threshold, and is one here only when k is whole.
    """
    kind, details = metadata.get("training_architecture"), metadata.get("training_architecture_details")
    k = details.get("k") if isinstance(details, dict) else None
    whole = isinstance(k, int) or (isinstance(k, float) and k.is_integer())
    shared = threshold.shape == (m,) and bool((threshold == threshold[0]).all())
    if not isinstance(kind, str) or kind not in TRAINED_AS or not whole or not shared:
        return None
    fields: dict[str, Any] = {"kind": TRAINED_AS[kind], "k": int(k or 0)}
    if kind == "matryoshka_batchtopk":
        ends = (details or {}).get("matryoshka_widths")
        if not isinstance(ends, list) or not ends or not all(isinstance(end, int) for end in ends):
            raise InputError(f"{CFG} says matryoshka_widths = {ends!r}; a matryoshka dictionary has a list of whole numbers")
        ends = ends if ends[-1] == m else [*ends, m]  # as SAELens does
        fields["groups"] = shares([high - low for low, high in pairwise([0, *ends])], m, "matryoshka_widths")
    return fields


# ---------------------------------------------------------------- writing


def _write(sae: SAE, file: Path) -> None:
    kind = sae.architecture
    name = WRITTEN[said_as(kind.kind)]
    # Centred, because it is the better conditioned one: the large mean of the embeddings is subtracted before it is multiplied.
    weights = folded(sae, centred=True)
    cfg: dict[str, Any] = {
        "architecture": name,
        "d_in": sae.d,
        "d_sae": sae.m,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
    }
    metadata: dict[str, Any] = {"sae_lens_version": "6.0.0", "model_name": sae.encoder_id, "encoder": sae.encoder_id}
    if name == "topk":
        cfg |= {"k": sae.k, "rescale_acts_by_decoder_norm": False}
    if isinstance(kind, (BatchTopK, Matryoshka)):
        weights["threshold"] = weights["threshold"].expand(sae.m)
        details: dict[str, Any] = {"k": kind.k}
        if isinstance(kind, Matryoshka):
            sizes = kind.sizes(sae.m)
            details["matryoshka_widths"] = [sum(sizes[: place + 1]) for place in range(len(sizes))]
        trained = next(theirs for theirs, ours in TRAINED_AS.items() if ours == kind.kind)
        metadata |= {"training_architecture": trained, "training_architecture_details": details}
    write_safetensors(theirs(weights, NAMES[name]), file)
    write_json({**cfg, "metadata": metadata}, file.with_name(CFG))


SAELENS = Format("saelens", (WEIGHTS, CFG), tuple(WRITTEN), _matches, _read, _write)
