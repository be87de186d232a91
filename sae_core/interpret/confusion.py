"""Which held-out pictures a label finds, misses and wrongly takes, by CLIP: AUROC needs no threshold, pictures do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.config import InterpretConfig
from sae_core.errors import InputError
from sae_core.evaluate.metrics import unit
from sae_core.interpret.material import Material
from sae_core.interpret.records import clean
from sae_core.interpret.texts import caption_vocabulary, encoder_of
from sae_core.interpret.vocabulary import label_contrasts

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Confusion:
    """Rows of the activation store by what a label says of them, the surest first (nearest for yes, farthest for no).

    Attributes:
        threshold: cosine from which the label is taken to fit.
        tp, fp, fn, tn: rows of the score half.
    """

    threshold: float
    tp: Rows
    fp: Rows
    fn: Rows
    tn: Rows

    @property
    def balanced_accuracy(self) -> float:
        """½ (TP / (TP + FN) + TN / (TN + FP)), 0 to 1; NaN where a class has no picture."""
        counts = (len(self.tp), len(self.fn)), (len(self.tn), len(self.fp))
        return float(np.mean([right / (right + wrong) if right + wrong else np.nan for right, wrong in counts]))


def clip_confusion(label: str, latent: int, material: Material, config: InterpretConfig) -> Confusion:
    """Cut the cosines of held-out pictures with a label where the *other* half of the pictures is told apart best.

    The threshold has the greatest balanced accuracy on the explain half, so the pictures that are shown had no say in it.

    Args:
        label: a name, or a person's label.
        latent: its id.
        material: of the run.
        config: templates, and whether words are captions with text embeddings of their own.

    Raises:
        InputError: the latent fires on none or on all of either half.
        Unavailable: the label needs a text tower whose weights are not here.
    """
    evidence = material.evidence
    contrast = _contrast(label, material, config)
    group = evidence.activations.images["group"].to_numpy(np.int64)
    firing = group[evidence.activations.postings(latent)[0]]
    halves = []
    for half in (np.flatnonzero(evidence.explain), evidence.score_rows):
        _, first = np.unique(group[half], return_index=True)
        rows = half[np.sort(first)]
        fires = np.isin(group[rows], firing)
        if fires.all() or not fires.any():
            raise InputError(
                f"latent {latent} fires on {int(fires.sum()):,} of {len(rows):,} pictures of a half; nothing to tell apart"
            )
        halves.append((rows, fires, unit(evidence.x[rows]) @ contrast))
    threshold = best_threshold(halves[0][2], halves[0][1])
    rows, fires, cosines = halves[1]
    order = np.argsort(-cosines, kind="stable")
    rows, fires, fits = rows[order], fires[order], cosines[order] >= threshold
    return Confusion(threshold, rows[fits & fires], rows[fits & ~fires], rows[~fits & fires][::-1], rows[~fits & ~fires][::-1])


def best_threshold(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """The score from which calling an item positive gives the greatest balanced accuracy; of equal ones the highest.

    >>> round(best_threshold(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])), 2)
    0.8
    """
    order = np.argsort(-scores, kind="stable")
    values, hits = scores[order], positive[order]
    gain = np.cumsum(hits) / hits.sum() - np.cumsum(~hits) / (~hits).sum()
    last = np.append(values[1:] < values[:-1], True)  # equal scores are on the same side
    return float(values[np.argmax(np.where(last, gain, -np.inf))])


def _contrast(label: str, material: Material, config: InterpretConfig) -> NDArray[np.float32]:
    if config.method == "clip" and config.vocabulary == "captions":
        vocabulary = caption_vocabulary(material.manifests, material.embeddings, material.towers)
        at = next((i for i, word in enumerate(vocabulary.words) if clean(word) == label), None)
        if at is not None:
            return np.asarray(vocabulary.contrasts[at])
    tower = material.towers.of(encoder_of(material.embeddings))
    return np.asarray(label_contrasts([label], tower, config.templates)[0])
