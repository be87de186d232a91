"""Which pictures a vision model is shown to find a name, and which others the name is tested on.

Naming sees the explain half of the images, testing the score half, and near-duplicates are in the same half (`evidence.py`), so
a name is never tested on a picture it was made from. In either set a group of near-duplicates is one picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sae_core.config import VisionConfig
from sae_core.interpret.evidence import Evidence, Rows

Role = Literal["top", "quantile", "positive", "near_miss", "random"]
DECILES = 10


@dataclass(frozen=True)
class Item:
    """One picture of a set: its row in the activation store, why it is there, and how strongly it fires the latent (0: not)."""

    row: int
    role: Role
    value: float

    @property
    def fires(self) -> bool:
        """Whether the latent fires on it."""
        return self.role in ("top", "quantile", "positive")


@dataclass(frozen=True)
class Sets:
    """What a latent is explained from and what its name is tested on; `lacking` says why there are none."""

    latent: int
    explain: tuple[Item, ...]
    score: tuple[Item, ...]
    lacking: str = ""


class SetMaker:
    """Draws the sets of any latent; the same seed and latent give the same sets, whichever other latents are asked for."""

    def __init__(self, evidence: Evidence, shows: NDArray[np.bool_], sizes: VisionConfig, seed: int) -> None:
        """
        Args:
            evidence: images in two halves.
            shows: bool [n], whether a row has a picture to be shown.
            sizes: how many pictures of each kind.
            seed: for everything that is drawn.
        """
        self.sizes = sizes
        self._evidence = evidence
        self._seed = seed
        self._group = evidence.activations.images["group"].to_numpy(np.int64)
        self._length = np.maximum(np.linalg.norm(evidence.x, axis=1), np.finfo(np.float32).tiny)
        self._shows = shows
        self._heads = {half: self._first_of_groups(shows & (evidence.explain == half)) for half in (True, False)}

    def _first_of_groups(self, allowed: NDArray[np.bool_]) -> Rows:
        """The first allowed row of each group, ascending."""
        rows = np.flatnonzero(allowed)
        _, first = np.unique(self._group[rows], return_index=True)
        return np.asarray(rows[np.sort(first)])

    def sets(self, latent: int) -> Sets:
        """The explain and the score set of a latent, or what it lacks for them.

        Positives of the score set are as many of each tenth of the firing images, by activation. A near-miss is an image whose
        group never fires the latent, with the highest cosine to the centroid of the images of its half that do.

        Raises: InputError for a latent the dictionary does not have.
        """
        sizes, rng = self.sizes, np.random.default_rng([self._seed, latent])
        rows, values = self._evidence.activations.postings(latent)
        silent = np.isin(self._group, self._group[rows], invert=True)
        shown, shown_values = self._firing(rows, values, explain=True)
        tested, tested_values = self._firing(rows, values, explain=False)
        others = {half: heads[silent[heads]] for half, heads in self._heads.items()}
        lacking = _lacking(sizes, len(shown), len(tested), len(others[True]), len(others[False]))
        if lacking:
            return Sets(latent, (), (), lacking)
        middle = _spread(np.arange(sizes.explain_top, len(shown)), max(1, sizes.explain_quantile), sizes.explain_quantile, rng)
        spread = _spread(np.arange(len(tested)), DECILES, sizes.score_positives, rng)
        explain = [
            *_items(shown[: sizes.explain_top], "top", shown_values),
            *_items(shown[middle], "quantile", shown_values[middle]),
            *self._negatives(shown, others[True], sizes.explain_near_misses, sizes.explain_random, rng),
        ]
        score = [
            *_items(tested[spread], "positive", tested_values[spread]),
            *self._negatives(tested, others[False], sizes.score_near_misses, sizes.score_random, rng),
        ]
        return Sets(latent, tuple(explain), tuple(score))

    def _firing(self, rows: Rows, values: NDArray[np.float32], explain: bool) -> tuple[Rows, NDArray[np.float32]]:
        """Firing rows of a half that can be shown, strongest first, the strongest of each group."""
        keep = self._shows[rows] & (self._evidence.explain[rows] == explain)
        rows, values = rows[keep], values[keep]
        _, first = np.unique(self._group[rows], return_index=True)
        first.sort()
        return rows[first], values[first]

    def _negatives(self, firing: Rows, others: Rows, near: int, rest: int, rng: np.random.Generator) -> list[Item]:
        x, length = self._evidence.x, self._length
        centroid = (x[firing] / length[firing, None]).mean(axis=0)
        order = np.argsort(-(x[others] @ centroid) / length[others], kind="stable")
        drawn = rng.choice(np.sort(order[near:]), rest, replace=False)
        return [*_items(others[order[:near]], "near_miss"), *_items(others[drawn], "random")]


def _lacking(sizes: VisionConfig, shown: int, tested: int, shown_silent: int, tested_silent: int) -> str:
    """What a latent has too few of, in words, or nothing. Counts are distinct pictures."""
    needed = sizes.explain_top + sizes.explain_quantile
    if tested < sizes.score_positives:
        return f"fires on {tested} distinct held-out pictures; a test needs {sizes.score_positives}"
    if shown < needed:
        return f"fires on {shown} distinct pictures beside the held-out ones; naming needs {needed}"
    if tested_silent < (needed := sizes.score_near_misses + sizes.score_random):
        return f"is silent on {tested_silent} held-out pictures; a test needs {needed}"
    if shown_silent < (needed := sizes.explain_near_misses + sizes.explain_random):
        return f"is silent on {shown_silent} pictures beside the held-out ones; naming needs {needed}"
    return ""


def _spread(ranks: Rows, parts: int, total: int, rng: np.random.Generator) -> Rows:
    """`total` of the ranks, ascending: as many of each of `parts` equal parts as goes, what is over from the first ones."""
    each, more = divmod(total, parts)
    wanted = [each + (i < more) for i in range(parts)]
    pieces = np.array_split(ranks, parts)
    drawn = [rng.choice(piece, min(n, len(piece)), replace=False) for piece, n in zip(pieces, wanted, strict=True)]
    taken = np.concatenate([*drawn, np.empty(0, dtype=np.int64)])
    rest = np.setdiff1d(ranks, taken)  # where a part has fewer than its share, any other rank stands in
    return np.sort(np.concatenate([taken, rng.choice(rest, total - len(taken), replace=False)])).astype(np.int64)


def _items(rows: Rows, role: Role, values: NDArray[np.float32] | None = None) -> list[Item]:
    return [Item(int(row), role, 0.0 if values is None else float(values[i])) for i, row in enumerate(rows)]
