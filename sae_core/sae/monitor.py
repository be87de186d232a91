"""What training shows of itself: sums over its steps, the quality on rows it does not train on, and how many threads it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from sae_core.config import ReluL1
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Pool
from sae_core.sae.objectives import Outcome
from sae_core.sae.quality import Quality, explained

ROWS = 1024
SMALL = 100_000_000
"""Multiplications in the encoder's GEMM of one step, a millisecond or two of one core's, below which one thread computes all."""


class Sums:
    """Training metrics of one dictionary over some steps, of scaled rows: each batch is summed in float32, batches in float64."""

    def __init__(self, d: int) -> None:
        self._numbers = torch.zeros(7, dtype=torch.float64)  # steps, rows, loss, Σ‖û - u‖², Σ‖u‖², Σ z, #{z > 0}
        self._total = torch.zeros(d, dtype=torch.float64)

    def add(self, u: Tensor, outcome: Outcome, member: int = 0, width: int | None = None) -> None:
        fired = outcome.counts if width is None else outcome.counts[member * width : (member + 1) * width]
        energy = torch.linalg.vecdot(u, u).sum(dtype=torch.float64)
        sums = (outcome.losses[member], outcome.squares[member], energy, outcome.l1[member], fired.sum())
        self._numbers += torch.tensor([1.0, len(u), *(float(number) for number in sums)], dtype=torch.float64)
        self._total += u.sum(0).cpu()

    def merge(self, other: Sums) -> None:
        self._numbers += other._numbers
        self._total += other._total

    def metrics(self, scale: float) -> dict[str, float]:
        """loss, mse (mean over elements, in raw units), l1 (scaled), l0, r2. `scale`: of the input scaling."""
        steps, rows, loss, squares, energy, l1, fired = self._numbers.tolist()
        spread = energy - float(self._total.square().sum()) / rows
        return {
            "loss": loss / steps,
            "mse": squares / (rows * len(self._total) * scale**2),
            "l1": l1 / rows,
            "l0": fired / rows,
            "r2": explained(squares, spread),
        }

    def state(self) -> dict[str, Tensor]:
        """All sums, to go on later with `restore`."""
        return {"numbers": self._numbers, "total": self._total}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        self._numbers, self._total = state["numbers"].clone(), state["total"].clone()


def measure(sae: SAE, pool: Pool, device: torch.device, tick: Callable[[int], None] | None = None) -> Quality:
    """The quality of a dictionary on all rows of a pool, a block at a time."""
    quality = Quality(sae.d, sae.m)
    for block in pool.blocks(ROWS):
        x = block.to(device)
        if isinstance(sae.architecture, ReluL1):  # thousands of codes a row can fire: dense is faster, and a block of it is small
            z = sae.encode(x)
            quality.add(x, sae.decode(z), (z > 0).sum(0), float(z.sum(dtype=torch.float64)))
        else:
            indices, values = sae.encode_sparse(x)
            quality.update(x, sae.decode_sparse(indices, values), indices, values)
        if tick is not None:
            tick(quality.n)
    return quality


def measure_split(
    sae: SAE, train: Pool, test: Pool, device: torch.device, tick: Callable[[int], None] | None = None
) -> tuple[dict[str, float], Quality, Tensor]:
    """A dictionary's metrics on the test rows, its quality there, and the train and test rows on which each latent fires.

    `dead_fraction` is over train and test rows: the share of latents that fire on none of them.

    Returns: metrics by name, the Quality of the test rows, int64 [m].
    """
    on_test, on_train = measure(sae, test, device, tick), measure(sae, train, device, tick)
    counts = on_test.counts + on_train.counts
    return {**on_test.metrics(), "dead_fraction": float((counts == 0).double().mean())}, on_test, counts


def is_small(work: int) -> bool:
    """Whether the multiplications of the encoder's GEMM in one step are too few for more than the plainest way."""
    return work < SMALL


@contextmanager
def fitting_threads(work: int) -> Iterator[None]:
    """One thread for steps of little work: more gain next to nothing, and on a busy machine they wait for one another.

    The demo took 6 s with one thread and 36 with two while other programs ran. It also makes small runs equal to the bit on any
    number of cores. `work` is the multiplications of the encoder's GEMM.
    """
    before = torch.get_num_threads()
    if is_small(work):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
