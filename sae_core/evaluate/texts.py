"""What a domain's images are compared with: class directions from prompts, texts of captions, or why there are none."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sae_core.clip.embed import Embeddings
from sae_core.clip.prompts import class_directions, resolve_templates
from sae_core.clip.towers import Towers
from sae_core.data.manifest import Manifest
from sae_core.errors import InputError, Unavailable
from sae_core.evaluate.recall import distinct_captions

AGAIN = "once they are here, remove this evaluation and run it again"
"""What to do about a note: an artifact's key does not know which weights a machine has."""


@dataclass(frozen=True)
class Classes:
    """Zero-shot classes: C names, their directions float32 [C, d], the templates they were made with."""

    names: list[str]
    weights: NDArray[np.float32]
    templates: tuple[str, ...]


@dataclass(frozen=True)
class Captions:
    """Distinct captions: raw text embeddings float32 [c, d], and which one each image of the manifest has (-1: none)."""

    texts: NDArray[np.float32]
    own: NDArray[np.int64]


@dataclass(frozen=True)
class Texts:
    """What there is to test a domain with; `notes` say in a sentence each why something is missing."""

    classes: Classes | None = None
    captions: Captions | None = None
    notes: list[str] = field(default_factory=list)


def find_texts(
    domain: str, manifest: Manifest, embeddings: Embeddings, templates: str | tuple[str, ...], towers: Towers
) -> Texts:
    """The classes of a domain, if it has at least two; its captions, if it has no classes or came with text embeddings.

    Raises: InputError when the encoder named for the embeddings makes others of another width, or a template is bad.
    """
    notes: list[str] = []
    classes = _classes(domain, manifest, embeddings, templates, towers, notes)
    captions = None
    if classes is None or embeddings.texts is not None:
        captions = _captions(domain, manifest, embeddings, towers, notes)
    if classes is None and captions is None and not notes:
        notes.append("no two classes and no captions: only the reconstruction is measured")
    return Texts(classes, captions, notes)


def _classes(
    domain: str,
    manifest: Manifest,
    embeddings: Embeddings,
    templates: str | tuple[str, ...],
    towers: Towers,
    notes: list[str],
) -> Classes | None:
    if len(manifest.classes) < 2:
        return None
    chosen = resolve_templates(templates)
    try:
        tower = towers.of(embeddings.encoder)
        weights = class_directions(tower, manifest.classes, chosen)
    except Unavailable as error:
        notes.append(f"no zero-shot accuracy: {error}; {AGAIN}")
        return None
    _check_width(domain, weights, embeddings)
    return Classes(list(manifest.classes), weights, chosen)


def _captions(domain: str, manifest: Manifest, embeddings: Embeddings, towers: Towers, notes: list[str]) -> Captions | None:
    captions = manifest.captions
    own, first = distinct_captions(captions)
    if not len(first):
        return None
    if embeddings.texts is not None:
        # One text embedding an embedding row; a caption's is that of the first row whose image has it.
        row_of = {int(image): row for row, image in reversed(list(enumerate(embeddings.images)))}
        texts = np.asarray(embeddings.texts, dtype=np.float32)[[row_of[int(image)] for image in first]]
    else:
        try:
            texts = towers.of(embeddings.encoder).texts([str(captions[row]) for row in first])
        except Unavailable as error:
            notes.append(f"no caption recall: {error}; {AGAIN}")
            return None
    _check_width(domain, texts, embeddings)
    return Captions(texts, own)


def _check_width(domain: str, texts: NDArray[np.float32], embeddings: Embeddings) -> None:
    if texts.shape[1] != embeddings.d:
        raise InputError(
            f"domain {domain}: embeddings are {embeddings.d} wide, texts of {embeddings.encoder} are {texts.shape[1]}; "
            f"set data.{domain}.encoder to the CLIP that made the embeddings"
        )
