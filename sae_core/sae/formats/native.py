"""The native format: one safetensors file whose header says what it is, and the same as JSON beside it for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sae_core.config import Architecture
from sae_core.errors import InputError
from sae_core.sae.architectures import SAE
from sae_core.sae.formats.files import (
    Format,
    architecture,
    encoder_of,
    number,
    read_header,
    read_safetensors,
    write_json,
    write_safetensors,
)

WEIGHTS, CONFIG = "sae.safetensors", "config.json"
NATIVE_VERSION = 1


def write_weights(sae: SAE, file: Path) -> None:
    """Write `file` alone: safetensors whose header holds the architecture, so that a checkpoint needs nothing beside it."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in {**sae.weights, "mean": sae.mean}.items()}
    write_safetensors(tensors, file, {"sae": json.dumps(describe(sae))})


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


def _matches(file: Path) -> bool:
    if file.suffix != ".safetensors":
        return False
    header = read_header(file)
    return header is None or "sae" in header.metadata  # a damaged one is named as such by reading it


def _write(sae: SAE, file: Path) -> None:
    write_weights(sae, file)
    write_json(describe(sae), file.with_name(CONFIG))


def _read(file: Path) -> SAE:
    tensors, metadata = read_safetensors(file)
    try:
        header = json.loads(metadata.get("sae", "null"))
    except (ValueError, RecursionError):
        raise InputError("damaged, its header is no JSON; restore it or train again") from None
    about = _about(header)
    config = file.with_name(CONFIG)
    if file.name == WEIGHTS and config.is_file():
        _agree(header, config)
    mean = tensors.pop("mean", None)
    sae = SAE(about, tensors, mean, number(header, "scale"), encoder_of(header))
    for name, value in (("d", sae.d), ("m", sae.m)):
        if header.get(name) != value:
            raise InputError(f"its header says {name} = {header.get(name)}, W_dec has {value}; it was altered, restore it")
    return sae


def _about(header: Any) -> Architecture:
    if not isinstance(header, dict) or header.get("format") != "sketch-sae-lab":
        raise InputError("safetensors without this program's header; it is another program's file")
    if header.get("version") != NATIVE_VERSION:
        raise InputError(f"format version {header.get('version')!r} is not {NATIVE_VERSION}; use the program that wrote it")
    said = header.get("architecture")
    if not isinstance(said, dict):
        raise InputError(f"architecture {said!r} is not known: it must be an object with a kind")
    return architecture(said)


def _agree(header: Mapping[str, Any], config: Path) -> None:
    try:
        beside = json.loads(config.read_text(encoding="utf-8"))
        said = {name: beside[name] for name in ("architecture", "d", "m")}
    except (ValueError, RecursionError, KeyError, TypeError, OSError):
        raise InputError(f"{CONFIG} beside it cannot be read as this program wrote it; restore it") from None
    for name, value in said.items():
        if value != header.get(name):
            raise InputError(f"{CONFIG} says {name} = {value}, the weights say {header.get(name)}; they do not belong together")


NATIVE = Format("native", (WEIGHTS, CONFIG), None, _matches, _read, _write)
