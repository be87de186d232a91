"""The CLIP encoder: any open_clip model, images and texts in, raw projected embeddings out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Literal, Union

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sae_core.clip.weights import (
    BUNDLED,
    EMBEDDED,
    Weights,
    ensure_reachable,
    find_weights,
    requirements_of,
    unavailable,
)
from sae_core.data.images import to_rgb
from sae_core.errors import InputError, Unavailable

__all__ = ["Encoder", "Picture", "Precision", "as_pil", "load_encoder", "requirements_of", "resolve_device"]

Picture = Union[Image.Image, NDArray[np.uint8]]
Precision = Literal["fp32", "bf16"]


def resolve_device(device: str = "auto") -> torch.device:
    """A device's name to a device; `auto` is CUDA, then Apple's MPS, then the CPU. Raises InputError when it is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise InputError(f"no device {device!r}; give auto, cpu, cuda, cuda:0 or mps") from None
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(chosen.type, False):
        raise InputError(f"device {device} is not available on this machine; give cpu, or auto to take the best there is")
    return chosen


def state_sha256(state: dict[str, torch.Tensor]) -> str:
    """SHA-256 of a state dict: names, dtypes, shapes and bytes in the order of the names, whatever file they came from."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def as_pil(picture: Picture) -> Image.Image:
    """A picture as PIL RGB (transparency on white, the colour of paper); arrays are uint8 [h, w] or [h, w, 3].

    Raises:
        InputError: an array of another shape or dtype.
    """
    if isinstance(picture, Image.Image):
        return to_rgb(picture)
    if picture.dtype != np.uint8 or not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise InputError(f"an image array must be uint8 [h, w] or [h, w, 3], not {picture.dtype} {list(picture.shape)}")
    return Image.fromarray(picture).convert("RGB")


class Encoder:
    """A loaded CLIP: `images` and `texts` give raw projected embeddings, float32 [n, dim], not normalised.

    Attributes:
        id: model and weights, such as `ViT-B-32/openai` or `bundled/v1`.
        dim: embedding width d.
        image_size: side of the square input in pixels.
        logit_scale: exp of the learned temperature; logits are logit_scale x cosine.
        parameters: how many numbers were learned, both towers.
        weights_sha256: hash of the state dict as loaded, before any change of precision.
        precision: of the image tower; the text tower stays fp32, since it sees few texts and names hang on it.
        preprocess: PIL image to float32 [3, s, s], open_clip's own for these weights.
    """

    def __init__(
        self,
        model: Any,
        preprocess: Callable[[Image.Image], torch.Tensor],
        tokenizer: Callable[[], Callable[[list[str]], torch.Tensor]],
        id: str,
        dim: int,
        device: torch.device,
        precision: Precision = "fp32",
    ) -> None:
        self.id = id
        self.dim = dim
        self.device = device
        self.preprocess = preprocess
        self.parameters = sum(p.numel() for p in model.parameters())
        self.weights_sha256 = state_sha256(model.state_dict())
        self.logit_scale = float(model.logit_scale.detach().exp())
        size = model.visual.image_size
        self.image_size = int(size[0] if isinstance(size, (tuple, list)) else size)
        self._model = model.to(device).eval().requires_grad_(False)
        self._make_tokenizer = tokenizer
        self._tokenize: Callable[[list[str]], torch.Tensor] | None = None
        self.precision: Precision = precision
        if precision == "bf16":
            # Weights and inputs, not autocast: on CPUs with bf16 units this is the fast one.
            self._model.visual.to(torch.bfloat16)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    def pixels(self, images: Sequence[Picture] | NDArray[np.uint8]) -> torch.Tensor:
        """Images to the tower's input: float32 [n, 3, s, s] on the encoder's device."""
        if not len(images):
            return torch.empty((0, 3, self.image_size, self.image_size), device=self.device)
        return torch.stack([self.preprocess(as_pil(image)) for image in images]).to(self.device)

    def forward_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Input tensor [n, 3, s, s] to raw embeddings, float32 [n, d]; differentiable with respect to the pixels."""
        rows: torch.Tensor = self._model.encode_image(pixels.to(self._dtype)).float()
        return rows

    def images(self, images: Sequence[Picture] | NDArray[np.uint8], batch_size: int = 256) -> NDArray[np.float32]:
        """Raw projected image embeddings.

        Args:
            images: n PIL images, or uint8 arrays [h, w] or [h, w, 3], or one array of them.
            batch_size: images a forward pass.

        Returns:
            float32 [n, d], not normalised.

        Raises:
            InputError: an array that is no image.
        """
        rows = np.empty((len(images), self.dim), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(images), batch_size):
                pixels = self.pixels(images[start : start + batch_size])
                rows[start : start + len(pixels)] = self.forward_pixels(pixels).cpu().numpy()
        return rows

    def texts(self, texts: Sequence[str], batch_size: int = 256) -> NDArray[np.float32]:
        """Raw projected text embeddings, float32 [n, d], not normalised; texts longer than the context are cut.

        Raises:
            Unavailable: the model's tokenizer needs a package or a file that is not here.
        """
        if self._tokenize is None:
            self._tokenize = self._make_tokenizer()
        rows = np.empty((len(texts), self.dim), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(texts), batch_size):
                tokens = self._tokenize(list(texts[start : start + batch_size])).to(self.device)
                rows[start : start + len(tokens)] = self._model.encode_text(tokens).float().cpu().numpy()
        return rows


