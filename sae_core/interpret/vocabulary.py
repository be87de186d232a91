"""Vocabularies: the words a latent may be called by, each with its text direction.

t_w = unit(mean over templates of unit(text(template(w))))        texts
unit(t_w - mean over the vocabulary of t)                         directions: for naming
unit(t_w - mean over generic prompts of unit(text))               contrasts: for scoring
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sae_core.clip.prompts import TextTower, class_directions
from sae_core.errors import InputError
from sae_core.evaluate.metrics import unit

MAX_WORDS = 20_000
MAX_WORD_CHARS = 80
MAX_FILE_BYTES = 2_000_000
GENERIC = ("a sketch", "a drawing", "a line drawing", "a photo", "a picture", "an image")
"""Prompts that say nothing of the content; scoring asks what a word adds to them."""


@dataclass(frozen=True)
class Vocabulary:
    """Words and their text directions.

    Attributes:
        source: builtin, imagenet, classes, captions or file.
        words: v distinct words or captions.
        texts: float32 [v, d], unit rows: t_w.
        generic: float32 [d]: what `contrasts` subtracts, the mean of unit rows.
        generic_of: what `generic` is the mean of, in words.
        note: what a reader should know of the choice of words, or nothing.
    """

    source: str
    words: tuple[str, ...]
    texts: NDArray[np.float32]
    generic: NDArray[np.float32]
    generic_of: str
    note: str = ""

    def __post_init__(self) -> None:
        if len(self.words) < 2:
            raise InputError(f"vocabulary {self.source} has {len(self.words)} word(s); naming needs at least two to choose from")
        assert self.texts.shape == (len(self.words), len(self.generic)), (self.texts.shape, self.generic.shape)

    @cached_property
    def directions(self) -> NDArray[np.float32]:
        """float32 [v, d]: unit(t_w - mean of the vocabulary); what all words share (the modality, "a sketch of") is gone."""
        return unit(self.texts - self.texts.mean(axis=0, dtype=np.float64))

    @cached_property
    def contrasts(self) -> NDArray[np.float32]:
        """float32 [v, d]: unit(t_w - generic); does not depend on which other words are in the vocabulary."""
        return unit(self.texts - self.generic)


def vocabulary_from_words(
    source: str, words: Sequence[str], encoder: TextTower, templates: Sequence[str], note: str = ""
) -> Vocabulary:
    """A vocabulary from words through a text tower.

    Args:
        source: where the words are from, kept in the record.
        words: words or short phrases; repeats are dropped.
        encoder: the text tower of the CLIP whose embeddings the dictionary was trained on.
        templates: template strings with `{}` for the word.
        note: kept in the record.

    Raises:
        InputError: fewer than two distinct words, or a bad template.
    """
    distinct = tuple(dict.fromkeys(words))
    if len(distinct) < 2:
        raise InputError(f"vocabulary {source} has {len(distinct)} word(s); naming needs at least two to choose from")
    texts = class_directions(encoder, distinct, tuple(templates))
    generic = generic_direction(encoder)
    return Vocabulary(source, distinct, texts, generic, "; ".join(GENERIC), note)


def generic_direction(encoder: TextTower) -> NDArray[np.float32]:
    """float32 [d]: the mean of the unit generic prompts, what every picture is called whatever it shows."""
    return np.asarray(unit(encoder.texts(list(GENERIC))).mean(axis=0))


def label_contrasts(labels: Sequence[str], encoder: TextTower, templates: Sequence[str]) -> NDArray[np.float32]:
    """float32 [L, d]: unit(t - generic) of free texts, as `Vocabulary.contrasts` has it for words.

    Raises: InputError for no label, or a bad template.
    """
    return unit(class_directions(encoder, labels, tuple(templates)) - generic_direction(encoder))


def from_captions(captions: Sequence[str], texts: NDArray[np.float32], generic: NDArray[np.float32] | None = None) -> Vocabulary:
    """A vocabulary of the distinct captions of a data set, with their text embeddings as they are (no template).

    Args:
        captions: n captions; equal ones are one word, whose direction is the mean of theirs.
        texts: float32 [n, d] raw text embeddings, a row a caption.
        generic: float32 [d], mean of the unit generic prompts; None takes the mean of the captions, for data that comes
            without a text tower.

    Raises:
        InputError: fewer than two distinct captions, or a caption without a text embedding.
    """
    if len(captions) != len(texts):
        raise InputError(f"{len(captions)} captions but {len(texts)} text embeddings; they must go together row by row")
    words, index = np.unique(np.array(captions, dtype=object).astype(str), return_inverse=True)
    if len(words) > MAX_WORDS:
        raise InputError(
            f"the data has {len(words)} distinct captions, above {MAX_WORDS}; use vocabulary builtin or a file of words"
        )
    total = np.zeros((len(words), texts.shape[1]))
    np.add.at(total, index, unit(texts))
    rows = unit(total)
    of = "; ".join(GENERIC) if generic is not None else "all distinct captions (no text tower for a generic prompt)"
    mean = rows.mean(axis=0) if generic is None else generic
    return Vocabulary("captions", tuple(words.tolist()), rows, mean.astype(np.float32), of)


def read_words(path: str | Path) -> tuple[str, ...]:
    """Words from a user's UTF-8 text file, one a line; blank lines and lines that begin with # are skipped.

    Raises:
        InputError: no such file, not UTF-8 text, above 2 MB, above 20,000 words, a word above 80 characters or with control
            characters (the line is named), or fewer than two distinct words.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"no vocabulary file at {file}; give a text file with one word a line")
    if file.stat().st_size > MAX_FILE_BYTES:
        raise InputError(f"vocabulary file {file} has {file.stat().st_size} bytes, above {MAX_FILE_BYTES}; shorten it")
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"cannot read vocabulary file {file}: {error}; give UTF-8 text with one word a line") from None
    words: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        word = " ".join(line.split(" ")).strip()
        if not word or word.startswith("#"):
            continue
        if len(word) > MAX_WORD_CHARS:
            raise InputError(f"vocabulary file {file}, line {number}: {len(word)} characters, above {MAX_WORD_CHARS}; shorten it")
        if any(unicodedata.category(character).startswith("C") for character in word):
            raise InputError(f"vocabulary file {file}, line {number}: control characters; give plain words, one a line")
        words[word] = None
    if not 2 <= len(words) <= MAX_WORDS:
        raise InputError(f"vocabulary file {file} has {len(words)} distinct words; give 2 to {MAX_WORDS}, one a line")
    return tuple(words)
