"""Activation stores of codes written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sae_core.activations.index import Activations
from sae_core.activations.writer import Rows, Writer

Stored = Callable[..., Activations]


@pytest.fixture
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """Writes codes z [n, m] of two domains, `sketch` first, and opens them."""

    def make(
        z: NDArray[np.floating],
        labels: NDArray[np.integer],
        sketches: int | None = None,
        groups: NDArray[np.integer] | None = None,
    ) -> Activations:
        folder: Path = tmp_path_factory.mktemp("store")
        n, m = z.shape
        first = n if sketches is None else sketches
        writer = Writer(folder, m)
        for start in range(0, n, 1000):
            part = z[start : start + 1000].astype(np.float32)
            writer.append(np.tile(np.arange(m), (len(part), 1)), part)
        group = np.arange(n) if groups is None else groups
        domains = [
            Rows(name, np.arange(stop - start), np.full(stop - start, "train"), labels[start:stop], group[start:stop])
            for name, start, stop in (("sketch", 0, first), ("photo", first, n))
            if stop > start or name == "sketch"
        ]
        writer.finish(domains, {})
        return Activations.load(folder)

    return make