def load_encoder(
    model: str = BUNDLED, pretrained: str | None = None, device: str = "auto", precision: Precision = "fp32"
) -> Encoder:
    """Load a CLIP by name.

    Args:
        model: `bundled` (the bundled demo model), any open_clip architecture, `hf-hub:owner/repo`, `local-dir:folder`.
        pretrained: the weights' tag, such as `openai`, or a file; None for all but architectures.
        device: auto, cpu, cuda, cuda:1, mps.
        precision: of the image tower, fp32 or bf16.

    Raises:
        InputError: unknown model, tag or device, with the nearest names.
        Unavailable: weights that are not here and cannot be fetched; fails within seconds.
    """
    if precision not in ("fp32", "bf16"):
        raise InputError(f"no precision {precision!r}; give fp32 or bf16")
    chosen = resolve_device(device)
    weights = find_weights(model, pretrained)
    ensure_reachable(weights)
    import open_clip

    try:
        clip, _, preprocess = open_clip.create_model_and_transforms(
            weights.name, pretrained=weights.tag, force_quick_gelu=weights.quick_gelu, device="cpu"
        )
        config = open_clip.get_model_config(weights.name)
    except Exception as error:  # open_clip wraps network, format and shape errors alike in RuntimeError, FileNotFoundError, ...
        raise _failed(weights, error) from error
    return Encoder(clip, preprocess, lambda: _tokenizer(weights), weights.id, int(config["embed_dim"]), chosen, precision)


def _failed(weights: Weights, error: Exception) -> Exception:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if weights.repo is None:
        return InputError(f"cannot load CLIP weights {weights.id} from {weights.source}: {reason}; give a sound open_clip model")
    return unavailable(weights, reason)


def _tokenizer(weights: Weights) -> Callable[[list[str]], torch.Tensor]:
    import open_clip

    # A merges file lies beside a local model; open_clip would look for it in the current folder.
    merges = weights.folder / "bpe.txt.gz" if weights.folder is not None else None
    extra = {"bpe_path": str(merges)} if merges is not None and merges.is_file() else {}
    try:
        tokenizer: Callable[[list[str]], torch.Tensor] = open_clip.get_tokenizer(weights.name, **extra)
    except ImportError as error:
        raise Unavailable(f"the tokenizer of {weights.id} needs package {error.name} (pip install it); {EMBEDDED}") from error
    except (OSError, ValueError) as error:
        raise Unavailable(f"cannot load the tokenizer of {weights.id}: {str(error).splitlines()[0][:160]}; {EMBEDDED}") from error
    return tokenizer
