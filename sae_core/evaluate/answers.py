"""What a version of the held-out embeddings is taken for: as they are, rebuilt by a dictionary, or all replaced by their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.evaluate.metrics import caption_hits
from sae_core.evaluate.recall import KS, Recall
from sae_core.evaluate.recall import compare as compare_recall
from sae_core.evaluate.zero_shot import ZeroShot, classify
from sae_core.evaluate.zero_shot import compare as compare_classes


@dataclass(frozen=True)
class Asked:
    """What the n held-out rows of a domain are compared with, and what the right answers are.

    Attributes:
        classes: float32 [C, d], the direction of each class, or None.
        labels: int64 [n], the class of each row; -1: none.
        shared: int64 [s], the classes that all domains share, or None.
        captions: float32 [c, d], distinct captions, or None.
        own: int64 [n], the caption of each row; -1: none.
        groups: int64 [n], near-duplicates, which are resampled together.
    """

    classes: NDArray[np.float32] | None
    labels: NDArray[np.int64]
    shared: NDArray[np.int64] | None
    captions: NDArray[np.float32] | None
    own: NDArray[np.int64]
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """The answers of n rows: the nearest class of all and of the shared ones, int64 [n]; caption hits of the rows that have a
    caption, float64 [captioned, 3]. None where nothing is asked."""

    classes: NDArray[np.int64] | None
    shared: NDArray[np.int64] | None
    hits: NDArray[np.float64] | None


def answer(vectors: NDArray[np.float32], asked: Asked, rows: slice) -> Answers:
    """The answers of raw vectors [rows, d], which are the held-out rows of a slice."""
    own = asked.own[rows]
    captioned = own >= 0
    return Answers(
        None if asked.classes is None else classify(vectors, asked.classes),
        None if asked.classes is None or asked.shared is None else classify(vectors, asked.classes[asked.shared]),
        None if asked.captions is None else caption_hits(vectors[captioned], own[captioned], asked.captions, KS),
    )


def joined(parts: Sequence[Answers]) -> Answers:
    """The answers of one block after the other; there is at least one."""
    first = parts[0]
    return Answers(
        None if first.classes is None else np.concatenate([part.classes for part in parts if part.classes is not None]),
        None if first.shared is None else np.concatenate([part.shared for part in parts if part.shared is not None]),
        None if first.hits is None else np.concatenate([part.hits for part in parts if part.hits is not None]),
    )


def constant(vector: NDArray[np.float32], asked: Asked) -> Answers:
    """The answers when every row is the same raw vector [d]: the mean ablation, with the mean of the rows."""
    one, n = vector[None], len(asked.labels)
    hits = None
    if asked.captions is not None:
        wanted, place = np.unique(asked.own[asked.own >= 0], return_inverse=True)
        hits = caption_hits(np.repeat(one, len(wanted), axis=0), wanted, asked.captions, KS)[place]
    return Answers(
        None if asked.classes is None else np.repeat(classify(one, asked.classes), n),
        None if asked.classes is None or asked.shared is None else np.repeat(classify(one, asked.classes[asked.shared]), n),
        hits,
    )


def in_classes(
    before: Answers, after: Answers, asked: Asked, bootstrap: int, rng: np.random.Generator, shared: bool = False
) -> ZeroShot | None:
    """Two versions' answers compared on the rows with a class (`shared`: on those of a shared class, among the shared ones).

    None where there is no such row.
    """
    labels = asked.labels
    first, second = (before.shared, after.shared) if shared else (before.classes, after.classes)
    if shared and asked.shared is not None:
        hits = labels[:, None] == asked.shared
        labels = np.where(hits.any(axis=1), hits.argmax(axis=1), -1)
    if first is None or second is None or not (labels >= 0).any():
        return None
    return compare_classes(first, second, labels, bootstrap, rng, asked.groups)


def in_captions(before: Answers, after: Answers, asked: Asked, bootstrap: int, rng: np.random.Generator) -> Recall | None:
    """Two versions' caption recall compared on the rows with a caption; None where there is none."""
    captioned = asked.own >= 0
    if before.hits is None or after.hits is None or asked.captions is None or not captioned.any():
        return None
    return compare_recall(before.hits, after.hits, len(asked.captions), bootstrap, rng, asked.groups[captioned])
