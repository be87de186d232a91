"""A diffusers pipeline in memory, behind the one `Decoder` interface.

The pipelines differ in what they forget: Kandinsky 2.2 neither moves nor casts nor repeats its embeddings at guidance <= 1,
Stable unCLIP never moves or casts them, IP-Adapter moves but does not cast. So a row arrives at every pipeline on its device
and in its precision, and one row at a time: nothing is left to be repeated, memory is least, and a picture is the same bit for
bit whatever else is drawn beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sae_core.errors import InputError
from sae_core.progress import Event, Report, silent
from sae_core.steer.decoders.decoder import Described, check_request


@dataclass(frozen=True)
class Place:
    """Where and how a pipeline runs: with `offload` its parts wait in main memory and visit the device one by one."""

    device: torch.device
    dtype: torch.dtype
    offload: bool = False


Paint = Callable[[torch.Tensor, torch.Generator, int, float], NDArray[np.floating]]
"""One row [1, d] on its device in its precision, the noise, steps, guidance -> float [1, h, w, 3] in 0 to 1."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; the CPU's and Apple's allocators have no exception class of their own."""
    said = ("DefaultCPUAllocator", "MPS backend out of memory")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in said)
    )


def open_pipeline(kind: Any, folder: Path, place: Place, **parts: Any) -> Any:
    """A diffusers pipeline from a folder on disk: safetensors alone, no network; `parts` are given instead of read."""
    return kind.from_pretrained(str(folder), dtype=place.dtype, use_safetensors=True, local_files_only=True, **parts)


def settle(pipe: Any, place: Place) -> None:
    """Put a pipeline where it is to run."""
    pipe.set_progress_bar_config(disable=True)
    if place.offload:
        pipe.enable_model_cpu_offload(device=place.device)
    else:
        pipe.to(place.device)


class LoadedDecoder:
    """A pipeline and how it is called with an embedding.

    Attributes:
        id, encoders, dim, steps, guidance: see `Described`.
        place: where it runs.
        pipe: the diffusers pipeline.
    """

    def __init__(self, about: Described, pipe: Any, paint: Paint, place: Place) -> None:
        self.id = about.id
        self.encoders = tuple(about.encoders)
        self.dim = about.dim
        self.steps = about.steps
        self.guidance = about.guidance
        self.place = place
        self.pipe = pipe
        self._paint = paint

    def decode(
        self, x: NDArray[np.floating], seed: int, steps: int, guidance: float, report: Report = silent
    ) -> list[Image.Image]:
        """See `Decoder.decode`.

        Raises:
            InputError: see there; a picture that came out as NaN, which half precision can bring about.
        """
        rows = check_request(self, x, steps, guidance)
        pictures: list[Image.Image] = []
        for i, row in enumerate(rows):
            # The noise is drawn on the CPU, so that a seed means the same picture on every device.
            generator = torch.Generator("cpu").manual_seed(seed)
            values = torch.from_numpy(row[None].copy()).to(self.place.device, self.place.dtype)
            try:
                painted = self._paint(values, generator, steps, guidance)[0]
            except BaseException:
                self.pipe.maybe_free_model_hooks()  # after an error, diffusers leaves offloaded parts on the device
                raise
            if not np.isfinite(painted).all():
                raise InputError(f"decoder {self.id} drew NaN in {self.place.dtype}; load it in fp32, or push less far")
            pictures.append(Image.fromarray((painted * 255).round().astype(np.uint8)))
            report(Event("draw", i + 1, len(rows)))
        return pictures
