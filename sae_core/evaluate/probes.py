"""A class probe: does a reconstruction keep what tells the classes apart, for a classifier that was built on the embedding?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sae_core.errors import InputError
from sae_core.evaluate.logistic import fit_logistic
from sae_core.evaluate.zero_shot import ZeroShot, compare


@dataclass(frozen=True)
class Fidelity:
    """A class probe on held-out embeddings and on their reconstructions.

    Attributes:
        paired: accuracy with x and with x̂, delta with its interval, flips; as for zero-shot.
        agreement: share of held-out images given the same class from x and from x̂.
        classes: classes the probe knows.
        trained: rows it was trained on.
    """

    paired: ZeroShot
    agreement: float
    classes: int
    trained: int

    def metrics(self) -> dict[str, float]:
        """probe_accuracy_clip, probe_accuracy_sae, probe_delta, its interval and p, probe_agreement."""
        numbers = {f"probe_{name}": value for name, value in self.paired.metrics().items()}
        return {**numbers, "probe_agreement": self.agreement, "probe_classes": float(self.classes)}


def class_probe(
    train: NDArray[np.float32],
    train_labels: NDArray[np.integer[Any]],
    x: NDArray[np.float32],
    x_hat: NDArray[np.float32],
    labels: NDArray[np.integer[Any]],
    bootstrap: int = 1000,
    rng: np.random.Generator | None = None,
    groups: NDArray[np.int64] | None = None,
    strength: float = 0.1,
) -> Fidelity:
    """Train a multinomial logistic probe on CLIP embeddings, apply it to held-out x and to x̂.

    It never sees a reconstruction in training: it asks whether x̂ can stand in for x in what is already built on x.

    Args:
        train: float32 [n, d], raw embeddings of training rows.
        train_labels: int [n]; below 0: none, left out.
        x, x_hat: float32 [t, d], raw held-out embeddings and their reconstructions.
        labels: int [t]; rows without a label or of a class that training lacks are left out.
        bootstrap: resamples for the interval of delta.
        rng: their randomness; None is `default_rng(0)`.
        groups: int [t], near-duplicates that are resampled together.
        strength: inverse L2 penalty on standardised dimensions.

    Raises: InputError on shapes that do not fit, fewer than two classes, or no held-out row of them.
    """
    if x.shape != x_hat.shape or x.shape[1:] != train.shape[1:] or len(train) != len(train_labels) or len(x) != len(labels):
        raise InputError(
            f"train {list(train.shape)} with {len(train_labels)} labels, x {list(x.shape)}, x_hat {list(x_hat.shape)} with "
            f"{len(labels)} labels do not belong together: one label a row, one width"
        )
    known = np.unique(train_labels[train_labels >= 0])
    wanted = np.where(np.isin(labels, known), labels, -1).astype(np.int64)
    if len(known) < 2 or not (wanted >= 0).any():
        raise InputError(f"a class probe needs two classes in training and held-out rows of them; training has {len(known)}")
    kept = train_labels >= 0
    probe = fit_logistic(train[kept], train_labels[kept], strength)
    guesses = [probe.predict(rows.astype(np.float64)).astype(np.int64) for rows in (x, x_hat)]
    source = np.random.default_rng(0) if rng is None else rng
    paired = compare(guesses[0], guesses[1], wanted, bootstrap, source, groups)
    return Fidelity(paired, float(np.mean(paired.clip == paired.sae)), len(known), int(kept.sum()))
