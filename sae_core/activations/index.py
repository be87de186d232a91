"""Reading the activation store: what a latent fires on, what fires with it, what a row's code is. Memory-mapped, read-only."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from numpy.typing import NDArray

from sae_core.activations.files import FORMAT, damaged, index_dtype, open_array, open_table, ranges
from sae_core.activations.together import DENSE, by_column, by_row
from sae_core.errors import InputError


class Activations:
    """The codes z [n, m] of every row, sparse, by row and by latent.

    A row is an embedding (image, site), not always an image; near-duplicate pictures share a `group`.

    Attributes:
        n: rows.
        m: latents.
        domains: names of the domains, in row order.
        about: what `meta.json` says: dictionary, encoder, value scale.
        stats: DataFrame, one row a latent: latent, count, rate, max, mean (over rows where it fires), sum, and for each domain
            `<d>.count`, `<d>.rate`, `<d>.max`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.about: dict[str, Any] = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
            version = self.about["format"]
            self.n, self.m, nonzeros = (int(self.about[name]) for name in ("n", "m", "nonzeros"))
            self._scale = np.float32(self.about["value_scale"])
            self._spans = {one["name"]: (int(one["start"]), int(one["stop"])) for one in self.about["domains"]}
        except FileNotFoundError:
            raise InputError(f"no activations in {folder}; make them with the collect command") from None
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise damaged(folder, "meta.json", str(error)) from None
        if version != FORMAT:
            raise InputError(f"{folder} is activation store format {version}, this version reads {FORMAT}; collect again")
        self.domains: tuple[str, ...] = tuple(self._spans)
        self._ptr = open_array(folder, "ptr.npy", np.int64, self.n + 1, nonzeros)
        self._idx = open_array(folder, "idx.npy", index_dtype(self.m), nonzeros)
        self._val = open_array(folder, "val.npy", np.float16, nonzeros)
        self._col_ptr = open_array(folder, "col_ptr.npy", np.int64, self.m + 1, nonzeros)
        self._col_rows = open_array(folder, "col_rows.npy", np.uint32, nonzeros)
        self._col_vals = open_array(folder, "col_vals.npy", np.float16, nonzeros)
        self.stats = open_table(folder, "stats.parquet", self.m)

    @classmethod
    def load(cls, folder: str | Path) -> Activations:
        """Open a collect artifact, checking the shape and size of every file.

        Raises:
            InputError: there is none, or of a format this version does not read.
            DamagedArtifact: a file is missing, cut short or of another shape.
        """
        return cls(Path(folder))

    def metrics(self) -> dict[str, float]:
        """The stage's headline numbers: rows, how many latents ever fire, codes stored."""
        return {"rows": float(self.n), "alive": float(len(self.alive())), "nonzeros": float(self._ptr[-1])}

    @cached_property
    def images(self) -> pd.DataFrame:
        """One row a row: row, domain, image (id in the domain's manifest), split, label (-1: none), group (over all domains)."""
        return open_table(self.folder, "images.parquet", self.n)

    @cached_property
    def _image(self) -> NDArray[np.int64]:
        return self.images["image"].to_numpy(np.int64)

    @cached_property
    def _group(self) -> NDArray[np.int64]:
        return self.images["group"].to_numpy(np.int64)

    @cached_property
    def _split(self) -> NDArray[np.int8]:
        return self.images["split"].astype("category").cat.codes.to_numpy().astype(np.int8)

    @cached_property
    def _splits(self) -> list[str]:
        return [str(name) for name in self.images["split"].astype("category").cat.categories]

    @cached_property
    def _members(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Rows sorted by group and where each group begins; None when no two rows share a group."""
        sizes = np.bincount(self._group)
        if sizes.max(initial=0) <= 1:
            return None
        return np.argsort(self._group, kind="stable"), np.concatenate([[0], np.cumsum(sizes)])

    # ------------------------------------------------------------ one latent

    def _span(self, domain: str | None) -> tuple[int, int]:
        if domain is None:
            return 0, self.n
        if domain not in self._spans:
            raise InputError(f"no domain {domain!r} in these activations; there are {', '.join(self.domains)}")
        return self._spans[domain]

    def _code(self, split: str) -> int:
        if split not in self._splits:
            raise InputError(f"no split {split!r} in these activations; there are {', '.join(self._splits)}")
        return self._splits.index(split)

    def _slice(self, j: int) -> slice:
        if not 0 <= j < self.m:
            raise InputError(f"no latent {j}; this dictionary has latents 0 to {self.m - 1}")
        return slice(int(self._col_ptr[j]), int(self._col_ptr[j + 1]))

    def _keep(self, rows: NDArray[np.uint32], domain: str | None, split: str | None) -> NDArray[np.bool_]:
        start, stop = self._span(domain)
        keep = (rows >= start) & (rows < stop)
        return keep if split is None else keep & (self._split[rows] == self._code(split))

    def postings(
        self, j: int, domain: str | None = None, split: str | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Every row where latent j fires, strongest first (equal values: lower row first).

        Returns: rows int64 [count], values float32 [count] > 0.
        """
        at = self._slice(j)
        rows, values = self._col_rows[at], self._col_vals[at]
        if domain is not None or split is not None:
            keep = self._keep(rows, domain, split)
            rows, values = rows[keep], values[keep]
        return rows.astype(np.int64), values.astype(np.float32) * self._scale

    def top(self, j: int, count: int, domain: str | None = None, split: str | None = None, distinct: bool = True) -> pd.DataFrame:
        """The `count` rows where latent j is strongest.

        Args:
            j: latent id.
            count: rows wanted; fewer come when it fires on fewer.
            domain: of this domain only.
            split: `train` or `test` only.
            distinct: near-duplicate pictures (same group) are shown once, by their strongest.

        Returns:
            DataFrame row, domain, image, value, group, copies; `copies` is the number of rows of the group where j fires, under
            the same domain and split (1: no near-duplicate).

        Raises:
            InputError: no such latent, domain or split.
        """
        at = self._slice(j)
        found = np.zeros(0, dtype=np.int64)  # offsets within the latent's postings
        seen, width = 0, max(4 * count, 256)
        filtered = domain is not None or split is not None
        size = at.stop - at.start
        while len(found) < count and seen < size:
            rows = self._col_rows[at.start + seen : min(at.start + seen + width, at.stop)]
            fresh = np.arange(seen, seen + len(rows))
            found = np.concatenate([found, fresh[self._keep(rows, domain, split)] if filtered else fresh])
            if distinct:
                _, first = np.unique(self._group[self._col_rows[at.start + found]], return_index=True)
                found = found[np.sort(first)]
            seen, width = seen + len(rows), 4 * width
        found = found[:count]
        rows = self._col_rows[at.start + found].astype(np.int64)
        values = self._col_vals[at.start + found].astype(np.float32) * self._scale
        return self._shown(j, rows, values, domain, split)

    def _shown(
        self, j: int, rows: NDArray[np.int64], values: NDArray[np.float32], domain: str | None, split: str | None
    ) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "row": rows,
                "domain": pd.Categorical.from_codes(self._domain_codes(rows), pd.Index(self.domains)),
                "image": self._image[rows],
                "value": values,
                "group": self._group[rows],
                "copies": self._copies(j, rows, domain, split),
            }
        )

    def _domain_codes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        # Domains without rows share a start with the next one; `right` passes over them.
        starts = np.array([start for start, _ in self._spans.values()])
        return np.searchsorted(starts, rows, side="right") - 1

    def _copies(self, j: int, rows: NDArray[np.int64], domain: str | None, split: str | None) -> NDArray[np.int64]:
        if self._members is None or not len(rows):
            return np.ones(len(rows), dtype=np.int64)
        order, begins = self._members
        groups = self._group[rows]
        sizes = begins[groups + 1] - begins[groups]
        owner = np.repeat(np.arange(len(rows)), sizes)
        members = order[ranges(begins[groups], sizes)]
        fires = self._keep(members.astype(np.uint32), domain, split)
        owner, members = owner[fires], members[fires]
        counts = self._ptr[members + 1] - self._ptr[members]
        hit = self._idx[ranges(self._ptr[members], counts)] == j
        return np.bincount(np.repeat(owner, counts)[hit], minlength=len(rows)).astype(np.int64)

    def histogram(self, j: int, bins: int = 40, domain: str | None = None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """How often latent j fires how strongly: equal bins from 0 to its maximum over all domains.

        Returns: edges float64 [bins + 1], counts int64 [bins]; rows where it is silent are not counted, and a bin holds
            edge <= z < next edge, the last one its upper edge too. A latent that never fires has edges 0 to 1.
        """
        at = self._slice(j)
        values = self._col_vals[at]
        highest = float(values[0]) if len(values) else 1.0
        if domain is not None:
            values = values[self._keep(self._col_rows[at], domain, None)]
        edges = np.linspace(0.0, highest, bins + 1)
        # Sorted already, so counting is a search for the edges; bits of positive float16 sort as they do.
        inner = edges[1:-1].astype(np.float16)
        low = inner.astype(np.float64) < edges[1:-1]
        inner[low] = np.nextafter(inner[low], np.float16(np.inf))
        below = np.searchsorted(values[::-1].view(np.uint16), inner.view(np.uint16), side="left")
        counts = np.diff(np.concatenate([[0], below, [len(values)]]))
        return edges * float(self._scale), counts.astype(np.int64)

    def coactivation(self, j: int, count: int) -> pd.DataFrame:
        """The latents that fire on the same rows as j, by Jaccard index |A and B| / |A or B| of the rows where they fire.

        Returns: DataFrame latent, both (rows where both fire), jaccard; strongest first, at most `count`, without j itself.
        """
        rows, fired = self._col_rows[self._slice(j)], np.diff(self._col_ptr)
        if len(rows) > DENSE * self.n:
            both = by_column(j, rows, count, self.n, self._col_ptr, self._col_rows)
        else:
            both = by_row(rows, self.m, self._ptr, self._idx)
        both[j] = 0
        others = np.flatnonzero(both)
        jaccard = both[others] / (fired[others] + len(rows) - both[others])
        best = np.argsort(-jaccard, kind="stable")[:count]
        return pd.DataFrame({"latent": others[best], "both": both[others[best]], "jaccard": jaccard[best]})

    def quantile_bands(
        self,
        j: int,
        bands: int = 5,
        each: int = 4,
        rng: np.random.Generator | None = None,
        domain: str | None = None,
        split: str | None = None,
    ) -> pd.DataFrame:
        """Examples from each fifth of the rows where latent j fires, so that not only its extremes are seen.

        The firing rows, one a group, are cut by rank into `bands` parts of equal size; `each` rows of a part are drawn without
        replacement (the first ones when `rng` is None).

        Returns: DataFrame band (0 the strongest), row, domain, image, value, group; strongest first.
        """
        rows, values = self.postings(j, domain, split)
        _, first = np.unique(self._group[rows], return_index=True)
        first.sort()
        rows, values = rows[first], values[first]
        picked, band = [], []
        for b, part in enumerate(np.array_split(np.arange(len(rows)), bands)):
            take = part[:each] if rng is None or len(part) <= each else np.sort(rng.choice(part, each, replace=False))
            picked.append(take)
            band.append(np.full(len(take), b))
        chosen = np.concatenate(picked)
        table = self._shown(j, rows[chosen], values[chosen], domain, split).drop(columns="copies")
        table.insert(0, "band", np.concatenate(band))
        return table

    def silent(
        self, j: int, count: int, rng: np.random.Generator, domain: str | None = None, split: str | None = None
    ) -> NDArray[np.int64]:
        """Random rows where latent j does not fire, int64, drawn without replacement; at most `count`."""
        fired, _ = self.postings(j, domain, split)
        fired.sort()
        start, stop = self._span(domain)
        pool = None if split is None else start + np.flatnonzero(self._split[start:stop] == self._code(split))
        size = stop - start if pool is None else len(pool)
        at = fired - start if pool is None else np.searchsorted(pool, fired)
        free = size - len(at)
        ranks = rng.choice(free, min(count, free), replace=False)
        # The r-th place that is free lies behind as many firing places as precede it.
        places = ranks + np.searchsorted(at - np.arange(len(at)), ranks, side="right")
        return (places + start if pool is None else pool[places]).astype(np.int64)

    # ------------------------------------------------------------ all latents, one row

    @property
    def maxima(self) -> NDArray[np.float32]:
        """The largest activation of each latent, float32 [m]; 0 for one that never fires."""
        return self.stats["max"].to_numpy(np.float32)

    def alive(self) -> NDArray[np.int64]:
        """Ids of the latents that fire on any row, ascending."""
        return np.flatnonzero(np.diff(self._col_ptr)).astype(np.int64)

    def strongest(self, n: int) -> NDArray[np.int64]:
        """Ids of the n latents with the largest summed activation, strongest first; latents that never fire are left out."""
        total = self.stats["sum"].to_numpy()
        order = np.argsort(-total, kind="stable")[:n]
        return order[total[order] > 0].astype(np.int64)

    def row(self, i: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The code of row i: latent ids int64 and values float32, strongest first."""
        if not 0 <= i < self.n:
            raise InputError(f"no row {i}; these activations have rows 0 to {self.n - 1}")
        at = slice(int(self._ptr[i]), int(self._ptr[i + 1]))
        values = self._val[at].astype(np.float32) * self._scale
        order = np.argsort(-values, kind="stable")
        return self._idx[at].astype(np.int64)[order], values[order]

    def csr(self, start: int = 0, stop: int | None = None) -> scipy.sparse.csr_matrix:
        """The codes of rows start..stop as a scipy matrix, float32 [stop - start, m]; a copy of 8 bytes a code."""
        stop = self.n if stop is None else stop
        at = slice(int(self._ptr[start]), int(self._ptr[stop]))
        values = self._val[at].astype(np.float32) * self._scale
        pointers = self._ptr[start : stop + 1] - self._ptr[start]
        return scipy.sparse.csr_matrix((values, self._idx[at].astype(np.int32), pointers), shape=(stop - start, self.m))
