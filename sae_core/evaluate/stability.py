"""Would another seed have found the same latents? Two measures over the decoders of dictionaries that differ by seed only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from sae_core.errors import InputError
from sae_core.evaluate.metrics import unit
from sae_core.sae.sweep import Swept

ROWS = 1024
"""Decoder rows whose cosines are made at once."""
MEMORY = 4 * 2**30
"""Bytes the cosines of one pair may take (float64, all alive by all alive): 22,000 latents."""

SETTINGS = ["architecture", "k", "l1", "width", "lr"]
"""What members of a sweep have in common that differ only in their seed."""

Matrix = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Stability:
    """Seed stability over all pairs of dictionaries.

    Attributes:
        matched: mean over pairs of the mean cosine of matched latents (each has one partner, min of the two alive counts).
        mmcs: mean over ordered pairs of mean_j max_k cos(D_j, D'_k) (several latents may have the same partner).
        pairs: matched mean of each pair (a, b), a < b.
        best: float64 [m] for each dictionary, mean over the others of max_k cos(D_j, D'_k); NaN for its dead latents.
        alive: alive latents of each dictionary.
    """

    matched: float
    mmcs: float
    pairs: dict[tuple[int, int], float]
    best: tuple[NDArray[np.float64], ...]
    alive: tuple[int, ...]

    def metrics(self) -> dict[str, float]:
        """stability_matched, stability_mmcs, stability_dictionaries."""
        return {
            "stability_matched": self.matched,
            "stability_mmcs": self.mmcs,
            "stability_dictionaries": float(len(self.alive)),
        }


def stability(decoders: Sequence[Matrix], alive: Sequence[NDArray[np.bool_]] | None = None) -> Stability:
    """Hungarian-matched cosine and MMCS between dictionaries.

        matched = max over one-to-one π of mean_j cos(D_j, D'_π(j)),    MMCS = mean_j max_k cos(D_j, D'_k)

    Args:
        decoders: float [m, d] of two or more dictionaries; rows are directions, their lengths do not matter.
        alive: bool [m] each, latents that fire on a named split; None: all.

    Raises: InputError on fewer than two dictionaries, other widths, none alive, or cosines that would not fit in memory.
    Source: Sharkey et al. 2022 (MMCS); Paulo & Belrose 2025 (arXiv:2501.16615) for the matching. MSAE matches encoder rows and
        keeps dead latents; give those as `decoders` and no `alive` for its convention.
    """
    if len(decoders) < 2 or len({d.shape[1] for d in decoders}) != 1:
        shapes = ", ".join(str(list(d.shape)) for d in decoders)
        raise InputError(f"stability compares two or more dictionaries of one width; given {shapes or 'none'}")
    masks = [np.ones(len(d), dtype=bool) for d in decoders] if alive is None else list(alive)
    if [len(mask) for mask in masks] != [len(d) for d in decoders] or not all(mask.any() for mask in masks):
        raise InputError("give one alive flag a latent of each dictionary, with at least one alive in each")
    rows = [unit(d[mask]) for d, mask in zip(decoders, masks, strict=True)]
    sums = [np.zeros(len(r)) for r in rows]
    pairs = {}
    for a, b in combinations(range(len(rows)), 2):
        loss = _negative_cosines(rows[a], rows[b])
        sums[a] -= loss.min(axis=1)
        sums[b] -= loss.min(axis=0)
        pairs[a, b] = -float(loss[linear_sum_assignment(loss)].mean())
    others = len(rows) - 1
    best = tuple(_spread(total / others, mask) for total, mask in zip(sums, masks, strict=True))
    mmcs = float(np.mean([total.mean() / others for total in sums]))
    return Stability(float(np.mean(list(pairs.values()))), mmcs, pairs, best, tuple(len(r) for r in rows))


def _negative_cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    # scipy's solver works on float64 and copies when asked to maximise.
    need = len(a) * len(b) * 8
    if need > MEMORY:
        raise InputError(
            f"matching {len(a)} with {len(b)} latents takes {need / 2**30:.1f} GiB, more than {MEMORY / 2**30:.0f}; mark only "
            "the latents that fire most as alive"
        )
    out = np.empty((len(a), len(b)))
    for start in range(0, len(a), ROWS):
        out[start : start + ROWS] = -(a[start : start + ROWS] @ b.T)
    return out


def _spread(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    out = np.full(len(mask), np.nan)
    out[mask] = values
    return out


def seed_groups(table: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of a sweep's table that differ in nothing but the seed, for all settings tried with two seeds or more."""
    groups = (group for _, group in table.groupby(SETTINGS, dropna=False, sort=False))
    return [group for group in groups if group["seed"].nunique() > 1]


def stability_of(swept: Swept) -> pd.DataFrame:
    """Seed stability of a sweep: of every group of members that differ in nothing but the seed.

    Only latents that fire on a train or test row are matched; the others never left where their seed put them.

    Returns: DataFrame architecture, k, l1, width, lr, seeds (dictionaries compared), matched, least, greatest (over
        the pairs of seeds), mmcs, alive (mean alive latents a dictionary), note. Where stability cannot be measured its numbers
        are NaN and the note says why. No row when no two members differ in the seed only.
    Raises: DamagedArtifact when the artifact cannot be read.
    """
    found = []
    for members in seed_groups(swept.table):
        names = members["name"].tolist()
        alive = [swept.counts(name) > 0 for name in names]
        row: dict[str, Any] = {**{name: members[name].iloc[0] for name in SETTINGS}, "seeds": len(names)}
        numbers: dict[str, Any] = dict.fromkeys(("matched", "least", "greatest", "mmcs"), float("nan"))
        note = ""
        try:
            among = stability([swept.sae(name).decoder.cpu().numpy() for name in names], alive)
            pairs = among.pairs.values()
            numbers = {"matched": among.matched, "least": min(pairs), "greatest": max(pairs), "mmcs": among.mmcs}
        except InputError as error:
            note = str(error)
        found.append({**row, **numbers, "alive": float(np.mean([mask.sum() for mask in alive])), "note": note})
    columns = [*SETTINGS, "seeds", "matched", "least", "greatest", "mmcs", "alive", "note"]
    return pd.DataFrame(found, columns=columns)
