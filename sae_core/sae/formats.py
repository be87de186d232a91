"""Dictionaries on disk: the native format, the seed project's file, and the registry in which further ones stand.

A foreign format knows nothing of input scaling, so it is folded into the weights on writing and a reader gets the same
reconstruction of raw embeddings. Every reader derives d and m from the matrices and refuses, by name, what does not fit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from sae_core.config import Architecture, ReluL1
from sae_core.errors import InputError
from sae_core.sae.architectures import SAE
from sae_core.store import write_atomic

WEIGHTS, CONFIG, SEED = "sae.safetensors", "config.json", "sae_final.pt"
NATIVE_VERSION = 1


@dataclass(frozen=True)
class Format:
    """A format: which file of a folder holds its weights, how a path of it is told, how it is read and written."""

    name: str
    file: str
    matches: Callable[[Path], bool]
    read: Callable[[Path], SAE]
    write: Callable[[SAE, Path], None]


def load_sae(path: str | Path) -> SAE:
    """Read a dictionary.

    Args:
        path: a train artifact, a folder or a file of any format in `FORMATS`.

    Raises: InputError when there is none, it is of no known format, or it is damaged or lies about its shapes; the line names
        the file and the parameter.
    """
    given = Path(path)
    if not given.exists():
        raise InputError(f"no dictionary at {given}; give a train artifact, a folder with {WEIGHTS}, or a {SEED}")
    for form in FORMATS.values():
        file = given / form.file if given.is_dir() else given
        if file.is_file() and form.matches(file):
            try:
                return form.read(file)
            except InputError as error:
                raise InputError(f"{file}: {error}") from None
    raise InputError(f"{given} holds no dictionary of a known format ({', '.join(FORMATS)}); looked for {_looked_for(given)}")


def save_sae(sae: SAE, folder: str | Path, format: str = "native") -> Path:
    """Write a dictionary into a folder; the path of its weights. Raises InputError for an unknown or unfit format."""
    if format not in FORMATS:
        raise InputError(f"unknown format {format!r}; there are {', '.join(FORMATS)}")
    form, out = FORMATS[format], Path(folder)
    try:
        out.mkdir(parents=True, exist_ok=True)
        form.write(sae, out / form.file)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror}; choose another folder") from None
    return out / form.file


def _looked_for(path: Path) -> str:
    return " and ".join(form.file for form in FORMATS.values()) if path.is_dir() else "weights by the file's content"


# ---------------------------------------------------------------- native


def write_weights(sae: SAE, file: Path) -> None:
    """Write `file` alone: safetensors whose header holds the architecture, so that a checkpoint needs nothing beside it."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in {**sae.weights, "mean": sae.mean}.items()}
    write_atomic(file, to_safetensors(tensors, {"sae": json.dumps(describe(sae))}))


def describe(sae: SAE) -> dict[str, Any]:
    """What stands in the header and in `config.json`: everything but the weights."""
    return {
        "format": "sketch-sae-lab",
        "version": NATIVE_VERSION,
        "architecture": sae.architecture.model_dump(mode="json"),
        "d": sae.d,
        "m": sae.m,
        "scale": sae.scale,
        "encoder": sae.encoder_id,
    }


def _is_safetensors(file: Path) -> bool:
    return file.suffix == ".safetensors"


def _write_native(sae: SAE, file: Path) -> None:
    write_weights(sae, file)
    write_atomic(file.with_name(CONFIG), json.dumps(describe(sae), indent=2).encode())


def _read_native(file: Path) -> SAE:
    try:
        with safe_open(file, framework="pt") as opened:
            header = json.loads((opened.metadata() or {}).get("sae", "null"))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping, only keys()
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(f"damaged, {str(error).splitlines()[0]}; restore it or train again") from None
    about = _about(header)
    config = file.with_name(CONFIG)
    if file.name == WEIGHTS and config.is_file():
        _agree(header, config)
    mean = tensors.pop("mean", None)
    sae = SAE(about, tensors, mean, _number(header, "scale"), header.get("encoder"))
    for name, value in (("d", sae.d), ("m", sae.m)):
        if header.get(name) != value:
            raise InputError(f"its header says {name} = {header.get(name)}, W_dec has {value}; it was altered, restore it")
    return sae


