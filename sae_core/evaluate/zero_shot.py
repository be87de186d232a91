"""Zero-shot classification with embeddings as they are and as the dictionary reconstructs them, on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sae_core.errors import InputError
from sae_core.evaluate.metrics import FLOATS, Flips, Interval, accuracy, bootstrap_mean, mcnemar, unit


@dataclass(frozen=True)
class ZeroShot:
    """A paired zero-shot comparison on n labelled images.

    Attributes:
        accuracy_clip: share right with x.
        accuracy_sae: share right with x_hat.
        interval: 95 % bootstrap interval of `delta`.
        flips: images lost and gained, with McNemar's p.
        labels, clip, sae: int64 [n]; the truth, and what x and x_hat were taken for.
        rows: int64 [n], which of the rows given these are (rows without a label are left out).
        groups: int64 [n], their near-duplicate groups, where known.
    """

    accuracy_clip: float
    accuracy_sae: float
    interval: Interval
    flips: Flips
    labels: NDArray[np.int64]
    clip: NDArray[np.int64]
    sae: NDArray[np.int64]
    rows: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None

    @property
    def n(self) -> int:
        """Labelled images."""
        return len(self.labels)

    @property
    def delta(self) -> float:
        """accuracy_sae - accuracy_clip; negative is what the dictionary costs."""
        return self.accuracy_sae - self.accuracy_clip

    def metrics(self) -> dict[str, float]:
        """The numbers by their names everywhere."""
        return {
            "accuracy_clip": self.accuracy_clip,
            "accuracy_sae": self.accuracy_sae,
            "delta": self.delta,
            "delta_ci_low": self.interval.low,
            "delta_ci_high": self.interval.high,
            "mcnemar_p": self.flips.p,
            "n": float(self.n),
        }

    def per_class(self, names: Sequence[str], bootstrap: int = 1000, rng: np.random.Generator | None = None) -> pd.DataFrame:
        """A row for every class that has an image: class, n, accuracy_clip, accuracy_sae, delta, delta_ci_low, delta_ci_high.

        Intervals are 95 % bootstrap intervals over the class's images (near-duplicates together), each for itself: of a hundred
        classes five are expected to miss. A class on which no image flips has the interval [0, 0], which says little when n is
        small.
        """
        source = np.random.default_rng(0) if rng is None else rng
        n = np.bincount(self.labels, minlength=len(names))
        right = [np.bincount(self.labels[guess == self.labels], minlength=len(names)) for guess in (self.clip, self.sae)]
        seen = np.flatnonzero(n)
        before, after = (hits[seen] / n[seen] for hits in right)
        ends = [self._interval(self.labels == c, bootstrap, source) for c in seen]
        return pd.DataFrame(
            {
                "class": [names[int(c)] for c in seen],
                "n": n[seen],
                "accuracy_clip": before,
                "accuracy_sae": after,
                "delta": after - before,
                "delta_ci_low": [one.low for one in ends],
                "delta_ci_high": [one.high for one in ends],
            }
        )

    def _interval(self, of: NDArray[np.bool_], bootstrap: int, rng: np.random.Generator) -> Interval:
        right = [(guess[of] == self.labels[of]).astype(np.int8) for guess in (self.clip, self.sae)]
        groups = None if self.groups is None else self.groups[of]
        return bootstrap_mean(right[1] - right[0], bootstrap, rng, groups)

    def confusion(self, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many images of class i are taken for class j, int64 [classes, classes] each, by x and by x_hat."""
        before, after = (
            np.bincount(self.labels * classes + guess, minlength=classes**2).reshape(classes, classes)
            for guess in (self.clip, self.sae)
        )
        return before, after


def classify(x: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class of each row: argmax_c cos(x, t_c); equal cosines go to the lower class.

    Args:
        x: float [n, d], raw embeddings.
        weights: float [C, d], a text direction a class; only directions matter.

    Returns: int64 [n] in 0..C-1.
    Raises: InputError when widths differ.
    """
    if x.ndim != 2 or weights.ndim != 2 or x.shape[1] != weights.shape[1]:
        raise InputError(
            f"embeddings {list(x.shape)} do not fit class weights {list(weights.shape)}: both must be [rows, d] of one CLIP"
        )
    directions = unit(weights).T
    block = max(1, FLOATS // max(len(weights), 1))
    # The row's own length does not move its argmax.
    parts = [np.argmax(x[start : start + block] @ directions, axis=1) for start in range(0, len(x), block)]
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)


def compare(
    clip: NDArray[np.int64],
    sae: NDArray[np.int64],
    labels: NDArray[np.int64],
    bootstrap: int,
    rng: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
) -> ZeroShot:
    """Compare two classifiers' answers on the same images; rows with a label below 0 are left out.

    Raises: InputError when no row has a label.
    """
    rows = np.flatnonzero(labels >= 0)
    if not len(rows):
        raise InputError("no labelled row to classify: zero-shot accuracy needs classes; give a label column or class folders")
    labels, clip, sae = labels[rows], clip[rows], sae[rows]
    before, after = clip == labels, sae == labels
    difference = after.astype(np.int8) - before.astype(np.int8)
    groups = None if groups is None else groups[rows]
    interval, flips = bootstrap_mean(difference, bootstrap, rng, groups), mcnemar(before, after)
    return ZeroShot(accuracy(clip, labels), accuracy(sae, labels), interval, flips, labels, clip, sae, rows, groups)


def zero_shot(
    x: NDArray[np.float32],
    x_hat: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: NDArray[np.float32],
    bootstrap: int = 1000,
    rng: np.random.Generator | None = None,
    groups: NDArray[np.int64] | None = None,
) -> ZeroShot:
    """Zero-shot accuracy with x and with its reconstruction: y = argmax_c cos(x, t_c), delta = acc(x_hat) - acc(x).

    Args:
        x: float32 [n, d], raw embeddings; use held-out rows.
        x_hat: float32 [n, d], their reconstructions.
        labels: int64 [n], class of each row; below 0: none, left out.
        weights: float32 [C, d], text direction of each class (`clip.prompts.class_directions`).
        bootstrap: resamples for the interval of delta.
        rng: randomness of the bootstrap; None is `default_rng(0)`.
        groups: int64 [n], near-duplicates that are resampled together.

    Returns: a ZeroShot.
    Raises: InputError on shapes or labels that do not fit.

    Source: Radford et al. 2021 (arXiv:2103.00020). Others report acc(x_hat) on the images they trained on; this is meant for
    a held-out split.
    """
    if x.shape != x_hat.shape or len(labels) != len(x):
        raise InputError(
            f"x {list(x.shape)}, x_hat {list(x_hat.shape)} and {len(labels)} labels do not belong together: one label and one "
            "reconstruction a row"
        )
    if len(labels) and int(labels.max()) >= len(weights):
        raise InputError(
            f"label {int(labels.max())} has no class among {len(weights)} class weights; give a text direction a class"
        )
    source = np.random.default_rng(0) if rng is None else rng
    return compare(classify(x, weights), classify(x_hat, weights), labels, bootstrap, source, groups)
