"""Two tests a latent: does it follow geometry within classes, and does it follow class beyond what geometry explains?

Both are rank statistics, both nulls are made by drawing again what the null hypothesis leaves free:

    geometry given class   measures are permuted among the images of a class (exact, whatever the codes look like)
    class given geometry   labels are drawn anew from P(class | measures) (a conditional randomisation test); what the measures
                           explain of the code is taken out first, so that an error in P counts only times an error there

Codes stay sparse; one draw serves all latents.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.stats import gamma

from sae_core.evaluate.geometry.ranks import Ranks, untied_energy

FLOATS = 8_000_000
"""Numbers of permuted measures held at once."""
DENSE = 0.1
"""A matrix with more entries than this share of its size is multiplied faster when its zeros are written out."""
EXCEED = 10
"""With fewer draws than this beyond the observed value, the p value is read from a gamma fitted to the draws."""


class Within(NamedTuple):
    """Geometry given class, for w latents and q measures.

    Attributes:
        rho: float64 [w, q], class-conditional rank correlation, in [-1, 1].
        effect: float64 [w], largest |rho| as a share of what the latent's firing rate allows, corrected for chance, in [0, 1].
        best: int64 [w], which measure that is.
        p: float64 [w], of the largest |rho| over all measures.
        p_measure: float64 [w, q], of each measure, adjusted for their number (single-step max).
    """

    rho: NDArray[np.float64]
    effect: NDArray[np.float64]
    best: NDArray[np.int64]
    p: NDArray[np.float64]
    p_measure: NDArray[np.float64]


class Beyond(NamedTuple):
    """Class given geometry, for w latents.

    Attributes:
        eta2: float64 [w], share of the code's rank variance that class explains after the measures did, chance included.
        effect: float64 [w], correlation ratio: the root of that share, corrected for chance, in [0, 1].
        p: float64 [w].
    """

    eta2: NDArray[np.float64]
    effect: NDArray[np.float64]
    p: NDArray[np.float64]


class Draws:
    """Moments of a statistic over draws from its null, and how often it reached the observed value; no draw is kept.

    Args:
        observed: the statistic; each draw has its shape or one that broadcasts to it.
    """

    def __init__(self, observed: NDArray[np.float64]) -> None:
        self.observed = observed
        self.count = 0
        self._reached = np.zeros(observed.shape, dtype=np.int64)
        self._first: NDArray[np.float64] | float = 0.0
        self._second: NDArray[np.float64] | float = 0.0
        self._third: NDArray[np.float64] | float = 0.0

    def add(self, drawn: NDArray[np.float64]) -> None:
        """One draw."""
        self.count += 1
        self._reached += drawn >= self.observed
        self._first += drawn
        self._second += drawn**2
        self._third += drawn**3

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean over the draws."""
        return np.asarray(self._first / self.count)

    def p(self) -> NDArray[np.float64]:
        """P(statistic >= observed) under the null: (1 + reached) / (1 + draws); where few draws reached it, the tail of the
        gamma with the draws' mean, variance and skewness if that is smaller.

        Source: Winkler et al. 2016 (NeuroImage 141), tail approximations of permutation p values.
        """
        counted = (1 + self._reached) / (1 + self.count)
        first, second, third = (np.asarray(power / self.count) for power in (self._first, self._second, self._third))
        variance = np.maximum(second - first**2, 0.0)
        spread = np.sqrt(variance)
        known = variance > 1e-12 * second
        safe = np.where(known, spread, 1.0)
        skew = np.maximum((third - 3 * first * variance - first**3) / safe**3, 1e-2)  # 0.01 is a normal to four digits
        shape = 4.0 / skew**2
        score = (self.observed - first) / safe
        fitted = gamma.sf(shape + score * np.sqrt(shape), shape)
        return np.where((self._reached < EXCEED) & known, np.minimum(counted, fitted), counted)


