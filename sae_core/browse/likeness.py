"""The data's images nearest to an embedding, over shards that stay on disk: a search reads them once and copies none."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sae_core.activations.index import Activations
from sae_core.clip.embed import Embeddings
from sae_core.errors import DamagedArtifact, InputError

FEW = 0.1
"""Below this share of the rows only they are read, where all of them are more than SCAN."""
SCAN = 1 << 28
"""Bytes of embeddings that are read whole for any question, and remembered: a drawing asks about one latent after another."""
REMEMBERED = 4
"""Embeddings whose cosines with every row are kept."""
CHUNK = 65_536
"""Rows gathered or measured at a time."""


class Likeness:
    """Cosines of an embedding with every row of an activation store, by the embeddings the store was made from."""

    def __init__(self, activations: Activations, embeddings: Mapping[str, Embeddings]) -> None:
        self._activations = activations
        self._embeddings = {name: embeddings[name] for name in activations.domains}
        images = activations.images
        self._domain = pd.Categorical(images["domain"], categories=list(activations.domains)).codes
        self._image = images["image"].to_numpy(np.int64)
        self._group = images["group"].to_numpy(np.int64)
        self._place = self._places()
        self._of_all = lru_cache(REMEMBERED)(self._cosines)

    def _places(self) -> NDArray[np.int64]:
        """The embedding row (within its domain) of each row of the store, int64 [n]."""
        place = np.empty(self._activations.n, dtype=np.int64)
        for code, one in enumerate(self._embeddings.values()):
            here = self._domain == code
            row_of = np.full(int(one.images.max(initial=-1)) + 2, -1, dtype=np.int64)
            row_of[one.images] = np.arange(one.n)
            place[here] = row_of[np.minimum(self._image[here], len(row_of) - 1)]
        if (place < 0).any():
            raise DamagedArtifact("activations name images that the embeddings lack; remove both and run again")
        return place

    @cached_property
    def _shards(self) -> dict[str, list[NDArray[np.float32]]]:
        return {
            name: [np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray) for path in one.shards]
            for name, one in self._embeddings.items()
        }

    @cached_property
    def _inverse_norms(self) -> dict[str, NDArray[np.float32]]:
        """1 / |x| of each embedding row, by domain."""
        found = {}
        for name, shards in self._shards.items():
            squares = [np.einsum("ij,ij->i", part, part) for part in _parts(shards)]
            found[name] = (1 / np.sqrt(np.maximum(np.concatenate(squares), 1e-24))).astype(np.float32)
        return found

    def nearest(self, x: NDArray[np.float32], count: int, latent: int | None = None, domain: str | None = None) -> pd.DataFrame:
        """See `Reader.nearest`. Raises InputError when there is no such latent or domain."""
        direction = np.asarray(x / max(float(np.linalg.norm(x)), 1e-12), dtype=np.float32)
        if latent is not None:
            rows, _ = self._activations.postings(latent, domain)
            rows.sort()
        elif domain is not None:
            if domain not in self._embeddings:
                raise InputError(f"no domain {domain!r} in these activations; there are {', '.join(self._embeddings)}")
            rows = np.flatnonzero(self._domain == self._activations.domains.index(domain))
        else:
            rows = np.arange(self._activations.n)
        large = 4 * len(direction) * self._activations.n > SCAN
        some = large and len(rows) < FEW * self._activations.n
        cosines = self._of_rows(rows, direction) if some else self._of_all(direction.tobytes())[rows]
        best = self._distinct(rows, cosines, count)
        chosen = rows[best]
        names = pd.Categorical.from_codes(self._domain[chosen], pd.Index(self._activations.domains))
        return pd.DataFrame({"row": chosen, "domain": names, "image": self._image[chosen], "cosine": cosines[best]})

    def _of_rows(self, rows: NDArray[np.int64], direction: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosines of these rows, float32 [len(rows)]; only they are read."""
        out = np.empty(len(rows), dtype=np.float32)
        for code, one in enumerate(self._embeddings.values()):
            here = np.flatnonzero(self._domain[rows] == code)
            for start in range(0, len(here), CHUNK):
                chunk = here[start : start + CHUNK]
                x = one.rows(self._place[rows[chunk]])
                out[chunk] = x @ direction / np.maximum(np.linalg.norm(x, axis=1), 1e-12)
        return out

    def _cosines(self, direction: bytes) -> NDArray[np.float32]:
        """Cosines of every row with a unit float32 direction, float32 [n]; each shard is read once, in place."""
        unit = np.frombuffer(direction, dtype=np.float32)
        out = np.empty(self._activations.n, dtype=np.float32)
        for code, name in enumerate(self._embeddings):
            here = np.flatnonzero(self._domain == code)
            products = [part @ unit for part in _parts(self._shards[name])]
            if products:
                out[here] = (np.concatenate(products) * self._inverse_norms[name])[self._place[here]]
        return out

    def _distinct(self, rows: NDArray[np.int64], cosines: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """Places of the `count` largest cosines, one a near-duplicate group."""
        take = 4 * count
        while True:
            best = np.arange(len(rows)) if take >= len(rows) else np.sort(np.argpartition(-cosines, take)[:take])
            best = best[np.argsort(-cosines[best], kind="stable")]
            _, first = np.unique(self._group[rows[best]], return_index=True)
            if len(first) >= count or take >= len(rows):
                return np.asarray(best[np.sort(first)[:count]])
            take *= 4


def _parts(shards: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """The shards in pieces of at most CHUNK rows, as views."""
    return [shard[start : start + CHUNK] for shard in shards for start in range(0, len(shard), CHUNK)]
