"""A decoder that others trained: whose embeddings it draws, what it weighs, whether it is here; fetched only when told to."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch

from sae_core.clip.encoder import resolve_device
from sae_core.errors import DamagedArtifact, InputError, Unavailable
from sae_core.steer.decoders.decoder import DrawingPrecision
from sae_core.steer.decoders.loaded import LoadedDecoder, Paint, Place, out_of_memory

PACKAGES = ("diffusers", "transformers", "accelerate")
INSTEAD = "without a decoder steering shows label curves and the nearest images"
NETWORK_SECONDS = 5.0
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Component:
    """One model of a pipeline: its weights file, its parameters, bytes a parameter in the file.

    `passing` marks one that is needed while loading and let go afterwards.
    """

    file: str
    parameters: int
    stored: int = 4
    passing: bool = False


@dataclass(frozen=True)
class Repository:
    """What is taken from one Hub repository: weights in safetensors, and the small files (configs, a tokenizer) beside them."""

    name: str
    components: tuple[Component, ...]
    small: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that is needed, and no other: above all no pickle."""
        return (*self.small, *(component.file for component in self.components))

    def folder(self) -> Path | None:
        """The folder in the Hub's cache, or None unless every file is in it."""
        from huggingface_hub import try_to_load_from_cache

        found = [try_to_load_from_cache(self.name, name) for name in self.files]
        if not all(isinstance(path, str) for path in found):
            return None
        return Path(str(found[0])).parents[self.files[0].count("/")]


class DecoderNeeds(TypedDict):
    """What a decoder needs, said before anything is fetched; sizes in words."""

    what: str
    source: str
    size: str
    memory: str
    memory_offloaded: str
    present: bool


Opener = Callable[[Sequence[Path], Place], tuple[Any, Paint]]


@dataclass(frozen=True)
class PretrainedDecoder:
    """A decoder on the Hub. See `Described` for id, encoders, dim, steps, guidance.

    Attributes:
        title: its name for a reader.
        repositories: what is taken from where.
        opener: builds the pipeline from the repositories' folders, and says how it is called.
        licence: of its weights.
    """

    id: str
    title: str
    encoders: tuple[str, ...]
    dim: int
    steps: int
    guidance: float
    repositories: tuple[Repository, ...]
    opener: Opener
    licence: str = "as its page on the Hub says"

    @property
    def disk_bytes(self) -> int:
        """Bytes of its weights as they are stored, which is what a fetch downloads (and some small files)."""
        return sum(c.parameters * c.stored for repository in self.repositories for c in repository.components)

    def memory_bytes(self, dtype: torch.dtype = torch.float16, offload: bool = False) -> int:
        """Bytes of weights on the device at the fullest moment: all parts that stay, or with `offload` the largest alone.

        What the picture itself takes while it is drawn comes on top.
        """
        components = [c for repository in self.repositories for c in repository.components]
        passing = max((c.parameters for c in components if c.passing), default=0)
        staying = [c.parameters for c in components if not c.passing]
        return max(passing, max(staying) if offload else sum(staying)) * dtype.itemsize

    def present(self) -> bool:
        """Whether all of it lies on this machine."""
        return all(repository.folder() is not None for repository in self.repositories)

    def needs(self) -> DecoderNeeds:
        """What it would fetch and hold, in words; downloads nothing, loads nothing."""
        half, full = torch.float16, torch.float32
        return {
            "what": self.title,
            "source": f"Hugging Face Hub, {' and '.join(repository.name for repository in self.repositories)}",
            "size": _gigabytes(self.disk_bytes),
            "memory": f"{_gigabytes(self.memory_bytes(half))} in fp16 on a GPU, {_gigabytes(self.memory_bytes(full))} in fp32",
            "memory_offloaded": f"{_gigabytes(self.memory_bytes(half, offload=True))} in fp16 on a GPU",
            "present": self.present(),
        }

    def load(
        self, device: str = "auto", offload: bool = False, precision: DrawingPrecision = "auto", fetch: bool = False
    ) -> LoadedDecoder:
        """Load it.

        Args:
            device: auto, cpu, cuda, cuda:1, mps.
            offload: keep its parts in main memory and move each to the device while it works (slower, far less memory).
            precision: auto is fp16 on a GPU and fp32 on the CPU.
            fetch: whether it may be downloaded; the size is in `needs`.

        Raises:
            Unavailable: the packages or the weights are not here and may not, or cannot, be fetched.
            DamagedArtifact: the files are here but cannot be read.
            InputError: no such device or precision.
        """
        place = _place(device, precision, offload)
        require_packages(self.title)
        folders = [self._folder(repository, fetch) for repository in self.repositories]
        try:
            pipe, paint = self.opener(folders, place)
        except Exception as error:  # for files that they cannot use, diffusers and transformers raise a dozen classes
            if out_of_memory(error):
                raise
            raise DamagedArtifact(
                f"{self.title} cannot be read from {folders[0]}: {_short(error)}; remove that folder and fetch again"
            ) from error
        return LoadedDecoder(self, pipe, paint, place)

    def _folder(self, repository: Repository, fetch: bool) -> Path:
        folder = repository.folder()
        if folder is not None:
            return folder
        needs = self.needs()
        told = f"{self.title} ({needs['size']} from {needs['source']}, memory {needs['memory']})"
        if not fetch:
            raise Unavailable(f"{told} is not on this machine; allow the download (fetch=True) to get it; {INSTEAD}")
        from huggingface_hub import HfApi, snapshot_download

        try:
            HfApi().model_info(repository.name, timeout=NETWORK_SECONDS)  # fails at once where a download would try for minutes
            return Path(snapshot_download(repository.name, allow_patterns=list(repository.files)))
        except Exception as error:  # the Hub client's network errors change class between its versions
            raise Unavailable(f"cannot fetch {told}: {_short(error)}; {INSTEAD}") from error


def require_packages(title: str) -> None:
    """Raises Unavailable, with the command that installs them, when an optional package is missing."""
    for package in PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise Unavailable(
                f"{title} needs package {error.name or package}: pip install {' '.join(PACKAGES)}; {INSTEAD}"
            ) from error


def _place(device: str, precision: DrawingPrecision, offload: bool) -> Place:
    if precision != "auto" and precision not in _DTYPES:
        raise InputError(f"no precision {precision!r}; give auto, {', '.join(_DTYPES)}")
    chosen = resolve_device(device)
    dtype = _DTYPES["fp32" if chosen.type == "cpu" else "fp16"] if precision == "auto" else _DTYPES[precision]
    return Place(chosen, dtype, offload)


def _gigabytes(count: int) -> str:
    return f"about {count / 1e9:.1f} GB"


def _short(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
