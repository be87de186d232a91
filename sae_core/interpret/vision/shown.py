"""The pictures behind rows of the activation store, as they are sent: prepared once, the latest ones kept in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sae_core.data.manifest import Manifest
from sae_core.interpret.vision.pictures import prepared

KEPT_BYTES = 64_000_000


class Shown:
    """PNG bytes by row; may be asked by several threads."""

    def __init__(self, images: pd.DataFrame, manifests: Mapping[str, Manifest]) -> None:
        """
        Args:
            images: the activation store's table (columns `domain`, `image`).
            manifests: of every domain.
        """
        self._domain = images["domain"].astype(str).to_numpy()
        self._image = images["image"].to_numpy(np.int64)
        self._manifests = manifests
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def rows(self) -> NDArray[np.bool_]:
        """bool [n]: which rows have a picture at all."""
        out = np.zeros(len(self._image), dtype=np.bool_)
        for domain, manifest in self._manifests.items():
            at = np.flatnonzero(self._domain == domain)
            out[at] = manifest.table["width"].to_numpy(np.int64)[self._image[at]] > 0
        return out

    def domains(self, rows: NDArray[np.int64]) -> dict[str, int]:
        """How many of the rows are of each domain."""
        names, counts = np.unique(self._domain[rows].astype(str), return_counts=True)
        return dict(zip(names.tolist(), counts.tolist(), strict=True))

    def png(self, row: int) -> bytes:
        """The picture of a row. Raises InputError when its file is gone."""
        with self._lock:
            if row in self._kept:
                self._kept.move_to_end(row)
                return self._kept[row]
        made = prepared(self._manifests[self._domain[row]].image(int(self._image[row])))
        with self._lock:
            if row not in self._kept:
                self._kept[row] = made
                self._bytes += len(made)
            while self._bytes > KEPT_BYTES and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return made
