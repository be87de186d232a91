"""Vocabularies: the shipped list, a user's file, captions, and the directions they make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sae_core.errors import InputError
from sae_core.evaluate.metrics import unit
from sae_core.interpret import vocabulary


class Letters:
    """A text tower that counts letters: a real function of the text, so prompts and templates matter."""

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[text.count(letter) + 0.1 for letter in "abcdefghijkl"] for text in texts], dtype=np.float32)


def test_words_become_the_mean_of_their_templates() -> None:
    made = vocabulary.vocabulary_from_words("file", ["cab", "big", "cab"], Letters(), ("a {}", "{} {}".replace(" {}", " lid")))
    assert made.words == ("cab", "big")
    prompts = unit(Letters().texts(["a cab", "cab lid"]))
    np.testing.assert_allclose(made.texts[0], unit(prompts.mean(axis=0)[None])[0], atol=1e-6)
    centred = made.texts - made.texts.mean(axis=0)
    np.testing.assert_allclose(made.directions, unit(centred), atol=1e-6)
    generic = unit(Letters().texts(list(vocabulary.GENERIC))).mean(axis=0)
    np.testing.assert_allclose(made.contrasts, unit(made.texts - generic), atol=1e-6)


def test_one_word_is_no_vocabulary() -> None:
    with pytest.raises(InputError, match="at least two"):
        vocabulary.vocabulary_from_words("classes", ["house", "house"], Letters(), ("{}",))
    with pytest.raises(InputError, match="at least two"):
        vocabulary.from_captions(["a", "a"], np.ones((2, 3), np.float32))


def test_equal_captions_are_one_word() -> None:
    texts = np.array([[2.0, 0], [0, 5], [0.0, 1]], dtype=np.float32)
    made = vocabulary.from_captions(["shoe", "hat", "hat"], texts)
    assert made.words == ("hat", "shoe")
    np.testing.assert_allclose(made.texts, [[0, 1], [1, 0]])
    np.testing.assert_allclose(made.generic, [0.5, 0.5])
    assert "no text tower" in made.generic_of
    with pytest.raises(InputError, match="3 text embeddings"):
        vocabulary.from_captions(["shoe"], texts)


def test_a_users_file_is_read_a_word_a_line(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("\ufeff# my words\nhouse\n\n  Gartenzaun  \nhouse\n鳥\n", encoding="utf-8")
    assert vocabulary.read_words(file) == ("house", "Gartenzaun", "鳥")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"house\n", "1 distinct"),
        (b"", "0 distinct"),
        (b"\xff\xfe\x00bad", "UTF-8"),
        (b"house\n" + b"x" * 81, "line 2: 81 characters"),
        (b"house\nbad\x07bell\n", "line 2: control characters"),
        ("house\ntur\u202edover\n".encode(), "line 2: control characters"),
        (b"\n".join(b"word%d" % i for i in range(20_001)), "20001 distinct"),
        (b"word\n" * 500_000, "bytes, above"),
    ],
    ids=["one", "empty", "binary", "long", "control", "bidi", "many", "huge"],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, content: bytes, fault: str) -> None:
    file = tmp_path / "words.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=fault) as caught:
        vocabulary.read_words(file)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no vocabulary file"):
        vocabulary.read_words(tmp_path / "none.txt")
