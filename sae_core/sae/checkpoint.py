"""The state of an unfinished training: written atomically, two kept in turn, sound or refused.

A state is one safetensors file, `state-<step>-<hash>.safetensors`, whose name holds the SHA-256 of its bytes, so that a file
that a crash or a disk has damaged is known by itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from sae_core.errors import InputError
from sae_core.store import write_atomic

KEPT = 2
_NAME = re.compile(r"^state-(\d{9})-([0-9a-f]{16})\.safetensors$")


@dataclass(frozen=True)
class State:
    """Tensors by name, and facts that are plain JSON; `step` steps are done."""

    step: int
    facts: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def save(folder: Path, state: State) -> None:
    """Write a state and remove all but the latest two."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    data = to_safetensors(tensors, {"facts": json.dumps({**state.facts, "step": state.step})})
    write_atomic(folder / f"state-{state.step:09d}-{hashlib.sha256(data).hexdigest()[:16]}.safetensors", data)
    for old in _files(folder)[KEPT:]:
        old.unlink()


def load(folder: Path, warn: Callable[[str], None]) -> State | None:
    """The latest sound state, None when there is none.

    Args:
        folder: may be missing.
        warn: told of a damaged state that an older one stands in for.

    Raises: InputError when there are states and none is sound.
    """
    damaged: list[Path] = []
    for file in _files(folder):
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest()[:16] != file.stem[-16:]:
            damaged.append(file)
            continue
        for bad in damaged:
            warn(f"checkpoint {bad.name} is damaged; going on from the one before it, {file.name}")
        return _read(data)
    if damaged:
        names = " and ".join(file.name for file in damaged)
        raise InputError(f"checkpoint {names} in {folder} is damaged and no older one is sound; delete {folder} to train anew")
    return None


def _read(data: bytes) -> State:
    # safetensors: eight bytes of header length, the header as JSON, the tensors.
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    facts = json.loads(header["__metadata__"]["facts"])
    return State(facts["step"], facts, from_safetensors(data))


def _files(folder: Path) -> list[Path]:
    """States, the latest first."""
    return (
        sorted((file for file in folder.glob("state-*.safetensors") if _NAME.match(file.name)), reverse=True)
        if folder.is_dir()
        else []
    )
