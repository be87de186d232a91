"""Batches out of embeddings that may be larger than memory: the batch of a step follows from (seed, step) alone.

An epoch is a permutation of all rows in two levels. Blocks of consecutive rows are shuffled and dealt into windows; the rows
of a window are shuffled in memory. Up to one window (131,072 rows) that is a uniform permutation of everything; beyond, a disk
sees whole blocks and memory holds one window. Batches run on across the end of an epoch, so all have the same size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.errors import InputError

BLOCK = 2048
"""Rows read together."""
WINDOW = 64
"""Blocks shuffled together in memory: 256 MiB at d = 512."""

Ints = NDArray[np.int64]


def stream(seed: int, purpose: Literal["held out", "weights", "blocks", "rows"], *more: int) -> np.random.Generator:
    """The randomness of one purpose. The purpose comes first in the seed, so that no two ever share a stream."""
    return np.random.default_rng([1 + ("held out", "weights", "blocks", "rows").index(purpose), seed, *more])


class Source(Protocol):
    """Rows by number; `Embeddings` is one."""

    def rows(self, ids: Ints, /) -> NDArray[np.float32]:
        """float32 [len(ids), d]."""


class Arrays:
    """One or more arrays [n_i, d] as one source, memory-mapped ones included."""

    def __init__(self, arrays: Sequence[NDArray[Any]]) -> None:
        widths = sorted({array.shape[1] if array.ndim == 2 else -1 for array in arrays})
        if not arrays or len(widths) != 1 or widths[0] < 1:
            shapes = ", ".join(str(list(array.shape)) for array in arrays[:5]) or "none"
            raise InputError(f"embeddings must be arrays [n, d] of one width d; given: {shapes}")
        self._arrays = arrays
        self._starts = np.cumsum([0, *(len(array) for array in arrays)])
        self.n, self.d = int(self._starts[-1]), widths[0]

    def rows(self, ids: Ints) -> NDArray[np.float32]:
        """The rows of these numbers, counted through all arrays."""
        out = np.empty((len(ids), self.d), dtype=np.float32)
        owner = np.searchsorted(self._starts, ids, side="right") - 1
        for which in np.unique(owner):
            mine = owner == which
            out[mine] = self._arrays[which][ids[mine] - self._starts[which]]
        return out


class Pool:
    """Chosen rows of one or more sources, numbered 0 to n - 1 in that order."""

    def __init__(self, parts: Sequence[tuple[Source, Ints]], d: int) -> None:
        self._parts = [(source, np.asarray(ids, dtype=np.int64)) for source, ids in parts if len(ids)]
        self._starts = np.cumsum([0, *(len(ids) for _, ids in self._parts)])
        self.n, self.d = int(self._starts[-1]), d

    def take(self, positions: Ints) -> Tensor:
        """float32 [len(positions), d]. Raises InputError on a value that is not finite."""
        out = np.empty((len(positions), self.d), dtype=np.float32)
        owner = np.searchsorted(self._starts, positions, side="right") - 1
        for which in np.unique(owner):
            mine = owner == which
            source, ids = self._parts[which]
            out[mine] = source.rows(ids[positions[mine] - self._starts[which]])
        if not np.isfinite(out).all():
            bad = int(positions[~np.isfinite(out).all(axis=1)][0])
            raise InputError(f"embedding row {bad} of the training rows holds NaN or infinity; remove or mend it")
        return torch.from_numpy(out)

    def blocks(self, size: int = BLOCK) -> Iterator[Tensor]:
        """All rows in order, `size` at a time."""
        for start in range(0, self.n, size):
            yield self.take(np.arange(start, min(start + size, self.n)))

    def without(self, positions: Ints) -> Pool:
        """The pool of all other rows."""
        keep = np.ones(self.n, dtype=bool)
        keep[positions] = False
        return self._of(np.flatnonzero(keep))

    def only(self, positions: Ints) -> Pool:
        """The pool of these rows."""
        return self._of(np.sort(positions))

    def _of(self, positions: Ints) -> Pool:
        cuts = np.searchsorted(positions, self._starts)
        parts = [
            (source, ids[positions[low:high] - start])
            for (source, ids), start, low, high in zip(self._parts, self._starts, cuts, cuts[1:], strict=False)
        ]
        return Pool(parts, self.d)


class Batches:
    """The endless stream of shuffled rows of a pool, cut into batches."""

    def __init__(self, pool: Pool, batch: int, seed: int, prepare: Callable[[Tensor], Tensor]) -> None:
        """`prepare` turns raw rows into what a batch holds (scaled, on the device), once a window."""
        self._pool, self._batch, self._seed, self._prepare = pool, batch, seed, prepare
        self._epoch = -1
        self._order: Ints = np.empty(0, dtype=np.int64)  # of blocks, in this epoch
        self._ends: Ints = np.empty(0, dtype=np.int64)  # stream position within the epoch where each window ends
        self._window: tuple[int, int] | None = None
        self._shuffle: Ints = np.empty(0, dtype=np.int64)
        self._blocks: bytes = b""
        self._rows = torch.empty(0)

    def at(self, step: int) -> Tensor:
        """The batch of a step: [batch, d]."""
        position, missing, parts = step * self._batch, self._batch, []
        while missing:
            epoch, offset = divmod(position, self._pool.n)
            start, stop = self._open(epoch, offset)
            count = min(missing, stop - offset)
            chosen = torch.from_numpy(self._shuffle[offset - start : offset - start + count]).to(self._rows.device)
            parts.append(self._rows[chosen])
            position, missing = position + count, missing - count
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _open(self, epoch: int, offset: int) -> tuple[int, int]:
        """Make the window that holds an offset of an epoch the current one; where it starts and stops."""
        if epoch != self._epoch:
            self._plan(epoch)
        window = int(np.searchsorted(self._ends, offset, side="right"))
        start = int(self._ends[window - 1]) if window else 0
        stop = int(self._ends[window])
        if self._window != (epoch, window):
            blocks = np.sort(self._order[window * WINDOW : (window + 1) * WINDOW])
            if blocks.tobytes() != self._blocks:  # a pool of one window is read once, not once an epoch
                rows = [np.arange(b * BLOCK, min((b + 1) * BLOCK, self._pool.n)) for b in blocks]
                self._rows, self._blocks = self._prepare(self._pool.take(np.concatenate(rows))), blocks.tobytes()
            self._shuffle = stream(self._seed, "rows", epoch, window).permutation(stop - start)
            self._window = (epoch, window)
        return start, stop

    def _plan(self, epoch: int) -> None:
        count = -(-self._pool.n // BLOCK)
        self._order = stream(self._seed, "blocks", epoch).permutation(count)
        sizes = np.full(count, BLOCK)
        sizes[-1] = self._pool.n - (count - 1) * BLOCK
        ends = np.cumsum(sizes[self._order])
        self._ends = ends[np.minimum(np.arange(WINDOW, count + WINDOW, WINDOW), count) - 1]
        self._epoch = epoch


def held_out(groups: Ints, fraction: float, most: int, seed: int) -> Ints:
    """Rows to measure on while training: whole near-duplicate groups, at most `fraction` of the rows and at most `most`.

    Args:
        groups: int64 [n], the group of each row.

    Returns: ascending positions, int64; none when there are fewer than ten groups, or all are too large.
    """
    names, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < 10:
        return np.empty(0, dtype=np.int64)
    wanted = min(fraction * len(groups), most)
    order = stream(seed, "held out").permutation(len(names))
    order = order[sizes[order] <= wanted]  # a huge group would leave nothing to train on
    count = int(np.searchsorted(np.cumsum(sizes[order]), wanted, side="right"))
    chosen = np.zeros(len(names), dtype=bool)
    chosen[order[:count]] = True
    return np.flatnonzero(chosen[inverse])
