"""The one logistic regression of the evaluation: standardised features, an L2 penalty, no chatter."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

ITERATIONS = 500


def fit_logistic(
    features: NDArray[np.floating[Any]], answers: NDArray[Any], strength: float = 1.0, balanced: bool = False
) -> Pipeline:
    """Fit a (multinomial) logistic regression on standardised features.

    Args:
        features: float [n, q].
        answers: [n], two or more kinds.
        strength: inverse L2 penalty.
        balanced: weigh rows so that every kind counts the same.
    """
    model = LogisticRegression(C=strength, max_iter=ITERATIONS, tol=1e-3, class_weight="balanced" if balanced else None)
    pipeline = make_pipeline(StandardScaler(), model)
    with warnings.catch_warnings():
        # Separable classes never converge and need not: what counts is judged on other rows.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return pipeline.fit(np.asarray(features, dtype=np.float64), answers)
