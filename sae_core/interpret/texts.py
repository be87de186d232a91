"""Text directions of a run's words: from the text tower of the CLIP that made the embeddings, or from texts it came with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sae_core.clip.embed import Embeddings
from sae_core.clip.encoder import Encoder
from sae_core.clip.towers import Towers
from sae_core.clip.words import builtin_words, imagenet_words, read_by
from sae_core.config import InterpretConfig
from sae_core.data.manifest import Manifest
from sae_core.errors import InputError, Unavailable
from sae_core.evaluate.metrics import unit
from sae_core.interpret.vocabulary import GENERIC, Vocabulary, from_captions, read_words, vocabulary_from_words


def make_vocabulary(
    config: InterpretConfig, manifests: Mapping[str, Manifest], embeddings: Mapping[str, Embeddings], towers: Towers
) -> Vocabulary:
    """The vocabulary a config names, with directions of the CLIP that made the embeddings.

    Args:
        config: its vocabulary, file and templates.
        manifests: of every domain, for class names and captions.
        embeddings: of every domain, all of one CLIP.
        towers: where text towers come from.

    Raises:
        InputError: a bad vocabulary file; classes or captions that the data does not have.
        Unavailable: the text tower's weights are not here and cannot be fetched (captions that came with their text
            embeddings need none).
    """
    if config.vocabulary == "captions":
        return caption_vocabulary(manifests, embeddings, towers)
    words = _words(config, manifests)
    encoder = encoder_of(embeddings)
    words, note = read_by(encoder, words)
    try:
        tower = towers.of(encoder)
    except Unavailable as error:
        with_texts = all(embedding.texts is not None for embedding in embeddings.values())
        hint = "; interpret.vocabulary: captions needs no text tower, for this data has text embeddings" if with_texts else ""
        raise Unavailable(f"{error}{hint}") from None
    vocabulary = vocabulary_from_words(config.vocabulary, words, tower, config.templates, note)
    check_width(vocabulary.texts.shape[1], embeddings)
    return vocabulary


def check_width(width: int, embeddings: Mapping[str, Embeddings]) -> None:
    """Refuse texts of another width than the images': the encoder named for precomputed embeddings did not make them."""
    for domain, embedding in embeddings.items():
        if width != embedding.d:
            raise InputError(
                f"domain {domain}: embeddings are {embedding.d} wide, texts of {embedding.encoder} are {width}; "
                f"set data.{domain}.encoder to the CLIP that made the embeddings"
            )


def _words(config: InterpretConfig, manifests: Mapping[str, Manifest]) -> tuple[str, ...]:
    if config.vocabulary == "imagenet":
        return imagenet_words()
    if config.vocabulary == "file":
        assert config.vocabulary_file is not None  # the config insists
        return read_words(config.vocabulary_file)
    if config.vocabulary == "classes":
        names = tuple(dict.fromkeys(name for manifest in manifests.values() for name in manifest.classes))
        if len(names) < 2:
            raise InputError("interpret.vocabulary: classes, but the data has no two classes; use builtin, captions or file")
        return names
    return builtin_words()


def caption_vocabulary(manifests: Mapping[str, Manifest], embeddings: Mapping[str, Embeddings], towers: Towers) -> Vocabulary:
    """The distinct captions of every domain that has any, by their own text embeddings or through the text tower.

    Raises:
        InputError: no captions, or no two that differ.
        Unavailable: captions without text embeddings, and a text tower that is not here.
    """
    captions: list[str] = []
    texts: list[NDArray[np.float32]] = []
    tower: Encoder | None = None
    for domain, embedding in embeddings.items():
        said = manifests[domain].captions
        rows = [(row, caption) for row, image in enumerate(embedding.images) if (caption := said[int(image)]) is not None]
        if not rows:
            continue
        own = [caption for _, caption in rows]
        if embedding.texts is not None:
            texts.append(np.asarray(embedding.texts, dtype=np.float32)[[row for row, _ in rows]])
        else:
            tower = tower or towers.of(embedding.encoder)
            distinct = {caption: i for i, caption in enumerate(dict.fromkeys(own))}
            texts.append(tower.texts(list(distinct))[[distinct[caption] for caption in own]])
        captions += own
    if not captions:
        raise InputError("vocabulary captions, but no domain has captions; use builtin, classes or a file of words")
    generic = None if tower is None else unit(tower.texts(list(GENERIC))).mean(axis=0)
    vocabulary = from_captions(captions, np.concatenate(texts), generic)
    check_width(vocabulary.texts.shape[1], embeddings)
    return vocabulary


def encoder_of(embeddings: Mapping[str, Embeddings]) -> str:
    """The one CLIP that made the embeddings, such as `bundled/v1`. Raises InputError when there are several."""
    ids = {str(embedding.encoder) for embedding in embeddings.values()}
    if len(ids) != 1:
        raise InputError(f"the domains were embedded by {', '.join(sorted(ids))}; a dictionary is named in the terms of one CLIP")
    return ids.pop()
