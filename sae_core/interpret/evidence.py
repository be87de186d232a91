"""What names are made and tested on: images in the order of the activation store, cut into an explain half and a score half."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sae_core.activations.index import Activations
from sae_core.clip.embed import Embeddings
from sae_core.data.manifest import Manifest
from sae_core.errors import DamagedArtifact

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Evidence:
    """Images of the activation store, near-duplicates counted once, in two halves by content.

    Attributes:
        activations: the store; a row of it is a row here.
        x: float32 [n, d] raw embeddings, row by row.
        explain: bool [n]: what naming may look at; the rest is for scoring. Near-duplicates are on the same side.
    """

    activations: Activations
    x: NDArray[np.float32]
    explain: NDArray[np.bool_]

    def tops(self, latent: int, count: int) -> Rows:
        """The `count` strongest rows of a latent in the explain half, one of each group, strongest first."""
        rows, _ = self.activations.postings(latent)
        return self._distinct(rows[self.explain[rows]], count)

    def strongest(self, latent: int, count: int) -> Rows:
        """The `count` strongest rows of a latent in both halves, one of each group, strongest first: for showing only."""
        return self._distinct(self.activations.postings(latent)[0], count)

    def _distinct(self, rows: Rows, count: int) -> Rows:
        _, first = np.unique(self._group[rows], return_index=True)
        return np.asarray(rows[np.sort(first)[:count]])

    @cached_property
    def score_rows(self) -> Rows:
        """The score half: the first row of each group in it, ascending."""
        rows = np.flatnonzero(~self.explain)
        _, first = np.unique(self._group[rows], return_index=True)
        return np.asarray(rows[np.sort(first)])

    def positives(self, latent: int) -> Rows:
        """Places in `score_rows` of the groups where a latent fires."""
        rows, _ = self.activations.postings(latent)
        places = self._place[self._group[rows[~self.explain[rows]]]]
        return np.unique(places)

    @cached_property
    def _group(self) -> Rows:
        return self.activations.images["group"].to_numpy(np.int64)

    @cached_property
    def _place(self) -> Rows:
        place = np.full(int(self._group.max(initial=-1)) + 1, -1, dtype=np.int64)
        place[self._group[self.score_rows]] = np.arange(len(self.score_rows))
        return place


def gather(
    activations: Activations, manifests: Mapping[str, Manifest], embeddings: Mapping[str, Embeddings], seed: int
) -> Evidence:
    """Evidence from a collect artifact and the manifests and embeddings it was made from."""
    return Evidence(activations, rows_in_order(activations, embeddings), explain_half(activations.images, manifests, seed))


def rows_in_order(activations: Activations, embeddings: Mapping[str, Embeddings]) -> NDArray[np.float32]:
    """Raw embeddings float32 [n, d] in the order of the activation store (one site: the projected embedding)."""
    images = activations.images
    parts = []
    for domain in activations.domains:
        wanted = images.loc[images["domain"] == domain, "image"].to_numpy(np.int64)
        have = embeddings[domain].images
        order = np.argsort(have, kind="stable")
        at = np.searchsorted(have[order], wanted)
        if len(wanted) and (not len(have) or (at >= len(have)).any() or (have[order][at % len(have)] != wanted).any()):
            raise DamagedArtifact(f"activations name images of {domain} that its embeddings lack; remove both and run again")
        parts.append(embeddings[domain].rows(order[at]))
    return np.concatenate(parts).astype(np.float32, copy=False)


def explain_half(images: pd.DataFrame, manifests: Mapping[str, Manifest], seed: int) -> NDArray[np.bool_]:
    """Which rows are in the explain half, bool [n]: a coin tossed by hashing the seed and the content of the group.

    The group's smallest content hash stands for it, so the half of an image depends on no path, order or other image.
    """
    content = np.empty(len(images), dtype=object)
    for domain, manifest in manifests.items():
        at = np.flatnonzero((images["domain"] == domain).to_numpy())
        content[at] = manifest.table["sha256"].to_numpy()[images["image"].to_numpy(np.int64)[at]]
    smallest = pd.Series(content).groupby(images["group"].to_numpy()).min()
    coins = {group: _coin(seed, str(value)) for group, value in smallest.items()}
    return images["group"].map(coins).to_numpy(bool)


def _coin(seed: int, content: str) -> bool:
    return hashlib.sha256(f"{seed} {content}".encode()).digest()[0] % 2 == 0