def _about(header: Any) -> Architecture:
    if not isinstance(header, dict) or header.get("format") != "sketch-sae-lab":
        raise InputError("safetensors without this program's header; it is another program's file")
    if header.get("version") != NATIVE_VERSION:
        raise InputError(f"format version {header.get('version')!r} is not {NATIVE_VERSION}; use the program that wrote it")
    try:
        found: Architecture = TypeAdapter(Architecture).validate_json(json.dumps(header.get("architecture")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"architecture {header.get('architecture')!r} is not known: {first['msg']}") from None
    return found


def _agree(header: Mapping[str, Any], config: Path) -> None:
    try:
        beside = json.loads(config.read_text(encoding="utf-8"))
        said = {name: beside[name] for name in ("architecture", "d", "m")}
    except (ValueError, KeyError, TypeError, OSError):
        raise InputError(f"{CONFIG} beside it cannot be read as this program wrote it; restore it") from None
    for name, value in said.items():
        if value != header.get(name):
            raise InputError(f"{CONFIG} says {name} = {value}, the weights say {header.get(name)}; they do not belong together")


def _number(header: Mapping[str, Any], name: str) -> float:
    value = header.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InputError(f"{name} is {value!r}; it must be a number")
    return float(value)


# ---------------------------------------------------------------- the seed project


def folded(sae: SAE) -> dict[str, Tensor]:
    """The weights of the same map on raw embeddings without input scaling: x̂ = rule(x W_encᵀ + b_enc) W_dec + b_dec."""
    encoder = sae.weights["W_enc"].double() * sae.scale
    bias = sae.weights["b_enc"].double() - encoder @ sae.mean.double()
    kind = sae.decoder.dtype
    return {"W_enc": encoder.to(kind), "b_enc": bias.to(kind), "W_dec": sae.decoder_raw, "b_dec": sae.bias_raw}


SEED_KEYS = ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")


def _is_pickle(file: Path) -> bool:
    return file.suffix in (".pt", ".pth")


def read_state_dict(file: Path) -> dict[str, Tensor]:
    """A foreign `.pt` read without executing anything in it. Raises InputError when it is more than tensors."""
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, for damage and for refused code alike
        why = "it holds more than tensors" if "weights_only" in str(error) or "Unsupported" in str(error) else "it is damaged"
        raise InputError(f"cannot be read as weights, {why}; only plain state dicts are opened") from None
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"holds no state dict of tensors but {type(found).__name__}; export plain weights")
    return found


def _read_seed(file: Path) -> SAE:
    state = read_state_dict(file)
    if set(state) != set(SEED_KEYS):
        raise InputError(
            f"the seed project's file has {', '.join(SEED_KEYS)}; this one has {', '.join(map(str, state)) or 'none'}"
        )
    by_name = {key: state[key].float() for key in SEED_KEYS}
    if by_name["decoder.weight"].ndim != 2:
        raise InputError(f"decoder.weight has shape {list(by_name['decoder.weight'].shape)}; it must be [width, latents]")
    weights = {
        "W_enc": by_name["encoder.weight"],
        "b_enc": by_name["encoder.bias"],
        "W_dec": by_name["decoder.weight"].T.contiguous(),
        "b_dec": by_name["decoder.bias"],
    }
    return SAE(ReluL1(), weights)


def _write_seed(sae: SAE, file: Path) -> None:
    if not isinstance(sae.architecture, ReluL1):
        raise InputError(f"the seed project's file holds ReLU dictionaries only, this is {sae.architecture.kind}; use native")
    weights = folded(sae)
    state = {
        "encoder.weight": weights["W_enc"].cpu(),
        "encoder.bias": weights["b_enc"].cpu(),
        "decoder.weight": weights["W_dec"].T.contiguous().cpu(),
        "decoder.bias": weights["b_dec"].cpu(),
    }
    torch.save(state, file)


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Format("native", WEIGHTS, _is_safetensors, _read_native, _write_native),
        Format("seed", SEED, _is_pickle, _read_seed, _write_seed),
    )
}
"""Every format by name, in the order in which a folder is tried."""
