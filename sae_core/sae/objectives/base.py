"""What every objective is, and what they share: the gradients of the codes' side, and memory that is handed out again.

With a batch u [B, d] of scaled rows, codes z of it, û = z W_dec + b_dec and G = dL/dû:

    dL/dW_dec = zᵀ G          dL/db_dec = Σ_i G_i
    dL/dz_ij  = <G_i, W_dec_j>  where z_ij > 0, and 0 elsewhere: a selected pre-activation is its code
    dL/dW_enc = (dL/dz)ᵀ u    dL/db_enc = Σ_i dL/dz_i

all sums over the entries that fire. The tests hold every objective against autograd over dense codes in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from sae_core.sae.codes import Codes

CHUNK = 1 << 24
"""Pre-activations held at a time (64 MiB of float32). Less would stay in the cache, but every chunk packs the encoder's matrix
anew: at F 16384, d 1280 a quarter of this costs 22 % more. The buffer is reused: fresh pages cost more than the arithmetic."""

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Outcome:
    """What one batch gave. S is the number of dictionaries trained together, 1 but in a sweep.

    Attributes:
        gradients: by parameter; good until the next batch, whose may stand in the same memory.
        losses: float64 [S].
        squares: float64 [S], Σ_i ‖û_i - u_i‖², scaled.
        l1: float64 [S], Σ_ij z_ij, scaled.
        counts: int64 [S m], on how many rows each latent fired.
        buffers: new values of what is kept beside the parameters without a gradient, such as BatchTopK's threshold.
    """

    gradients: dict[str, Tensor]
    losses: Tensor
    squares: Tensor
    l1: Tensor
    counts: Tensor
    buffers: dict[str, Tensor] = field(default_factory=dict)


class Objective(Protocol):
    """A loss with its gradient."""

    frozen: frozenset[str]
    """Tensors without a gradient: parameters that are not trained, and buffers."""

    def value(self, squares: float, l1: float, l0: float, d: int) -> float:
        """The loss, without terms that only revive latents, of rows with these means of ‖û - u‖², Σ_j z_ij and #{z_ij > 0}."""

    def __call__(self, weights: Weights, u: Tensor, dead: Tensor | None = None) -> Outcome:
        """Loss and gradients of a batch.

        Args:
            weights: parameters and buffers by name, see `rules.shapes_of`.
            u: [B, d] scaled rows.
            dead: int64 latents that have not fired for long, ascending, for objectives that revive them.
        """


class Buffer:
    """One block of memory, handed out again and again."""

    def __init__(self) -> None:
        self._held: Tensor | None = None

    def take(self, rows: int, columns: int, like: Tensor) -> Tensor:
        held = self._held
        if held is None or held.numel() < rows * columns or held.dtype != like.dtype or held.device != like.device:
            held = self._held = like.new_empty(rows * columns)
        return held[: rows * columns].view(rows, columns)


def pre_activations(buffer: Buffer, encoder: Tensor, bias: Tensor | None, u: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """u W_encᵀ + b_enc in row chunks of a reused buffer: the rows, and [rows, m]; each chunk is overwritten by the next."""
    m = len(encoder)
    step = max(1, CHUNK // m)
    for start in range(0, len(u), step):
        rows = slice(start, min(start + step, len(u)))
        pre = buffer.take(rows.stop - rows.start, m, u)
        if bias is None:
            torch.mm(u[rows], encoder.T, out=pre)
        else:
            torch.addmm(bias, u[rows], encoder.T, out=pre)
        yield rows, pre


class Gradients:
    """The two gradients of the dictionary's size in memory that every step uses again: the next one overwrites them."""

    def __init__(self) -> None:
        self._buffers = {"W_enc": Buffer(), "W_dec": Buffer()}

    def of(self, name: str, codes: Codes, x: Tensor) -> Tensor:
        """Σ_i z_ij x_i, see `Codes.transposed`."""
        return codes.transposed(x, self._buffers[name].take(codes.m, x.shape[1], x))


def code_gradients(
    weights: Weights, codes: Codes, g: Tensor, u: Tensor, penalty: float = 0.0, into: Gradients | None = None
) -> dict[str, Tensor]:
    """Gradients of W_enc, b_enc and W_dec from the codes' side, given g = dL/dû.

    Args:
        weights: the parameters.
        codes: of R rows; entries with value 0 pass no gradient on (the ReLU after the selection).
        g: [R, d].
        u: [R, d] or [R / codes.shared, d], the scaled rows that were encoded.
        penalty: dL/dz of each code that fires, besides.
        into: memory to use again.
    """
    dz = codes.with_values((codes.products(g, weights["W_dec"]) + penalty) * (codes.values > 0))
    if into is None:
        return {"W_enc": dz.transposed(u), "b_enc": dz.sums(), "W_dec": codes.transposed(g)}
    return {"W_enc": into.of("W_enc", dz, u), "b_enc": dz.sums(), "W_dec": into.of("W_dec", codes, g)}


def total(x: Tensor) -> float:
    """Σ x² of float32 rows; summed row by row, so that no digits are lost."""
    return float(torch.linalg.vecdot(x, x).sum(dtype=torch.float64))
