"""Naming with no key: which word a latent's direction points at, and when to say that none does.

A latent is a direction in CLIP's space, and so is a word. Two cues are fused by rank: the cosine of the two directions, and
SoftWPMI, how much better the word fits the images that fire the latent than it fits other latents' images. A name is given only
where the cosine is one that random directions hardly ever reach with any word at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from sae_core.errors import InputError
from sae_core.evaluate.metrics import unit
from sae_core.interpret.vocabulary import Vocabulary

TOP_K = 100
SHARPNESS = 10.0
LAMBDA = 1.0
P_START, P_END = 0.998, 0.97
FLOOR = 1e-7
SAMPLE = 8192
"""Images whose covariance random directions of the data have."""
BLOCK = 16_000_000
"""Numbers in the largest temporary array (latents x images x words), which bounds memory."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Naming:
    """What naming found for L latents.

    Attributes:
        words: int64 [L, a], the best words by fused rank, best first (indices into the vocabulary).
        cosines: float32 [L, a], cosine of the latent's direction with each of them.
        threshold: a best word whose cosine is below this is no name.
    """

    words: NDArray[np.int64]
    cosines: NDArray[np.float32]
    threshold: float

    @property
    def named(self) -> NDArray[np.bool_]:
        """bool [L]: whether the best word reaches the threshold."""
        return np.asarray(self.cosines[:, 0] >= self.threshold)


