"""The rows of a domain that evaluation reads: which are held out, of which class and group, and which were trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sae_core.clip.embed import Embeddings
from sae_core.data.manifest import Manifest

SPLIT: Literal["test"] = "test"
ROWS = 4096
"""Rows read and encoded together."""


@dataclass(frozen=True)
class DomainRows:
    """Rows of one domain's embeddings by split.

    Attributes:
        name: of the domain.
        embeddings: all its rows.
        test, train: int64, the rows of either split.
        images, labels, groups: int64 [len(test)], manifest id, class (-1: none) and near-duplicate group of each held-out row.
        train_labels: int64 [len(train)].
    """

    name: str
    embeddings: Embeddings
    test: NDArray[np.int64]
    train: NDArray[np.int64]
    images: NDArray[np.int64]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    train_labels: NDArray[np.int64]

    @classmethod
    def of(cls, name: str, manifest: Manifest, embeddings: Embeddings) -> DomainRows:
        """Split the rows as the manifest splits their images."""
        held_out = np.zeros(manifest.n, dtype=bool)
        held_out[manifest.split_rows(SPLIT)] = True
        images = np.asarray(embeddings.images, dtype=np.int64)
        test, train = np.flatnonzero(held_out[images]), np.flatnonzero(~held_out[images])
        labels = np.asarray(manifest.labels, dtype=np.int64)[images]
        groups = manifest.table["group"].to_numpy(np.int64)[images]
        return cls(name, embeddings, test, train, images[test], labels[test], groups[test], labels[train])

    @property
    def n(self) -> int:
        """Held-out rows."""
        return len(self.test)

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """The held-out embeddings a block at a time: where the block stands among them, and float32 [rows, d]."""
        for start in range(0, self.n, ROWS):
            block = slice(start, min(start + ROWS, self.n))
            yield block, np.asarray(self.embeddings.rows(self.test[block]), dtype=np.float32)
