"""CLIP consistency of labels that CLIP did not choose: a vision model's or a person's, by the same score as the offline names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sae_core.clip.embed import Embeddings
from sae_core.clip.towers import Towers
from sae_core.clip.words import drawn_words
from sae_core.errors import Unavailable
from sae_core.interpret.evidence import Evidence
from sae_core.interpret.score import consistency
from sae_core.interpret.texts import check_width, encoder_of
from sae_core.interpret.vocabulary import label_contrasts

Score = dict[str, Any]


def label_consistency(
    labels: Mapping[int, str],
    evidence: Evidence,
    embeddings: Mapping[str, Embeddings],
    towers: Towers,
    templates: Sequence[str],
    rng: np.random.Generator,
) -> tuple[dict[int, Score], str]:
    """Score labels of latents by how well their text direction predicts which held-out images fire (see `score.py`).

    Args:
        labels: by latent.
        evidence: images in two halves; the score half is used.
        embeddings: of every domain, all of one CLIP.
        towers: where the text tower comes from.
        templates: with `{}` for the label.
        rng: for bootstrap, permutations and swapped labels.

    Returns:
        value (AUROC, 0 to 1), ci_low, ci_high, near_miss_auroc, p, swap_gap, n_pos, n_neg for each latent that can be scored,
        None where a number is not defined; and why the others have no score (empty: they fire on too few or too many images).
    """
    encoder = encoder_of(embeddings)
    known, why = _known(encoder, sorted(set(labels.values())))
    wanted = {latent: label for latent, label in labels.items() if label in known}
    if not wanted:
        return {}, why
    try:
        tower = towers.of(encoder)
    except Unavailable as error:
        return {}, str(error)
    words = sorted(set(wanted.values()))
    contrasts = label_contrasts(words, tower, templates)
    check_width(contrasts.shape[1], embeddings)
    place = {word: i for i, word in enumerate(words)}
    names = np.array([place[label] for label in wanted.values()], dtype=np.int64)
    positives = [evidence.positives(latent) for latent in wanted]
    found = consistency(evidence.x[evidence.score_rows], positives, names, contrasts, rng)
    called = {"score": "value", "positives": "n_pos", "negatives": "n_neg"}
    rows = zip(wanted, found.rename(columns=called).to_dict("records"), strict=True)
    plain = {latent: {str(k): _plain(value) for k, value in row.items()} for latent, row in rows}
    return {latent: score for latent, score in plain.items() if score["value"] is not None}, why


def _known(encoder: str, labels: Sequence[str]) -> tuple[frozenset[str], str]:
    """The labels a CLIP can know, and a note on the others: a text it has never read gets an arbitrary direction."""
    if not encoder.startswith("bundled/"):
        return frozenset(labels), ""
    read = frozenset(drawn_words())
    known = frozenset(label for label in labels if label.lower() in read)
    left = len(labels) - len(known)
    return known, f"{left} labels that the bundled demo model has never read have no CLIP consistency" if left else ""


def _plain(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return round(float(value), 6) if np.isfinite(value) else None
    return int(value)
