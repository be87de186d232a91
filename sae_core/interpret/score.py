"""CLIP consistency: does a latent's name predict which unseen images fire it?

An image scores cos(x_i, contrast of the name); AUROC is the chance that an image that fires the latent scores above one that
does not. It is measured on images that naming has not seen, against all that do not fire and against near-misses. The same CLIP
made the features, the names and this score, so it tests whether the name fits the latent in CLIP's eyes, not in ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import rankdata

from sae_core.evaluate.metrics import unit

CIRCULARITY = (
    "CLIP consistency is circular: the same CLIP made the features, chose the names and scores them. "
    "It says that a name fits the latent in CLIP's eyes on images it was not named from; it is no human judgement."
)
MIN_IMAGES = 20
"""Distinct held-out positives (and negatives) below which nothing is scored."""
SWAPS = 50
BOOTSTRAP = 500
PERMUTATIONS = 1000
BLOCK = 16_000_000

Rows = NDArray[np.int64]
RETRIEVED = 10
"""Held-out images that a name retrieves, for the share of them that fire the latent."""
COLUMNS = ("score", "ci_low", "ci_high", "near_miss_auroc", "p", "swap_gap", "retrieval")


def consistency(
    x: NDArray[np.float32],
    positives: Sequence[Rows],
    names: NDArray[np.int64],
    contrasts: NDArray[np.float32],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Score every latent's name on held-out images.

    Args:
        x: float32 [n, d] raw embeddings of the score half, near-duplicates once.
        positives: for each of L latents, the rows of `x` that fire it.
        names: int64 [L], the name of each (index into `contrasts`).
        contrasts: float32 [v, d], unit(t_w - generic) of every word.
        rng: for the bootstrap, the permutations and the choice of swapped labels.

    Returns:
        L rows: `positives`, `negatives` (counts), `score` (AUROC of positives against all negatives, 0 to 1), `ci_low`,
        `ci_high` (95 % bootstrap), `near_miss_auroc`, `p` (one-sided permutation), `swap_gap` (own AUROC minus the mean
        AUROC of up to 50 other latents' names, -1 to 1), `retrieval` (share of the 10 images nearest to the name that fire the
        latent, 0 to 1; positives / all by chance). All but the counts are NaN below 20 positives or 20 negatives, and
        `swap_gap` where no other name is at hand.
    """
    counts = np.array([len(rows) for rows in positives], dtype=np.int64)
    out = pd.DataFrame({"positives": counts, "negatives": len(x) - counts})
    for column in COLUMNS:
        out[column] = np.nan
    able = np.flatnonzero((counts >= MIN_IMAGES) & (len(x) - counts >= MIN_IMAGES))
    if not len(able):
        return out
    units = unit(x)
    chosen = [positives[int(j)] for j in able]
    fires = _membership(chosen, len(x))
    used, own = np.unique(names[able], return_inverse=True)
    areas = aurocs(units, fires, contrasts[used])
    mine = areas[np.arange(len(able)), own]
    errors = bootstrap_errors(units, chosen, contrasts[names[able]], rng)
    low, high = np.percentile(errors, [2.5, 97.5], axis=0)
    found = {
        "score": mine,
        "ci_low": np.clip(mine + low, 0, 1),
        "ci_high": np.clip(mine + high, 0, 1),
        "near_miss_auroc": near_miss_aurocs(units, chosen, contrasts[names[able]]),
        "p": permutation_p(mine, counts[able], len(x), rng),
        "swap_gap": mine - _swapped(areas, own, rng),
        "retrieval": retrieval(units, chosen, contrasts[names[able]]),
    }
    for column in COLUMNS:
        values = np.full(len(out), np.nan)
        values[able] = found[column]
        out[column] = values
    return out


def _membership(positives: Sequence[Rows], n: int) -> csr_array:
    indptr = np.concatenate([[0], np.cumsum([len(rows) for rows in positives])])
    indices = np.concatenate([*positives, np.empty(0, dtype=np.int64)])
    return csr_array((np.ones(len(indices)), indices, indptr), shape=(len(positives), n))


def auroc(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    """P(a positive scores above a negative) + ½ P(they tie): the Mann-Whitney statistic over n_pos n_neg, 0 to 1.

    >>> auroc(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    0.875
    """
    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    return float((ranks.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative)))


