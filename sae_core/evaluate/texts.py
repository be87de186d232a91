"""What a domain's images are compared with: class directions from prompts, texts of captions, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

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
    """Zero-shot classes: C names, the words put into prompts for each, directions float32 [C, d], the templates used."""

    names: list[str]
    words: list[str]
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
    domain: str,
    manifest: Manifest,
    embeddings: Embeddings,
    templates: str | tuple[str, ...],
    towers: Towers,
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> Texts:
    """The classes of a domain, if it has at least two; its captions, if it has no classes or came with text embeddings.

    Args:
        domain: its name.
        manifest, embeddings: its images.
        templates: what prompts are made of.
        towers: where text towers are.
        renamed: for some classes, what prompts call them instead of their names.

    Raises: InputError when the encoder named for the embeddings makes others of another width, a template is bad, or a class
        that is renamed is not there.
    """
    notes: list[str] = []
    words = prompt_words(domain, manifest.classes, renamed)
    classes = _classes(domain, manifest, embeddings, templates, words, towers, notes)
    captions = None
    if classes is None or embeddings.texts is not None:
        captions = _captions(domain, manifest, embeddings, towers, notes)
    if classes is None and captions is None and not notes:
        notes.append("no two classes and no captions: only the reconstruction is measured")
    return Texts(classes, captions, notes)


def prompt_words(domain: str, classes: Sequence[str], renamed: Mapping[str, str]) -> list[str]:
    """What prompts call each class. Raises InputError when a class that is renamed is not there."""
    for name in renamed:
        if name not in classes:
            have = ", ".join(classes[:10]) + (" …" if len(classes) > 10 else "") if classes else "no class"
            raise InputError(f"evaluate.class_names.{domain} renames {name[:60]!r}; {domain} has {have}")
    return [renamed.get(name, name) for name in classes]


def shared_classes(texts: Mapping[str, Texts]) -> dict[str, NDArray[np.int64]] | None:
    """The classes that prompts of all labelled domains call the same, where the domains' classes differ.

    A name that a domain has twice is left out: nothing says which of the two is meant.

    Returns: for each labelled domain the numbers of its shared classes, int64 [s], in one order (the first domain's); None when
        fewer than two domains have classes, all have the same, or fewer than two are shared.
    """
    words = {domain: found.classes.words for domain, found in texts.items() if found.classes is not None}
    if len(words) < 2 or len({frozenset(one) for one in words.values()}) == 1:
        return None
    first = next(iter(words.values()))
    shared = [word for word in first if all(one.count(word) == 1 for one in words.values())]
    if len(shared) < 2:
        return None
    return {domain: np.array([one.index(word) for word in shared], dtype=np.int64) for domain, one in words.items()}


def _classes(
    domain: str,
    manifest: Manifest,
    embeddings: Embeddings,
    templates: str | tuple[str, ...],
    words: list[str],
    towers: Towers,
    notes: list[str],
) -> Classes | None:
    if len(manifest.classes) < 2:
        return None
    chosen = resolve_templates(templates)
    try:
        tower = towers.of(embeddings.encoder)
        weights = class_directions(tower, words, chosen)
    except Unavailable as error:
        notes.append(f"no zero-shot accuracy: {error}; {AGAIN}")
        return None
    _check_width(domain, weights, embeddings)
    return Classes(list(manifest.classes), words, weights, chosen)


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
