"""What every format needs of a file: reading it without trusting it, writing it whole.

Nothing in a foreign file is executed, and nothing it says is believed before it is compared with the tensors it holds.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from sae_core.config import Architecture
from sae_core.errors import InputError
from sae_core.sae.architectures import SAE
from sae_core.store import write_atomic

TURNED = frozenset({"W_enc", "decoder.weight"})
"""The matrices that the other packages store the other way round than we do: [d, m]."""


SAME_RULE = {"random": "topk", "pca": "relu_l1"}
"""Controls whose codes follow an architecture's rule: in another format they are that architecture."""


@dataclass(frozen=True)
class Format:
    """A format: which files a folder of it has, which dictionaries it can say, how a file of it is told, read and written.

    Attributes:
        files: its file names, the weights first.
        kinds: the architectures it can hold, None for all.
        matches: whether an existing file is of this format.
    """

    name: str
    files: tuple[str, ...]
    kinds: tuple[str, ...] | None
    matches: Callable[[Path], bool]
    read: Callable[[Path], SAE]
    write: Callable[[SAE, Path], None]

    @property
    def file(self) -> str:
        """The name of the file with the weights."""
        return self.files[0]

    def holds(self, kind: str) -> bool:
        """Whether it can say a dictionary of this architecture, or of one that computes the same."""
        return self.kinds is None or said_as(kind) in self.kinds


def said_as(kind: str) -> str:
    """The kind as which another format says an architecture."""
    return SAME_RULE.get(kind, kind)


# ---------------------------------------------------------------- reading


@dataclass(frozen=True)
class Header:
    """What a safetensors file says before its numbers."""

    names: frozenset[str]
    metadata: Mapping[str, str]


def read_header(file: Path) -> Header | None:
    """Names and metadata of a safetensors file, None when it is damaged."""
    try:
        with safe_open(file, framework="pt") as opened:
            return Header(frozenset(opened.keys()), opened.metadata() or {})
    except (SafetensorError, OSError):
        return None


def read_safetensors(file: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Tensors by name, and metadata. Raises InputError when the file is damaged or its header lies about its size."""
    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping, only keys()
            return tensors, opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"damaged, {str(error).splitlines()[0]}; restore it or train again") from None


def read_pickle(file: Path) -> Any:
    """What a foreign `.pt` holds, read without executing anything in it. Raises InputError when it is more than data."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, for damage and for refused code alike
        why = "it holds more than tensors" if "weights_only" in str(error) or "Unsupported" in str(error) else "it is damaged"
        raise InputError(f"cannot be read as weights, {why}; only plain state dicts are opened") from None


def state_dict(found: Any, file: Path) -> dict[str, Tensor]:
    """`found` as tensors by name. Raises InputError when it is anything else, or a tensor is larger than its file."""
    if not isinstance(found, dict) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"holds no state dict of tensors but {_described(found)}; export plain weights")
    size = file.stat().st_size
    for name, tensor in found.items():
        plain = tensor.layout is torch.strided and tensor.device.type == "cpu"
        # A tensor may repeat a few stored numbers without end; written out it would fill the memory.
        if not plain or tensor.numel() * tensor.element_size() > size:
            raise InputError(f"{name} is no plain tensor, or claims more numbers than the file has; export plain weights")
    return {str(name): tensor.detach() for name, tensor in found.items()}


def read_state_dict(file: Path) -> dict[str, Tensor]:
    """A foreign `.pt` that is nothing but tensors by name. Raises InputError when it is more."""
    return state_dict(read_pickle(file), file)


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object. Raises InputError when there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        why = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read as JSON"
        raise InputError(f"{file.name} beside it {why}; the format needs it, restore it") from None
    if not isinstance(found, dict):
        raise InputError(f"{file.name} beside it holds no JSON object but {_described(found)}; restore it")
    return found


def _described(found: Any) -> str:
    return f"a {type(found).__name__}" if found else f"an empty {type(found).__name__}"


# ---------------------------------------------------------------- believing


def named(state: Mapping[str, Tensor], names: Mapping[str, str], what: str, ignored: Iterable[str] = ()) -> dict[str, Tensor]:
    """The weights under our names, as float32 and our way round.

    Args:
        names: our name -> the file's.
        what: the file's kind, for the message.
        ignored: names that may stand there as well.

    Raises: InputError when one is missing, there is another, a matrix is none, or one holds no real, finite numbers.
    """
    if not set(names.values()) <= set(state) <= {*names.values(), *ignored}:
        raise InputError(f"{what} has {', '.join(names.values())}; this one has {', '.join(sorted(state)) or 'none'}")
    weights = {}
    for ours, theirs in names.items():
        if not state[theirs].is_floating_point():
            raise InputError(f"{theirs} holds {state[theirs].dtype}; weights must be real numbers")
        tensor = state[theirs].float()
        if ours in ("W_enc", "W_dec") and (tensor.ndim != 2 or not tensor.numel()):
            raise InputError(f"{theirs} has shape {list(tensor.shape)}; it must be a matrix of width and latents")
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{theirs} holds NaN or infinite values; the file is damaged or its training diverged")
        weights[ours] = tensor.T.contiguous() if theirs in TURNED else tensor
    return weights


def theirs(weights: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """The inverse of `named`: the weights under the file's names and its way round."""
    return {theirs: (weights[ours].T if theirs in TURNED else weights[ours]).contiguous().cpu() for ours, theirs in names.items()}


def agree(said: Mapping[str, Any], where: str, sizes: Mapping[str, float]) -> None:
    """Compare sizes that a file states with those of its tensors. Raises InputError by name; what it does not say is no lie."""
    for name, size in sizes.items():
        if said.get(name) is not None and said[name] != size:
            raise InputError(f"{where} says {name} = {said[name]!r}, the weights say {size}; they do not belong together")


def architecture(said: Mapping[str, Any]) -> Architecture:
    """The architecture of {"kind": ..., its fields}. Raises InputError on an unknown kind or an impossible value."""
    try:
        return _architectures().validate_json(json.dumps(dict(said)))
    except (ValidationError, TypeError, ValueError) as error:
        first = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InputError(f"architecture {dict(said)!r} is not known: {first}") from None


@cache
def _architectures() -> TypeAdapter[Architecture]:
    return TypeAdapter(Architecture)


def number(said: Mapping[str, Any], name: str) -> float:
    """A number that a file states. Raises InputError when it is none."""
    value = said.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InputError(f"{name} is {value!r}; it must be a number")
    return float(value)


def encoder_of(said: Mapping[str, Any]) -> str | None:
    """The CLIP that a file written by this program names, None in another program's."""
    found = said.get("encoder")
    return found if isinstance(found, str) else None


# ---------------------------------------------------------------- writing


def write_json(content: Mapping[str, Any], file: Path) -> None:
    """Write a JSON object atomically."""
    write_atomic(file, json.dumps(content, indent=2).encode())


def write_safetensors(tensors: Mapping[str, Tensor], file: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors atomically."""
    write_atomic(file, to_safetensors(dict(tensors), dict(metadata or {"format": "pt"})))


def write_pickle(state: Mapping[str, Tensor], file: Path) -> None:
    """Write a state dict atomically, as the packages that keep `.pt` files read it."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomic(file, buffer.getvalue())
