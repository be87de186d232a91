"""Caption recall with embeddings as they are and as the dictionary reconstructs them, for captioned data without classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.evaluate.metrics import Flips, Interval, bootstrap_mean, caption_hits, mcnemar

KS = (1, 5, 10)


@dataclass(frozen=True)
class Recall:
    """A paired comparison of image-to-caption recall on n captioned images.

    Attributes:
        captions: how many distinct captions each image's own is looked for among.
        clip, sae: float64 [n, 3], hits in the KS nearest captions of x and of x_hat.
        intervals: 95 % bootstrap interval of each delta.
        flips: McNemar's test of each.
    """

    captions: int
    clip: NDArray[np.float64]
    sae: NDArray[np.float64]
    intervals: tuple[Interval, ...]
    flips: tuple[Flips, ...]

    @property
    def n(self) -> int:
        """Captioned images."""
        return len(self.clip)

    def metrics(self) -> dict[str, float]:
        """`recall_<k>_clip`, `recall_<k>_sae`, `recall_<k>_delta` with `_ci_low` and `_ci_high`, and `n`."""
        found: dict[str, float] = {}
        for place, k in enumerate(KS):
            before, after = float(self.clip[:, place].mean()), float(self.sae[:, place].mean())
            found[f"recall_{k}_clip"], found[f"recall_{k}_sae"] = before, after
            found[f"recall_{k}_delta"] = after - before
            found[f"recall_{k}_delta_ci_low"], found[f"recall_{k}_delta_ci_high"] = self.intervals[place]
        return {**found, "n": float(self.n)}


def distinct_captions(captions: Sequence[str | None]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the distinct captions in order of first appearance.

    Args:
        captions: one a row; None or blank: the row has none.

    Returns: own int64 [n], the number of each row's caption (-1: none), and first int64 [c], the row each one comes from.

    >>> own, first = distinct_captions(["a cup", None, "a hat", "a cup"])
    >>> own.tolist(), first.tolist()
    ([0, -1, 1, 0], [0, 2])
    """
    numbers: dict[str, int] = {}
    own = np.full(len(captions), -1, dtype=np.int64)
    first = []
    for row, caption in enumerate(captions):
        if not isinstance(caption, str) or not caption.strip():
            continue
        if caption not in numbers:
            numbers[caption] = len(numbers)
            first.append(row)
        own[row] = numbers[caption]
    return own, np.array(first, dtype=np.int64)


def caption_recall(
    x: NDArray[np.float32],
    x_hat: NDArray[np.float32],
    own: NDArray[np.int64],
    texts: NDArray[np.float32],
    bootstrap: int,
    rng: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
) -> Recall:
    """Recall@k of each image's own caption among all distinct captions, with x and with x_hat.

    Args:
        x: float32 [n, d], raw embeddings of held-out images.
        x_hat: float32 [n, d], their reconstructions.
        own: int64 [n], which caption is the image's own.
        texts: float32 [c, d], embeddings of the distinct captions.
        bootstrap: resamples for the intervals.
        rng: randomness of the bootstrap.
        groups: int64 [n], near-duplicates that are resampled together.

    Raises: InputError when widths differ.
    """
    return compare(caption_hits(x, own, texts, KS), caption_hits(x_hat, own, texts, KS), len(texts), bootstrap, rng, groups)


def compare(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    captions: int,
    bootstrap: int,
    rng: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
) -> Recall:
    """Compare the hits [n, 3] of the same images before and after."""
    intervals = tuple(bootstrap_mean(after[:, k] - before[:, k], bootstrap, rng, groups) for k in range(len(KS)))
    # Found for certain among the k nearest; a tie at the border (not seen on real embeddings) counts as missed.
    flips = tuple(mcnemar(before[:, k] == 1, after[:, k] == 1) for k in range(len(KS)))
    return Recall(captions, before, after, intervals, flips)