def within_permutations(classes: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Random orders of the rows that keep every row in its class, int32 [count, n]."""
    home = np.argsort(classes, kind="stable")
    out = np.empty((count, len(classes)), dtype=np.int32)
    for one in out:
        one[home] = np.lexsort((rng.random(len(classes)), classes))
    return out


def geometry_within_class(
    ranks: Ranks, measures: NDArray[np.float64], classes: NDArray[np.int64], permutations: NDArray[np.int32]
) -> Within:
    """Class-conditional rank correlation of each latent with each measure, and its permutation null.

    With a, s the centred ranks within classes, T = Σ a s: rho = T / sqrt(Σ a² Σ s²). Under a permutation within classes T has
    mean 0 and variance Σ_c Σ_c a² Σ_c s² / (n_c - 1), exactly; the statistic of a latent is its largest T² / variance over the
    measures, whose null is drawn by permuting images' measures jointly.

    Args:
        ranks: of the codes, within classes.
        measures: float64 [n, q], `measure_ranks` within the same classes.
        classes: int64 [n] in 0..C-1.
        permutations: from `within_permutations`.
    """
    sizes = np.bincount(classes, minlength=ranks.energy.shape[1])
    by_class = np.stack([np.bincount(classes, weights=column**2, minlength=len(sizes)) for column in measures.T], axis=1)
    variance = ranks.energy @ (by_class / np.maximum(sizes - 1, 1)[:, None])
    inverse = np.divide(1.0, variance, out=np.zeros_like(variance), where=variance > 0)
    total = ranks.above @ measures
    length = np.sqrt(ranks.energy.sum(axis=1)[:, None] * by_class.sum(axis=0))
    rho = np.divide(total, length, out=np.zeros_like(total), where=length > 0)
    score = total**2 * inverse
    # What |T| / length could be for an untied measure is what rarity leaves of a perfect association.
    most = ranks.ceiling / np.sqrt(np.maximum(ranks.energy.sum(axis=1) * untied_energy(sizes), 1e-300))
    reach = np.divide(1.0, most, out=np.zeros_like(most), where=most > 0)
    draws, chance = Draws(score), np.zeros(len(reach))
    q = measures.shape[1]
    above, shuffled = _written_out(ranks.above.astype(np.float32)), measures.astype(np.float32)
    step = max(1, FLOATS // max(measures.size, 1))
    for start in range(0, len(permutations), step):
        orders = permutations[start : start + step]
        drawn = above @ shuffled[orders].transpose(1, 0, 2).reshape(len(classes), -1)
        for t in drawn.astype(np.float64).reshape(len(reach), len(orders), q).transpose(1, 0, 2):
            draws.add((t**2 * inverse).max(axis=1, keepdims=True))
            chance += np.max(np.divide(t, length, out=np.zeros_like(t), where=length > 0) ** 2, axis=1)
    p = draws.p()
    best = np.argmax(score, axis=1)
    strongest = np.take_along_axis(np.abs(rho), best[:, None], axis=1)[:, 0] * reach
    effect = corrected(strongest**2, chance / len(permutations) * reach**2)
    return Within(rho, effect, best, np.take_along_axis(p, best[:, None], axis=1)[:, 0], p)


def _written_out(matrix: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix | NDArray[Any]:
    return matrix.toarray() if matrix.nnz > DENSE * matrix.shape[0] * matrix.shape[1] else matrix


def corrected(share: NDArray[np.float64], chance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root of a share of variance after taking out what chance gives: sqrt(max(0, (share - chance) / (1 - chance)))."""
    left = np.maximum(1.0 - chance, 1e-12)
    return np.sqrt(np.clip((share - chance) / left, 0.0, 1.0))


class Given(NamedTuple):
    """What geometry says about class, shared by all latents.

    Attributes:
        design: float64 [n, b], a basis of the measures and the class probabilities, first column 1.
        chances: float64 [n, C], P(class | measures) of each row, from a model that did not see the row.
        classes: int64 [n], the classes.
        labels: int32 [draws, n], classes drawn from `chances`.
        gram: float64 [b, b], the design's normal equations, lightly regularised.
    """

    design: NDArray[np.float64]
    chances: NDArray[np.float64]
    classes: NDArray[np.int64]
    labels: NDArray[np.int32]
    gram: NDArray[np.float64]


def given_geometry(
    basis: NDArray[np.float64], chances: NDArray[np.float64], classes: NDArray[np.int64], draws: int, rng: np.random.Generator
) -> Given:
    """Prepare the conditional test: draw labels, set up the regression of codes on geometry.

    Args:
        basis: float64 [n, b'], functions of the measures, about unit variance, without a constant.
        chances: float64 [n, C], P(class | measures).
        classes: int64 [n].
        draws: label draws.
        rng: their randomness.
    """
    n = len(classes)
    design = np.concatenate([np.ones((n, 1)), basis, chances[:, :-1]], axis=1)  # the last probability is 1 - the others
    gram = design.T @ design
    gram[np.diag_indices_from(gram)] += 1e-4 * n * np.r_[1e-6, np.ones(basis.shape[1]), np.full(chances.shape[1] - 1, 1e-2)]
    # One search over all rows: row i's cumulative probabilities stand between i and i + 1.
    steps = (np.minimum(np.cumsum(chances[:, :-1], axis=1), 1.0) + np.arange(n)[:, None]).ravel()
    labels = np.empty((draws, n), dtype=np.int32)
    width = chances.shape[1] - 1
    for one in labels:
        one[:] = np.searchsorted(steps, rng.random(n) + np.arange(n), side="right") - width * np.arange(n)
    return Given(design, chances, classes, labels, gram)


def class_beyond_geometry(ranks: Ranks, given: Given) -> Beyond:
    """Share of a latent's rank variance that class explains beyond the measures, and its conditional randomisation null.

    With r the residual of the ranks on the design, e_ic = 1[y_i = c] - P(c | g_i), T_c = Σ_i r_i e_ic:

        eta² = Σ_c T_c² / w_c / Σ r²,    w_c = Σ_i e_ic² / (1 - n_c / n)

    which is the between-class share of the variance of r when the measures say nothing of class. The null draws y from
    P(. | g) and leaves r as it is.

    Args:
        ranks: of the codes over all rows (one stratum).
        given: from `given_geometry`.

    Source: Candès et al. 2018 (conditional randomisation); Shah & Peters 2020 (residuals on both sides).
    """
    count = given.chances.shape[1]
    n = len(given.classes)
    crossed = ranks.above @ given.design
    slope = np.linalg.solve(given.gram, crossed.T)
    squares = np.asarray(ranks.above.multiply(ranks.above).sum(axis=1)).ravel()
    rest = squares - 2 * np.sum(slope.T * crossed, axis=1) + np.sum(slope * (given.design.T @ given.design @ slope), axis=0)

    above = _written_out(ranks.above)

    def total(labels: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Σ_i r_i 1[y_i = c], float64 [w, C]."""
        chosen = scipy.sparse.csr_matrix((np.ones(n), labels, np.arange(n + 1)), shape=(n, count))
        summed = above @ chosen
        own = summed if isinstance(summed, np.ndarray) else summed.toarray()
        out: NDArray[np.float64] = own - ((chosen.T @ given.design) @ slope).T
        return out

    expected = ranks.above @ given.chances - ((given.chances.T @ given.design) @ slope).T
    indicator = np.bincount(given.classes, minlength=count)
    spread = (
        np.sum(given.chances**2, axis=0)
        + indicator
        - 2 * np.bincount(given.classes, weights=given.chances[np.arange(n), given.classes], minlength=count)
    )
    weight = np.divide(1.0 - indicator / n, spread, out=np.zeros(count), where=spread > 1e-9)
    energy = np.maximum(rest, 1e-300)[:, None]
    observed = np.sum((total(given.classes) - expected) ** 2 * weight / energy, axis=1)
    draws = Draws(observed)
    for labels in given.labels:
        draws.add(np.sum((total(labels) - expected) ** 2 * weight / energy, axis=1))
    return Beyond(observed, corrected(observed, draws.mean), draws.p())
