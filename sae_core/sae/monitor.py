"""What training shows of itself: sums over its steps, the quality on rows it does not train on, and how many threads it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Pool
from sae_core.sae.objective import Outcome
from sae_core.sae.quality import Quality

ROWS = 1024
SMALL = 100_000_000
"""Multiplications in the encoder's GEMM of one step, a millisecond or two of one core's, below which one thread computes all."""


class Sums:
    """Training metrics added up over some steps."""

    def __init__(self, d: int, m: int) -> None:
        # Scaled rows are centred already.
        self.quality = Quality(d, m, torch.zeros(d))
        self.steps, self.loss = 0, 0.0

    def add(self, u: Tensor, outcome: Outcome) -> None:
        self.quality.add(u, outcome.u_hat, outcome.counts, outcome.l1 * len(u))
        self.steps, self.loss = self.steps + 1, self.loss + outcome.loss

    def merge(self, other: Sums) -> None:
        self.quality.merge(other.quality)
        self.steps, self.loss = self.steps + other.steps, self.loss + other.loss

    def metrics(self, scale: float) -> dict[str, float]:
        """loss, mse (mean over elements, in raw units), l1 (scaled), l0, r2. `scale`: of the input scaling."""
        quality = self.quality.metrics()
        return {
            "loss": self.loss / self.steps,
            "mse": self.quality.squared_error / scale**2,
            "l1": self.quality.l1,
            "l0": quality["l0"],
            "r2": quality["r2"],
        }


def measure(sae: SAE, pool: Pool, device: torch.device, tick: Callable[[int], None] | None = None) -> Quality:
    """The quality of a dictionary on all rows of a pool, a block at a time."""
    quality = Quality(sae.d, sae.m)
    for block in pool.blocks(ROWS):
        x = block.to(device)
        if sae.k is None:  # thousands of codes a row can fire: dense is faster, and a block of it is small
            z = sae.encode(x)
            quality.add(x, sae.decode(z), (z > 0).sum(0), float(z.sum(dtype=torch.float64)))
        else:
            indices, values = sae.encode_sparse(x)
            quality.update(x, sae.decode_sparse(indices, values), indices, values)
        if tick is not None:
            tick(quality.n)
    return quality


@contextmanager
def fitting_threads(work: int) -> Iterator[None]:
    """One thread for steps of little work: more gain next to nothing, and on a busy machine they wait for one another.

    The demo took 6 s with one thread and 36 with two while other programs ran. It also makes small runs equal to the bit on any
    number of cores. `work` is the multiplications of the encoder's GEMM.
    """
    before = torch.get_num_threads()
    if work < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
