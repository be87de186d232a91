"""What prompts call classes, and which classes domains share."""

from __future__ import annotations

import numpy as np
import pytest

from sae_core.errors import InputError
from sae_core.evaluate.texts import Classes, Texts, prompt_words, shared_classes


def texts(*words: str) -> Texts:
    return Texts(Classes(list(words), list(words), np.eye(len(words), 8, dtype=np.float32), ("{}",)))


def chosen(**domains: Texts) -> dict[str, list[int]] | None:
    found = shared_classes(domains)
    return None if found is None else {name: numbers.tolist() for name, numbers in found.items()}


def test_shared_classes_are_found_by_their_words() -> None:
    assert chosen(a=texts("cat", "dog", "fox"), b=texts("fox", "owl", "cat")) == {"a": [0, 2], "b": [2, 0]}
    # A domain without classes does not count, nor does the order.
    assert chosen(a=texts("cat", "dog"), b=texts("dog", "cat")) is None
    assert chosen(a=texts("cat", "dog"), b=Texts()) is None
    assert chosen(a=texts("cat", "dog", "owl"), b=texts("cat", "fox", "elk")) is None
    assert chosen(a=texts("x", "y", "z"), b=texts("x", "y"), c=texts("y", "w", "x")) == {"a": [0, 1], "b": [0, 1], "c": [2, 0]}


def test_a_name_that_a_domain_has_twice_is_not_shared() -> None:
    assert chosen(a=texts("crane", "cat", "crane", "dog"), b=texts("crane", "dog", "cat", "fox")) == {"a": [1, 3], "b": [2, 1]}


def test_renaming() -> None:
    assert prompt_words("d", ["crane", "cat"], {"crane": "crane bird"}) == ["crane bird", "cat"]
    with pytest.raises(InputError, match=r"^evaluate.class_names.d renames 'dog'; d has crane, cat$"):
        prompt_words("d", ["crane", "cat"], {"dog": "puppy"})
    with pytest.raises(InputError, match=r"d has no class$"):
        prompt_words("d", [], {"dog": "puppy"})
