"""The labels whose probabilities steering moves: a domain's classes, or the captions nearest to the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.clip.embed import Embeddings
from sae_core.clip.prompts import class_directions
from sae_core.clip.towers import Towers
from sae_core.data.manifest import Manifest
from sae_core.errors import InputError, Unavailable
from sae_core.evaluate.metrics import unit
from sae_core.interpret.records import clean
from sae_core.interpret.texts import caption_vocabulary, check_width

CAPTIONS = 20


@dataclass(frozen=True)
class Labels:
    """Names with unit text directions float32 [C, d], where they are from, and what limits them. C is 0 when there are none."""

    names: tuple[str, ...]
    texts: NDArray[np.float32]
    source: str
    note: str


def labels_of(domain: str, manifest: Manifest, embeddings: Embeddings, x: NDArray[np.float32], towers: Towers) -> Labels:
    """The labels for one image of a domain.

    Class names through the text tower with the prompts of the domain's rendering; where the data has no two classes, or the
    text tower's weights are not here, the 20 distinct captions nearest to the unsteered image, by the text embeddings that
    came with the data where there are any. With neither there are no labels, and the note says why.

    Args:
        domain: its name.
        manifest: of the domain.
        embeddings: of the domain.
        x: float32 [d], the unsteered embedding.
        towers: where text towers come from.

    Raises:
        InputError: the encoder named for precomputed embeddings makes texts of another width.
    """
    try:
        if len(manifest.classes) >= 2:
            tower = towers.of(embeddings.encoder)
            texts = class_directions(tower, manifest.classes, manifest.rendering)
            check_width(texts.shape[1], {domain: embeddings})
            note = f"{len(texts)} classes, prompts for a {manifest.rendering}"
            return Labels(tuple(clean(name) for name in manifest.classes), texts, "classes", note)
        reason = "the data has no two classes"
    except Unavailable as error:
        reason = str(error)
    try:
        captions = caption_vocabulary({domain: manifest}, {domain: embeddings}, towers)
    except (InputError, Unavailable) as error:
        none = np.empty((0, x.shape[0]), dtype=np.float32)
        return Labels((), none, "none", f"no labels: {reason}; {error}")
    near = np.argsort(-(captions.texts @ unit(x[None])[0]), kind="stable")[:CAPTIONS]
    note = f"the {len(near)} of {len(captions.words)} distinct captions nearest to the unsteered image, since {reason}"
    return Labels(tuple(clean(captions.words[i]) for i in near), captions.texts[near], "captions", note)
