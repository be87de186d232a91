"""P(class | stroke measures): how well geometry alone tells the class, from a model that never saw the image it judges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline

from sae_core.evaluate.geometry.ranks import measure_ranks
from sae_core.evaluate.logistic import fit_logistic

FOLDS = 5
STRENGTHS = (0.003, 0.03, 0.3)
"""Inverse penalties tried on the first fold."""
KNOTS = (0.1, 0.5, 0.9)


def standard_basis(measures: NDArray[np.float64], knots: tuple[float, ...] = KNOTS) -> NDArray[np.float64]:
    """Piecewise linear functions of each measure's rank, standardised; columns without variance are left out.

    Args:
        measures: float64 [n, q].
        knots: quantiles at which the slope may change; a sparse latent fires on extremes, hence the outer ones.

    Returns: float64 [n, b'].
    """
    rank = measure_ranks(measures, np.zeros(len(measures), dtype=np.int64), 1) + 0.5
    columns = np.concatenate([rank, *(np.maximum(rank - knot, 0.0) for knot in knots)], axis=1)
    spread = columns.std(axis=0)
    kept = spread > 1e-6
    out: NDArray[np.float64] = (columns[:, kept] - columns[:, kept].mean(axis=0)) / spread[kept]
    return out


def class_chances(basis: NDArray[np.float64], classes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Cross-fitted multinomial logistic regression of class on functions of the measures.

    Args:
        basis: float64 [n, b], about unit variance.
        classes: int64 [n] in 0..C-1, each with at least FOLDS rows.
        rng: how rows are cut into folds.

    Returns: float64 [n, C], rows sum to 1; each row's probabilities come from the folds it is not in.
    """
    count = int(classes.max()) + 1
    out = np.zeros((len(classes), count))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=int(rng.integers(2**31)))
    strength: float | None = None
    for fitted, held in folds.split(basis, classes):
        if strength is None:
            losses = [_loss(fit_logistic(basis[fitted], classes[fitted], c), basis[held], classes[held]) for c in STRENGTHS]
            strength = STRENGTHS[int(np.argmin(losses))]
        out[held] = fit_logistic(basis[fitted], classes[fitted], strength).predict_proba(basis[held])
    return out


def _loss(model: Pipeline, basis: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    chances = model.predict_proba(basis)[np.arange(len(classes)), classes]
    return float(-np.log(np.maximum(chances, 1e-12)).mean())