def aurocs(units: NDArray[np.float32], fires: csr_array, contrasts: NDArray[np.float32]) -> NDArray[np.float64]:
    """AUROC of every latent with every word, float64 [L, w]: one ranking a word, one sparse product for all latents.

    Args:
        units: float32 [n, d] unit rows.
        fires: sparse [L, n], 1 where the image fires the latent.
        contrasts: float32 [w, d] unit rows.
    """
    count = np.asarray(fires.sum(axis=1), dtype=np.float64)[:, None]
    areas = np.empty((fires.shape[0], len(contrasts)))
    size = max(1, BLOCK // len(units))
    for start in range(0, len(contrasts), size):
        block = slice(start, start + size)
        ranks = rankdata(units @ contrasts[block].T, axis=0)
        areas[:, block] = (fires @ ranks - count * (count + 1) / 2) / (count * (len(units) - count))
    return areas


def near_miss_aurocs(
    units: NDArray[np.float32], positives: Sequence[Rows], contrasts: NDArray[np.float32]
) -> NDArray[np.float64]:
    """AUROC of positives against near-misses, float64 [L].

    A near-miss does not fire the latent though it is among those closest to the positives' centroid; there are as many as
    positives (or all negatives, where those are fewer).
    """
    out = np.empty(len(positives))
    size = max(1, BLOCK // len(units))
    for start in range(0, len(positives), size):
        block = positives[start : start + size]
        centroids = unit(np.stack([units[rows].mean(axis=0) for rows in block]))
        closeness = centroids @ units.T
        scores = contrasts[start : start + size] @ units.T
        for i, rows in enumerate(block):
            closeness[i, rows] = -np.inf
            count = min(len(rows), len(units) - len(rows))
            misses = np.argpartition(-closeness[i], count - 1)[:count]
            out[start + i] = auroc(scores[i, rows], scores[i, misses])
    return out


def retrieval(units: NDArray[np.float32], positives: Sequence[Rows], contrasts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Precision at 10: of the images nearest to a name, the share that fires its latent, float64 [L] in 0 to 1.

    AUROC asks about all images, this about the first ones: what somebody gets who searches the pictures by the name.
    """
    out = np.empty(len(positives))
    count = min(RETRIEVED, len(units))
    size = max(1, BLOCK // len(units))
    for start in range(0, len(positives), size):
        closeness = contrasts[start : start + size] @ units.T
        nearest = np.argpartition(-closeness, count - 1, axis=1)[:, :count]
        for i, rows in enumerate(nearest):
            out[start + i] = np.isin(rows, positives[start + i]).mean()
    return out


def placements(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each positive's share of negatives below it, and each negative's share of positives above it (ties ½).

    The mean of either is the AUROC. Source: DeLong et al. 1988.
    """
    of_positive, of_negative = np.sort(positive), np.sort(negative)
    below = np.searchsorted(of_negative, positive, "left") + np.searchsorted(of_negative, positive, "right")
    under = np.searchsorted(of_positive, negative, "left") + np.searchsorted(of_positive, negative, "right")
    return below / (2 * len(negative)), 1 - under / (2 * len(positive))


def bootstrap_errors(
    units: NDArray[np.float32],
    positives: Sequence[Rows],
    contrasts: NDArray[np.float32],
    rng: np.random.Generator,
    draws: int = BOOTSTRAP,
) -> NDArray[np.float64]:
    """Bootstrap deviations of each AUROC from its value, float64 [draws, L]; add the AUROC and take percentiles.

        A* - A = Σ_i w_i (P_i - A) / Σ_i w_i  over positives  +  the same over negatives,   w ~ Poisson(1) for each image

    P are the placements. This is the bootstrap of the AUROC's linear part (its Hájek projection): resampling AUROC itself
    would sort every latent's scores again for every draw. Weights are shared by all latents, so the draws are one product.
    """
    deviations = np.zeros((draws, len(positives)))
    weights_seed = int(rng.integers(2**63))
    size = max(1, BLOCK // len(units))
    for start in range(0, len(positives), size):
        block = positives[start : start + size]
        fires = _membership(block, len(units)).T.toarray().astype(bool)
        influence = np.zeros(fires.shape, dtype=np.float32)
        scores = units @ contrasts[start : start + size].T
        for i, rows in enumerate(block):
            rest = np.flatnonzero(~fires[:, i])
            above, under = placements(scores[rows, i], scores[rest, i])
            influence[rows, i] = above - above.mean()
            influence[rest, i] = under - under.mean()
        deviations[:, start : start + size] = _weighted(influence, fires, np.random.default_rng(weights_seed), draws)
    return deviations


def _weighted(
    influence: NDArray[np.float32], fires: NDArray[np.bool_], rng: np.random.Generator, draws: int
) -> NDArray[np.float64]:
    sums = np.zeros((4, draws, fires.shape[1]))
    size = max(1, BLOCK // draws)
    for start in range(0, len(fires), size):  # Poisson weights are independent, so any number of images goes through in pieces
        rows = slice(start, start + size)
        weights = rng.poisson(1.0, (draws, len(fires[rows]))).astype(np.float32)
        on = fires[rows].astype(np.float32)
        sums[0] += weights @ (influence[rows] * on)
        sums[1] += weights @ on
        sums[2] += weights @ (influence[rows] * (1 - on))
        sums[3] += weights.sum(axis=1, keepdims=True) - weights @ on
    return np.asarray(sums[0] / np.maximum(sums[1], 1) + sums[2] / np.maximum(sums[3], 1))


def permutation_p(
    areas: NDArray[np.float64], counts: NDArray[np.int64], n: int, rng: np.random.Generator, draws: int = PERMUTATIONS
) -> NDArray[np.float64]:
    """One-sided permutation p of each AUROC, float64 [L] in [1 / (draws + 1), 1]: (1 + #{permuted >= own}) / (draws + 1).

    Permuting which images fire depends on the scores only through their ranks, so one set of permutations of 1..n serves all
    latents: the first n_pos of each give the null of a latent with n_pos positives. (With ties the true null is a little
    narrower, so p errs on the safe side.)

    Args:
        areas: float64 [L] observed AUROCs.
        counts: int64 [L], positives of each.
        n: images in all.
        rng: the generator.
        draws: permutations.
    """
    distinct, which = np.unique(counts, return_inverse=True)
    null = np.empty((draws, len(distinct)))
    for draw in range(draws):
        sums = np.cumsum(rng.permutation(n)[: distinct[-1]] + 1)[distinct - 1]
        null[draw] = (sums - distinct * (distinct + 1) / 2) / (distinct * (n - distinct))
    null.sort(axis=0)
    at_least = np.array([draws - np.searchsorted(null[:, c], area - 1e-12) for c, area in zip(which, areas, strict=True)])
    return np.asarray((1 + at_least) / (draws + 1))


def _swapped(areas: NDArray[np.float64], own: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Mean AUROC of each latent with the names of up to 50 other latents that are called otherwise; NaN where none is."""
    out = np.full(len(own), np.nan)
    for j in range(len(own)):
        others = own[own != own[j]]
        if len(others):
            out[j] = areas[j, rng.choice(others, size=min(SWAPS, len(others)), replace=False)].mean()
    return out
