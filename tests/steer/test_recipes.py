"""Recipes survive every way they are kept, and what is damaged on the way is refused in a line."""

from __future__ import annotations

import base64
import re
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_core.config import Edit, Recipe
from sae_core.errors import InputError
from sae_core.steer.recipes import read_recipe, to_link

FINITE = st.floats(allow_nan=False, allow_infinity=False)
HASH = st.none() | st.text("0123456789abcdef", min_size=64, max_size=64)
EDIT = st.builds(Edit, latent=st.integers(0, 99_999), op=st.sampled_from(["set", "add", "ablate", "clamp"]), value=FINITE)
RECIPE = st.builds(
    Recipe,
    edits=st.lists(EDIT, max_size=8).map(tuple),
    sae=HASH,
    encoder=st.none() | st.text(max_size=30),
    image=HASH,
    maxima=st.dictionaries(st.integers(0, 99_999), st.floats(0, 1e30), max_size=8),
    keep_error=st.booleans(),
    renormalise=st.booleans(),
    seed=st.integers(0, 2**32),
    decoder=st.none() | st.text(max_size=30),
)


@given(RECIPE)
def test_a_recipe_survives_json_and_link(recipe: Recipe) -> None:
    link = to_link(recipe)
    assert re.fullmatch(r"r1\.[A-Za-z0-9_-]+", link)
    for text in (recipe.to_json(), link, f"https://lab.example/steer?run=a&recipe={link}&x=1#y"):
        assert read_recipe(text) == recipe


@given(RECIPE, st.data())
@settings(max_examples=50)
def test_a_damaged_link_is_refused_in_one_line(recipe: Recipe, data: st.DataObject) -> None:
    link = to_link(recipe)
    at = data.draw(st.integers(3, len(link) - 1))
    damaged = data.draw(st.sampled_from([link[:at], link[:at] + ("A" if link[at] != "A" else "B") + link[at + 1 :]]))
    try:
        # The last letter has bits that say nothing; whatever else is changed, the checksum of zlib tells.
        found = read_recipe(damaged)
    except InputError as error:
        said = str(error)
    else:
        said = ""
        assert found == recipe
    assert "\n" not in said


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (zlib.compress(b" " * 5_000_000), "unpacks to more"),
        (zlib.compress(b'{"edits": []}')[:-3], "cut short"),
        (zlib.compress(b"[1]"), "holds no recipe"),
        (zlib.compress(b"\xff"), "damaged"),
        (zlib.compress(b'{"version": 2}'), "version"),
        (zlib.compress(b'{"edits": [{"latent": 1, "value": NaN}]}'), "finite"),
        (b"no zlib", "damaged"),
    ],
)
def test_a_link_that_holds_something_else_is_refused(data: bytes, fault: str) -> None:
    with pytest.raises(InputError, match=fault) as caught:
        read_recipe("r1." + base64.urlsafe_b64encode(data).decode().rstrip("="))
    assert "\n" not in str(caught.value)


def test_json_nested_without_end_is_refused() -> None:
    with pytest.raises(InputError, match="no JSON"):
        read_recipe('{"a":' * 100_000)
