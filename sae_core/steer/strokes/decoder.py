"""The stroke decoder: an embedding of the bundled CLIP in, a drawing of parametric strokes out; generated, and said to be."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sae_core.clip.encoder import Encoder, load_encoder
from sae_core.errors import DamagedArtifact, InputError, Unavailable
from sae_core.progress import Event, Report, silent
from sae_core.steer.decoders.decoder import DrawingPrecision, check_request
from sae_core.steer.decoders.pretrained import INSTEAD, DecoderNeeds
from sae_core.steer.strokes.curves import Curve
from sae_core.steer.strokes.model import Shape, StrokeModel
from sae_core.steer.strokes.refine import STEPS, refined
from sae_core.steer.strokes.sampling import draw
from sae_core.steer.strokes.seeing import inked
from sae_core.steer.strokes.tokens import decode

ID = "drawn-strokes"
TITLE = "Strokes of the drawn world"
ENCODERS = ("bundled/v1",)
DIM = 128
PIXELS = 256
WEIGHTS = Path(__file__).with_name("bundled") / "strokes.safetensors"
"""The bundled weights; their SHA-256 stands in the file beside them."""


class StrokeDecoder:
    """A decoder in memory, see `Decoder`.

    The network chooses the strokes of an embedding, then their points are moved until the CLIP itself sees the drawing nearer to
    it (`refined`). No chance is in it: an embedding has one drawing.

    Attributes:
        id, encoders, dim, steps, guidance: see `Described`; there is one step, and no guidance.
        bends: steps in which the points are moved.
    """

    id = ID
    encoders = ENCODERS
    dim = DIM
    steps = 1
    guidance = 0.0

    def __init__(self, model: StrokeModel, encoder: Encoder, bends: int = STEPS) -> None:
        if model.shape.dim != encoder.dim:
            raise InputError(
                f"the stroke decoder's weights are for embeddings of {model.shape.dim}, {encoder.id} has {encoder.dim}"
            )
        self.model = model.eval().requires_grad_(False)
        self.encoder = encoder
        self.encoders = (encoder.id,)
        self.dim = encoder.dim
        self.bends = bends

    def strokes(self, x: NDArray[np.floating], report: Report = silent) -> list[list[Curve]]:
        """The drawing of each row of x as parametric strokes; the same row is the same drawing, whatever else is drawn.

        Args:
            x: [n, d] raw embeddings; only their direction matters.
            report: told after each drawing; may raise Cancelled.

        Raises:
            InputError: rows of another width, with NaN or all zero.
        """
        rows = check_request(self, x, self.steps, self.guidance)
        drawings = []
        for i, row in enumerate(rows):
            chosen = decode(draw(self.model, torch.from_numpy(row)))
            drawings.append(refined(self.encoder, chosen, row, self.bends))
            report(Event("draw", i + 1, len(rows)))
        return drawings

    def decode(
        self, x: NDArray[np.floating], seed: int, steps: int = 1, guidance: float = 0.0, report: Report = silent
    ) -> list[Image.Image]:
        """See `Decoder.decode`; seed, steps and guidance change nothing. Pictures are 256 pixels wide, RGB."""
        check_request(self, x, steps, guidance)
        return [Image.fromarray(inked(drawing, PIXELS)).convert("RGB") for drawing in self.strokes(x, report)]


class BundledStrokes:
    """The stroke decoder that comes with the project, before it is loaded; `PretrainedDecoder` is the same for the Hub's."""

    id = ID
    title = TITLE
    encoders = ENCODERS
    dim = DIM
    steps = StrokeDecoder.steps
    guidance = StrokeDecoder.guidance

    def __init__(self, weights: Path = WEIGHTS) -> None:
        self.weights = weights

    def present(self) -> bool:
        """Whether its weights are here."""
        return self.weights.is_file()

    def needs(self) -> DecoderNeeds:
        """What it holds, in words; loads nothing."""
        size = f"{self.weights.stat().st_size / 1e6:.1f} MB" if self.present() else "not here"
        memory = "a few MB, and the bundled CLIP's 17 MB"
        return {
            "what": f"{self.title}: generated line drawings",
            "source": "comes with this project",
            "size": size,
            "memory": memory,
            "memory_offloaded": memory,
            "present": self.present(),
        }

    def load(
        self, device: str = "auto", offload: bool = False, precision: DrawingPrecision = "auto", fetch: bool = False
    ) -> StrokeDecoder:
        """Load it, once a process. It always draws on the CPU in fp32, so that an embedding has the same drawing everywhere.

        Args:
            device, offload, precision, fetch: as every decoder takes them; nothing here depends on them.

        Raises:
            Unavailable: the weights are not here.
            DamagedArtifact: they are not what their checksum says.
        """
        if not self.present():
            raise Unavailable(
                f"{self.title} has no weights at {self.weights.name}; make them with python -m sae_core.steer.train_strokes, "
                f"or reinstall; {INSTEAD}"
            )
        return _loaded(self.weights)


def load_stroke_decoder() -> StrokeDecoder:
    """The bundled stroke decoder, ready to draw. See `BundledStrokes.load` for what it raises."""
    return BundledStrokes().load()


@functools.lru_cache(maxsize=2)
def _loaded(weights: Path) -> StrokeDecoder:
    return StrokeDecoder(read_model(weights), load_encoder(device="cpu"))


def write_model(model: StrokeModel, weights: Path) -> None:
    """Write a network as fp16 safetensors, and its SHA-256 beside it."""
    from safetensors.torch import save

    from sae_core.store import write_atomic

    shape = model.shape
    sizes = {name: str(getattr(shape, name)) for name in ("dim", "width", "layers", "heads")}
    data = save({name: value.detach().half().contiguous() for name, value in model.state_dict().items()}, metadata=sizes)
    write_atomic(weights, data)
    write_atomic(_checksum(weights), f"{hashlib.sha256(data).hexdigest()}  {weights.name}\n".encode())


def read_model(weights: Path) -> StrokeModel:
    """Read a network back.

    Raises:
        DamagedArtifact: the file is not the one its checksum is of.
    """
    from safetensors import safe_open

    data = weights.read_bytes()
    told = _checksum(weights).read_text(encoding="utf-8").split()[:1] if _checksum(weights).is_file() else []
    if told != [hashlib.sha256(data).hexdigest()]:
        raise DamagedArtifact(f"{weights} is not what {_checksum(weights).name} says; reinstall it, or train it again")
    with safe_open(str(weights), framework="pt") as stored:
        sizes = stored.metadata()
        state = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118
    model = StrokeModel(Shape(*(int(sizes[name]) for name in ("dim", "width", "layers", "heads"))))
    model.load_state_dict(state)
    return model


def _checksum(weights: Path) -> Path:
    return weights.with_suffix(".sha256")