def name_latents(
    directions: NDArray[np.float32],
    vocabulary: Vocabulary,
    x: NDArray[np.float32],
    tops: Sequence[Rows],
    rng: np.random.Generator,
    *,
    percentile: float = 99.0,
    random_directions: int = 500,
    reference: Sequence[Rows] | None = None,
    alternatives: int = 5,
) -> Naming:
    """Name latents by fused rank of cosine and SoftWPMI, with abstention.

    Args:
        directions: float32 [L, d], the latents' decoder rows in raw embedding units (`sae.decoder_raw`): this is σ ⊙ D_j.
        vocabulary: v words with their directions.
        x: float32 [n, d] raw embeddings of the images that may be looked at (the explain half).
        tops: for each latent the rows of `x` that fire it, strongest first; may be empty (then the cosine alone ranks).
        rng: for the random directions.
        percentile: of the maximum cosine over the vocabulary, taken over random directions; below it there is no name.
        random_directions: how many.
        reference: tops of the latents that SoftWPMI compares with; None means `tops` (all latents that are named).
        alternatives: how many words to return for each.

    Returns: a Naming; `.named` says which got a name.

    Raises:
        InputError: shapes that do not fit, or no latent.

    Source: CLIP-Dissect (arXiv:2204.10965) for SoftWPMI, with another prior, see `soft_wpmi`. DN-CBM (arXiv:2407.14499) takes the
    uncentred argmax of the cosine and always names.
    """
    if directions.ndim != 2 or x.ndim != 2 or not directions.shape[1] == x.shape[1] == vocabulary.texts.shape[1]:
        shapes = f"{directions.shape}, {x.shape}, {vocabulary.texts.shape}"
        raise InputError(f"latent, image and text directions have shapes {shapes}; all must share the CLIP's width")
    if not len(directions) or len(tops) != len(directions):
        raise InputError(
            f"{len(directions)} latents but {len(tops)} lists of images; give one list for each, and at least one latent"
        )
    units = unit(x)
    seen = [rows for rows in (tops if reference is None else reference) if len(rows)]
    compared = log_likelihood(units, vocabulary.texts, seen)
    count = min(alternatives, len(vocabulary.words))
    words = np.empty((len(directions), count), dtype=np.int64)
    cosines = np.empty((len(directions), count), dtype=np.float32)
    size = max(1, BLOCK // len(vocabulary.words))
    for start in range(0, len(directions), size):  # in blocks, since latents x words need not fit in memory
        block = slice(start, start + size)
        cosine = unit(directions[block]) @ vocabulary.directions.T
        wpmi = np.zeros_like(cosine)
        # A latent without an image has no evidence: all words tie for it, and the cosine ranks.
        shown = np.array([len(rows) > 0 for rows in tops[block]])
        if shown.any():
            fit = log_likelihood(units, vocabulary.texts, [rows for rows in tops[block] if len(rows)])
            wpmi[shown] = soft_wpmi(fit, compared if len(seen) else fit)
        words[block] = np.argsort(fuse(cosine, wpmi), axis=1, kind="stable")[:, :count]
        cosines[block] = np.take_along_axis(cosine, words[block], axis=1)
    return Naming(words, cosines, abstention_threshold(vocabulary, rng, percentile, random_directions))


# ---------------------------------------------------------------- the two cues


def log_likelihood(x: NDArray[np.float32], texts: NDArray[np.float32], tops: Sequence[Rows]) -> NDArray[np.float32]:
    """log P(images of the latent | word), CLIP-Dissect's soft intersection.

        L[j, w] = K · mean over ranks r of log(1 + p_r (P(w | x_{j,r}) - 1)),   P(w | x) = softmax_w(a cos(x, t_w))

    p_r falls from 0.998 at the strongest image to 0.97 at rank K = 100, a = 10. CLIP-Dissect sums over exactly K images;
    a latent that fires on fewer has only its own counted, scaled to K so that latents stay comparable.

    Args:
        x: float32 [n, d] unit rows.
        texts: float32 [v, d] unit rows, uncentred.
        tops: rows of `x`, strongest first, for each of L latents; the first 100 are used.

    Returns: float32 [L, v], 0 where a latent has no image.
    """
    out = np.zeros((len(tops), len(texts)), dtype=np.float32)
    weight = (P_START - np.arange(TOP_K) / TOP_K * (P_START - P_END)).astype(np.float32)
    for chosen, rows, mask in _blocks(tops, max(texts.shape)):
        images, place = np.unique(rows, return_inverse=True)
        # Cosines are bounded, so exp needs no shift. Each image's softmax is made once, however many latents it fires.
        by_image = np.exp(SHARPNESS * (x[images] @ texts.T))
        by_image /= by_image.sum(axis=1, keepdims=True)
        likely = by_image[place.reshape(rows.shape)]
        # (1 - p) + p P rather than 1 + p (P - 1): the same, without losing a small P to rounding.
        likely *= weight[None, : rows.shape[1], None]
        likely += (1 - weight)[None, : rows.shape[1], None] + np.float32(FLOOR)
        total = np.einsum("lkv,lk->lv", np.log(likely, out=likely), mask)
        counts = mask.sum(axis=1, keepdims=True)
        out[chosen] = np.divide(total * TOP_K, counts, out=np.zeros_like(total), where=counts > 0)
    return out


def _blocks(tops: Sequence[Rows], width: int) -> Iterator[tuple[slice, Rows, NDArray[np.float32]]]:
    """Latents in blocks: (which, rows [l, k] padded with 0, mask [l, k] of what is no padding)."""
    size = max(1, BLOCK // (TOP_K * width))
    for start in range(0, len(tops), size):
        block = [rows[:TOP_K] for rows in tops[start : start + size]]
        most = max(1, *(len(rows) for rows in block))
        padded = np.zeros((len(block), most), dtype=np.int64)
        mask = np.zeros((len(block), most), dtype=np.float32)
        for i, rows in enumerate(block):
            padded[i, : len(rows)] = rows
            mask[i, : len(rows)] = 1
        yield slice(start, start + len(block)), padded, mask


def soft_wpmi(fit: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float32]:
    """L[j, w] - λ mean over reference latents of L[·, w], λ = 1: how much better a word fits a latent's images than others'.

    CLIP-Dissect's prior is log mean exp L, the arithmetic mean of likelihoods. With likelihoods of a hundred images that mean is
    all but the maximum: the one latent a word fits best sets the word's prior, and words that fit nothing come out even with
    those that fit. The geometric mean, which this is, names far more latents rightly where the truth is known.

    Args:
        fit: float32 [L, v] from `log_likelihood`.
        reference: float32 [R, v], the same for the latents to compare with.

    Returns: float32 [L, v].
    """
    return np.asarray(fit - LAMBDA * reference.mean(axis=0), dtype=np.float32)


def fuse(cosine: NDArray[np.float32], wpmi: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean of a word's two ranks for each latent, float64 [L, v]; the smallest is best, ties go to the larger cosine."""
    ranks = (rankdata(-cosine, axis=1) + rankdata(-wpmi, axis=1)) / 2
    # Mean ranks differ by at least a quarter, tenths of cosines by at most a fifth: the cosine only decides between equals.
    return np.asarray(ranks - 0.1 * cosine, dtype=np.float64)


# ---------------------------------------------------------------- abstention


def random_directions(kind: str, count: int, x: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Random unit directions, to compare latents with.

    `isotropic` is uniform on the sphere, a direction that means nothing. `data` is Gaussian with the covariance of the
    embeddings, unit(Σ_i g_i (x_i - mean)): a random mixture of what does vary among images.

    Args:
        kind: `isotropic` or `data`.
        count: how many.
        x: float32 [n, d] raw embeddings; only their width matters for `isotropic`.
        rng: the generator.

    Returns: float32 [count, d], unit rows.

    Raises:
        InputError: fewer than two embeddings to take a covariance of.
    """
    if kind == "isotropic":
        return unit(rng.standard_normal((count, x.shape[1])))
    assert kind == "data", kind
    if len(x) < 2:
        raise InputError(f"{len(x)} image(s) to take the covariance of; random directions need at least two")
    some = x if len(x) <= SAMPLE else x[np.sort(rng.choice(len(x), SAMPLE, replace=False))]
    centred = some - some.mean(axis=0, dtype=np.float64)
    return unit(rng.standard_normal((count, len(some))) @ centred)


def abstention_threshold(vocabulary: Vocabulary, rng: np.random.Generator, percentile: float, count: int) -> float:
    """The percentile, over isotropic random directions u, of max_w cos(u, direction_w): a name must reach it.

    Taking the maximum over the vocabulary corrects for its size: more words, higher threshold. Directions with the embeddings'
    covariance are no control for meaning nothing, since they do point at things: where the truth is known, the threshold they
    set takes away right names and wrong ones alike. What they reach is reported beside it, see `abstention_rate`.
    """
    best = (random_directions("isotropic", count, vocabulary.texts, rng) @ vocabulary.directions.T).max(axis=1)
    return float(np.percentile(best, percentile))


def abstention_rate(
    vocabulary: Vocabulary, x: NDArray[np.float32], threshold: float, rng: np.random.Generator, count: int
) -> dict[str, float]:
    """Share of fresh random directions of each kind that get no name even from their best word.

    That of `isotropic` is how often a direction that means nothing is left unnamed. That of `data` is the baseline a dictionary
    has to be judged by: how seldom a random mixture of the embeddings' variation would be named.
    """
    rates = {}
    for kind in ("isotropic", "data"):
        best = (random_directions(kind, count, x, rng) @ vocabulary.directions.T).max(axis=1)
        rates[kind] = float((best < threshold).mean())
    return rates
