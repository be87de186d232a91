"""Accuracy, its paired uncertainty, and caption recall: one definition each, as functions of arrays.

R², L0, cosine, dead and dense fractions are defined where training needs them, in `sae.quality`, and re-exported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from sae_core.errors import InputError
from sae_core.sae.quality import Quality

__all__ = ["Flips", "Interval", "Quality", "accuracy", "bootstrap_mean", "caption_hits", "mcnemar", "unit"]

FLOATS = 8_000_000
"""Numbers held at once in a block of resamples or similarities (64 MB in float64)."""


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Flips(NamedTuple):
    """McNemar's test: images only the first got right, images only the second got right, and the two-sided p."""

    lost: int
    gained: int
    p: float


def accuracy(predicted: NDArray[np.integer[Any]], labels: NDArray[np.integer[Any]]) -> float:
    """Share of equal entries, in [0, 1]; NaN for no entry."""
    return float(np.mean(predicted == labels)) if len(labels) else float("nan")


def bootstrap_mean(
    values: NDArray[Any],
    resamples: int,
    rng: np.random.Generator,
    groups: NDArray[np.integer[Any]] | None = None,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap interval of a mean, resampling groups of rows that belong together.

    With g groups of sum s_g and size n_g, each resample draws g groups with replacement and takes sum(s) / sum(n). Without
    `groups` a row is its own group, and this is the plain bootstrap of the mean. For a paired difference of two classifiers
    give correct_b - correct_a: then rows are resampled with both answers together.

    Resampling rows and counting how often each distinct (s, n) came up is one multinomial draw over the distinct pairs, so
    that is what is drawn: the same distribution, at a cost that does not grow with the rows.

    Args:
        values: [n], one number a row.
        resamples: bootstrap resamples.
        rng: source of randomness.
        groups: int [n], rows of equal number are drawn together (near-duplicate pictures are not independent evidence).
        level: coverage wanted.

    Returns: the interval in the values' unit; NaN ends for no rows.

    Source: Efron & Tibshirani 1993, chapters 8 and 13.
    """
    values = np.asarray(values, dtype=np.float64)
    return bootstrap_ratio(values, np.ones(len(values)), resamples, rng, groups, level)


def bootstrap_ratio(
    top: NDArray[Any],
    bottom: NDArray[Any],
    resamples: int,
    rng: np.random.Generator,
    groups: NDArray[np.integer[Any]] | None = None,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap interval of Σ top / Σ bottom, rows (or groups of rows) resampled with both numbers together.

    Args as for `bootstrap_mean`, which is the case of a `bottom` of ones. A resample whose denominator is 0 is left out.

    Returns: the interval; NaN ends for no rows, or when the denominator is 0 in every resample.
    """
    if len(top) == 0:
        return Interval(float("nan"), float("nan"))
    pairs = np.stack([top, bottom], axis=1).astype(np.float64)
    if groups is not None:
        _, member = np.unique(groups, return_inverse=True)
        pairs = np.stack([np.bincount(member, weights=column) for column in pairs.T], axis=1)
    kinds, counts = np.unique(pairs, axis=0, return_counts=True)
    drawn = int(counts.sum())
    ratios = np.empty(resamples)
    block = max(1, FLOATS // len(kinds))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        sums = rng.multinomial(drawn, counts / drawn, size=size) @ kinds
        ratios[start : start + size] = np.divide(sums[:, 0], sums[:, 1], out=np.full(size, np.nan), where=sums[:, 1] != 0)
    if np.isnan(ratios).all():
        return Interval(float("nan"), float("nan"))
    low, high = np.nanquantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def mcnemar(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Flips:
    """Exact McNemar test of two classifiers on the same images.

    Of the images on which exactly one is right, the second's share is 1/2 if neither is better:
    p = min(1, 2 P[Binomial(lost + gained, 1/2) <= min(lost, gained)]); 1 when nothing flipped.

    Args:
        before: bool [n], the first classifier is right.
        after: bool [n], the second is.

    Source: McNemar 1947; the exact form, which needs no continuity correction at any n.
    """
    lost, gained = int(np.sum(before & ~after)), int(np.sum(after & ~before))
    p = float(binomtest(gained, lost + gained, 0.5).pvalue) if lost + gained else 1.0
    return Flips(lost, gained, p)


def unit(rows: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Rows divided by their length; a zero row stays zero (it has no direction, all its cosines are 0)."""
    rows = np.asarray(rows, dtype=np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    out: NDArray[np.float32] = np.zeros_like(rows)
    np.divide(rows, length, out=out, where=length > 0)
    return out


def caption_hits(
    x: NDArray[np.float32], own: NDArray[np.int64], captions: NDArray[np.float32], ks: Sequence[int]
) -> NDArray[np.float64]:
    """Whether each image's own caption is among its k nearest of all distinct captions.

    With g captions strictly nearer than its own and t - 1 exactly as near, a hit counts min(1, max(0, (k - g) / t)): 0 or 1
    without ties, else the expectation when ties are broken at random. (So an encoder that maps all images to nothing scores
    chance, not 1.) recall@k is the mean over images.

    Args:
        x: float [n, d], raw image embeddings.
        own: int64 [n], which caption is the image's own.
        captions: float [c, d], raw embeddings of the c DISTINCT captions.
        ks: the numbers of captions looked at.

    Returns: float64 [n, len(ks)], in [0, 1].
    Raises: InputError when widths differ.
    """
    if x.shape[1] != captions.shape[1]:
        raise InputError(f"images are {x.shape[1]} wide, captions {captions.shape[1]}: embed both with the same CLIP")
    texts = unit(captions)
    hits = np.empty((len(x), len(ks)))
    block = max(1, FLOATS // max(len(texts), 1))
    for start in range(0, len(x), block):
        rows = slice(start, start + block)
        cosine = unit(x[rows]) @ texts.T
        mine = np.take_along_axis(cosine, own[rows, None], axis=1)
        nearer = (cosine > mine).sum(axis=1)[:, None]
        tied = (cosine == mine).sum(axis=1)[:, None]
        hits[rows] = np.clip((np.asarray(ks)[None] - nearer) / tied, 0.0, 1.0)
    return hits
