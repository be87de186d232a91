"""One domain's held-out images through the dictionary and its controls: reconstruction, zero-shot accuracy, caption recall."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse
from numpy.typing import NDArray

from sae_core.evaluate.answers import Answers, Asked, answer, constant, in_captions, in_classes, joined
from sae_core.evaluate.controls import MEAN, Compared, Control, compare_control
from sae_core.evaluate.flips import flipped
from sae_core.evaluate.intervals import reconstruction_intervals
from sae_core.evaluate.quality import QualityBlock, quality_of
from sae_core.evaluate.recall import Recall
from sae_core.evaluate.rows import ROWS, SPLIT, DomainRows
from sae_core.evaluate.texts import Texts
from sae_core.evaluate.zero_shot import ZeroShot
from sae_core.sae.architectures import SAE
from sae_core.sae.quality import Quality

MOST_HELD_OUT = 50_000
"""Held-out rows whose codes are held in memory at once; of more, that many are drawn at random."""
MOST_TRAINED = 10_000
"""Training rows for the probes, likewise."""


@dataclass(frozen=True)
class Domain:
    """A domain's results.

    Attributes:
        rows: held-out embedding rows.
        encoder: the CLIP that the embeddings come from.
        reconstruction: L0, R² and the rest over these rows, with 95 % intervals of r2, r2_uncentred, cosine and l0.
        texts: what the images were compared with, and notes on what was not there.
        zero_shot, recall: CLIP against CLIP+SAE, or None.
        shared: zero-shot among the classes that all domains share, or None.
        controls: mean ablation, PCA, random dictionary.
        per_class: see `ZeroShot.per_class`; None without classes.
        images: int64 [zero_shot.n], manifest ids of the images classified.
        flips: see `flipped`; None without classes.
        quality: sparsity, monosemanticity, alignment and probes.
    """

    rows: int
    encoder: str
    reconstruction: dict[str, float]
    texts: Texts
    zero_shot: ZeroShot | None
    shared: ZeroShot | None
    recall: Recall | None
    controls: Sequence[Compared]
    per_class: pd.DataFrame | None
    images: NDArray[np.int64]
    flips: pd.DataFrame | None
    quality: QualityBlock

    @property
    def floor(self) -> Compared:
        """The mean ablation."""
        return self.controls[0]


@dataclass(frozen=True)
class Measuring:
    """How to measure: resamples of a bootstrap, and whether sparse probes are made."""

    bootstrap: int
    sparse_probes: bool


def evaluate_domain(
    rows: DomainRows,
    texts: Texts,
    shared: NDArray[np.int64] | None,
    sae: SAE,
    controls: Sequence[Control],
    pooled: Sequence[Quality],
    how: Measuring,
    rng: np.random.Generator,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Domain:
    """Run a domain's held-out rows through the dictionary and the controls, a block at a time.

    Args:
        rows: the domain's rows.
        texts: what to compare with.
        shared: the classes that all domains share, see `shared_classes`.
        sae: the dictionary.
        controls: what it is compared with beside the mean ablation.
        pooled: further accumulators to feed these rows to.
        how: settings.
        rng: randomness of the bootstraps.
        tick: called with (rows done, rows); may raise to stop.
    """
    asked = _asked(rows, texts, shared)
    clip, answers, qualities, mean = _measure(rows, asked, [sae, *(one.sae for one in controls)], pooled, tick)
    after, bootstrap = answers[0], how.bootstrap
    zero_shot = in_classes(clip, after, asked, bootstrap, rng)
    recall = in_captions(clip, after, asked, bootstrap, rng)
    compared = [
        compare_control(name, about, quality, clip, theirs, after, asked, bootstrap, rng)
        for name, about, quality, theirs in (
            (MEAN, {}, None, constant(mean, asked)),
            *((c.name, c.about, q, a) for c, q, a in zip(controls, qualities[1:], answers[1:], strict=True)),
        )
    ]
    per_class, flips, images = None, None, rows.images[:0]
    if zero_shot is not None and texts.classes is not None:
        per_class = zero_shot.per_class(texts.classes.names, bootstrap, rng)
        images, places = rows.images[zero_shot.rows], rows.test[zero_shot.rows]
        flips = flipped(sae, zero_shot, images, texts.classes.weights, lambda which: rows.embeddings.rows(places[which]))
    block, intervals = _quality(rows, sae, how, rng)
    return Domain(
        rows.n,
        rows.embeddings.encoder,
        {**qualities[0].metrics(), **intervals},
        texts,
        zero_shot,
        in_classes(clip, after, asked, bootstrap, rng, shared=True) if shared is not None else None,
        recall,
        compared,
        per_class,
        images,
        flips,
        block,
    )


def _asked(rows: DomainRows, texts: Texts, shared: NDArray[np.int64] | None) -> Asked:
    none = np.full(rows.n, -1, dtype=np.int64)
    classes = None if texts.classes is None else texts.classes.weights
    captions, own = (None, none) if texts.captions is None else (texts.captions.texts, texts.captions.own[rows.images])
    return Asked(classes, rows.labels, shared, captions, own, rows.groups)


def _measure(
    rows: DomainRows, asked: Asked, saes: Sequence[SAE], pooled: Sequence[Quality], tick: Callable[[int, int], None]
) -> tuple[Answers, list[Answers], list[Quality], NDArray[np.float32]]:
    """Answers of x and of each dictionary's x̂, each dictionary's quality (`pooled` are fed by the first), the mean row."""
    qualities = [Quality(sae.d, sae.m) for sae in saes]
    before: list[Answers] = []
    after: list[list[Answers]] = [[] for _ in saes]
    total = np.zeros(rows.embeddings.d)
    for block, x in rows.blocks():
        total += x.sum(axis=0, dtype=np.float64)
        before.append(answer(x, asked, block))
        for number, sae in enumerate(saes):
            indices, values = sae.encode_sparse(x)
            x_hat = sae.decode_sparse(indices, values)
            for one in (qualities[number], *(pooled if number == 0 else ())):
                one.update(x, x_hat, indices, values)
            after[number].append(answer(x_hat, asked, block))
        tick(block.stop, rows.n)
    return joined(before), [joined(parts) for parts in after], qualities, (total / rows.n).astype(np.float32)


def _quality(rows: DomainRows, sae: SAE, how: Measuring, rng: np.random.Generator) -> tuple[QualityBlock, dict[str, float]]:
    """The quality block, and intervals of the reconstruction's numbers."""
    test = _drawn(rows.n, MOST_HELD_OUT, rng)
    train = _drawn(len(rows.train), MOST_TRAINED, rng)
    x, trained = rows.embeddings.rows(rows.test[test]), rows.embeddings.rows(rows.train[train])
    codes, x_hat = _encoded(sae, x)
    (resampling,) = rng.spawn(1)
    intervals = reconstruction_intervals(x, x_hat, codes, rows.groups[test], how.bootstrap, resampling)
    block = quality_of(
        codes,
        x,
        x_hat,
        rows.embeddings.encoder,
        rng,
        labels=rows.labels[test],
        groups=rows.groups[test],
        train=trained,
        train_labels=rows.train_labels[train],
        train_codes=_encoded(sae, trained)[0] if how.sparse_probes else None,
        bootstrap=how.bootstrap,
        split=SPLIT,
    )
    return block, intervals


def _drawn(n: int, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """All of n rows, or `most` of them drawn at random, ascending."""
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def _encoded(sae: SAE, x: NDArray[np.float32]) -> tuple[scipy.sparse.csr_matrix, NDArray[np.float32]]:
    """Codes float32 [n, m], without padding, and reconstructions [n, d]."""
    codes, rebuilt = [], []
    for start in range(0, len(x), ROWS):
        indices, values = sae.encode_sparse(x[start : start + ROWS])
        ptr = np.arange(len(indices) + 1) * indices.shape[1]
        rebuilt.append(sae.decode_sparse(indices, values))
        # Tidying moves entries in place: it must not be done to the arrays that x̂ is made from.
        block = scipy.sparse.csr_matrix((values.ravel(), indices.ravel(), ptr), shape=(len(indices), sae.m), copy=True)
        block.sum_duplicates()
        block.eliminate_zeros()
        codes.append(block)
    return scipy.sparse.vstack(codes).tocsr(), np.concatenate(rebuilt)
