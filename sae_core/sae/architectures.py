"""A trained dictionary: what it does to embeddings. How it was trained stands in `objective` and `trainer`.

Every architecture is the same affine frame around its own rule of which pre-activations become codes:

    u = (x - mean) · scale            input scaling, inside the SAE: x is always the raw embedding
    pre = u W_encᵀ + b_enc            W_enc [m, d]; a gated dictionary has no b_enc, its rule holds the biases
    z = rule(pre)                     codes, >= 0
    x̂ = (z W_dec + b_dec) / scale + mean

A new architecture is one small class in `rules` (which codes) and one in `objectives` (how it learns).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeVar, overload

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sae_core.config import Architecture
from sae_core.errors import InputError
from sae_core.sae.rules import rule_of, shapes_of
from sae_core.store import canonical

CHUNK = 1 << 22
"""Pre-activations held at a time (16 MiB of float32): more would leave the cache without being faster."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
A = TypeVar("A", Tensor, Floats)


class SAE:
    """A sparse autoencoder on raw embeddings. Numpy in, numpy out; torch in, torch out. It never changes.

    Attributes:
        architecture: its configuration, such as TopK(k=32).
        weights: the parameters by name, see `shapes_of`.
        mean: [d], scale: float: the input scaling.
        encoder_id: the CLIP whose embeddings it was trained on, such as "ViT-B-32/openai"; None when unknown.
    """

    def __init__(
        self,
        architecture: Architecture,
        weights: Mapping[str, Tensor],
        mean: Tensor | None = None,
        scale: float = 1.0,
        encoder_id: str | None = None,
    ) -> None:
        """Raises InputError on a missing parameter, another shape than the others imply, or a value that is not finite."""
        self.architecture = architecture
        self.encoder_id = encoder_id
        self.scale = float(scale)
        self.weights = _checked(architecture, weights)
        self.mean = torch.zeros(self.d).to(self.decoder) if mean is None else mean.to(self.decoder)
        if self.mean.shape != (self.d,) or not bool(torch.isfinite(self.mean).all()):
            raise InputError(f"mean has shape {list(self.mean.shape)}; it must be [{self.d}] finite numbers, as W_dec is wide")
        if not np.isfinite(self.scale) or self.scale <= 0:
            raise InputError(f"scale is {self.scale}; it must be positive and finite")
        self._rule = rule_of(architecture, self.weights)

    @property
    def d(self) -> int:
        """Width of an embedding."""
        return int(self.weights["W_dec"].shape[1])

    @property
    def m(self) -> int:
        """Number of latents."""
        return int(self.weights["W_dec"].shape[0])

    @property
    def k(self) -> int | None:
        """The most codes a row can have, None where the architecture does not bound it."""
        return self._rule.k

    @property
    def decoder(self) -> Tensor:
        """The dictionary [m, d] in scaled units: W_dec."""
        return self.weights["W_dec"]

    @cached_property
    def decoder_raw(self) -> Tensor:
        """float32 [m, d]: by how much x̂ moves, in raw embedding units, per unit of each code."""
        return self.decoder / self.scale

    @cached_property
    def bias_raw(self) -> Tensor:
        """[d]: the reconstruction of the code that is all 0, in raw embedding units."""
        return self.weights["b_dec"] / self.scale + self.mean

    @cached_property
    def sha256(self) -> str:
        """Hex SHA-256 of what it computes: architecture, scaling and every weight, whatever file they came from."""
        digest = hashlib.sha256(canonical({"architecture": self.architecture.model_dump(mode="json"), "scale": self.scale}))
        for name, tensor in sorted({**self.weights, "mean": self.mean}.items()):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def encode(self, x: A) -> A:
        """Codes of embeddings.

        Args:
            x: [n, d] raw embeddings.

        Returns: z [n, m], dense: for many rows `encode_sparse` needs a fraction of the memory.
        Raises: InputError when x is not [n, d].
        """
        rows = self._rows(x, self.d, "x")
        parts = [self._rule.dense(pre) for pre in self._pre(rows)]
        return _like(torch.cat(parts) if parts else rows.new_zeros(0, self.m), x)

    @overload
    def encode_sparse(self, x: Tensor) -> tuple[Tensor, Tensor]: ...
    @overload
    def encode_sparse(self, x: Floats) -> tuple[Ints, Floats]: ...
    def encode_sparse(self, x: Tensor | Floats) -> tuple[Tensor, Tensor] | tuple[Ints, Floats]:
        """Codes of embeddings as entries: indices int64 [n, k], values [n, k]; rows with fewer are padded with value 0.

        k is the architecture's, or the largest number of codes among these rows where it sets none. Never n x m at once.
        """
        rows = self._rows(x, self.d, "x")
        parts = [self._rule.sparse(pre) for pre in self._pre(rows)]
        width = max((indices.shape[1] for indices, _ in parts), default=self.k or 1)
        empty = torch.zeros(0, width, dtype=torch.int64, device=rows.device)
        indices = torch.cat([empty, *(F.pad(part, (0, width - part.shape[1])) for part, _ in parts)])
        values = torch.cat([empty.to(rows.dtype), *(F.pad(part, (0, width - part.shape[1])) for _, part in parts)])
        if isinstance(x, Tensor):
            return indices, values
        return indices.cpu().numpy(), values.detach().cpu().numpy()

    def pre_activation(self, x: Tensor, latent: int) -> Tensor:
        """w_j · (x - mean) · scale + b_j of one latent, [n], before any code is set to 0; differentiable.

        Gated and JumpReLU compare this number with a threshold; of a gated latent it is the magnitude's direction, without bias.
        """
        pre = ((self._rows(x, self.d, "x") - self.mean) * self.scale) @ self.weights["W_enc"][latent]
        return pre + self.weights["b_enc"][latent] if "b_enc" in self.weights else pre

    def decode(self, z: A) -> A:
        """Raw embeddings x̂ [n, d] of codes z [n, m]. Raises InputError when z is not [n, m]."""
        return _like(torch.addmm(self.bias_raw, self._rows(z, self.m, "z"), self.decoder_raw), z)

    def decode_sparse(self, indices: Tensor | Ints, values: A) -> A:
        """Raw embeddings x̂ [n, d] of codes given as entries (see `encode_sparse`). Raises InputError on an impossible latent."""
        chosen, weights = _tensor(indices), _tensor(values)
        chosen, weights = chosen.to(self.decoder.device, torch.int64), weights.to(self.decoder)
        if chosen.shape != weights.shape or chosen.ndim != 2:
            raise InputError(f"indices have shape {list(chosen.shape)}, values {list(weights.shape)}; give both as [n, k]")
        if chosen.numel() and not 0 <= int(chosen.min()) <= int(chosen.max()) < self.m:
            raise InputError(f"latents {int(chosen.min())} to {int(chosen.max())} are asked for; there are 0 to {self.m - 1}")
        summed = F.embedding_bag(chosen, self.decoder_raw, mode="sum", per_sample_weights=weights)
        return _like(summed + self.bias_raw, values)

    def __call__(self, x: A) -> A:
        """The reconstruction x̂ [n, d] of raw embeddings x [n, d]."""
        indices, values = self.encode_sparse(x)
        return self.decode_sparse(indices, values)

    def to(self, device: str | torch.device) -> SAE:
        """The same dictionary on another device."""
        weights = {name: tensor.to(device) for name, tensor in self.weights.items()}
        return SAE(self.architecture, weights, self.mean.to(device), self.scale, self.encoder_id)

    @classmethod
    def load(cls, path: str | Path) -> SAE:
        """Read a dictionary from an artifact, a folder or a file, of any format known; see `formats.load_sae`."""
        from sae_core.sae.formats import load_sae

        return load_sae(path)

    def save(self, folder: str | Path, format: str = "native") -> Path:
        """Write it into a folder in a format of `formats`; the path of the weights. Raises InputError where it cannot be said."""
        from sae_core.sae.formats import save_sae

        return save_sae(self, folder, format)

    def _rows(self, x: Tensor | Floats, width: int, name: str) -> Tensor:
        rows = _tensor(x)
        if rows.ndim != 2 or rows.shape[1] != width:
            raise InputError(f"{name} has shape {list(rows.shape)}; this dictionary takes [n, {width}]")
        return rows.to(self.decoder)

    def _pre(self, rows: Tensor) -> Iterator[Tensor]:
        step = max(1, CHUNK // self.m)
        for start in range(0, len(rows), step):
            u = (rows[start : start + step] - self.mean) * self.scale
            pre = u @ self.weights["W_enc"].T
            yield pre.add_(self.weights["b_enc"]) if "b_enc" in self.weights else pre


def _checked(architecture: Architecture, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    named = ", ".join(weights) or "nothing"
    if "W_dec" not in weights or weights["W_dec"].ndim != 2:
        raise InputError(f"a dictionary needs W_dec as a matrix [latents, width]; there is {named}")
    m, d = weights["W_dec"].shape
    shapes = shapes_of(architecture, d, m)
    if set(shapes) != set(weights):
        raise InputError(f"a {architecture.kind} dictionary has the weights {', '.join(shapes)}; there is {named}")
    for name, shape in shapes.items():
        if tuple(weights[name].shape) != shape:
            raise InputError(f"{name} has shape {list(weights[name].shape)}; with W_dec [{m}, {d}] it must be {list(shape)}")
        if not bool(torch.isfinite(weights[name]).all()):
            raise InputError(f"{name} holds NaN or infinite values; the file is damaged or its training diverged")
    k = getattr(architecture, "k", 0)
    if k > m:
        raise InputError(f"k = {k} is above the dictionary size, {m}")
    if "threshold" in shapes and bool((weights["threshold"] < 0).any()):
        raise InputError("threshold is negative; a code above it could be negative too, which no reader expects")
    return {name: weights[name].detach() for name in shapes}


def _tensor(x: Tensor | Floats | Ints) -> Tensor:
    # Read-only arrays, as of a memory map, are copied: torch has no read-only tensors.
    return x if isinstance(x, Tensor) else torch.from_numpy(np.require(x, requirements=["C", "W"]))


def _like(result: Tensor, example: A) -> A:
    return result if isinstance(example, Tensor) else result.detach().cpu().numpy()
