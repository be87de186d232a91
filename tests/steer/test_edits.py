"""Recipes and their application: exact where arithmetic is exact, and every bad one refused with its cause."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sae_core.config import Edit
from sae_core.errors import InputError
from sae_core.steer import edits
from sae_core.steer.edits import Recipe, advice, apply, read_recipe, resolve, steer

Array = NDArray[np.float32]


def edits_strategy() -> st.SearchStrategy[list[Edit]]:
    edit = st.builds(
        Edit,
        latent=st.integers(0, 39),
        op=st.sampled_from(["set", "add", "ablate", "clamp"]),
        value=st.floats(-3, 5, allow_nan=False),
    )
    return st.lists(edit, max_size=6)


def by_hand(x: Array, chosen: list[Edit], sae: Any, maxima: Array, keep_error: bool) -> Array:
    """decode(z') + error, edit by edit on the dense code, in float64."""
    z = sae.encode(x).astype(np.float64)
    error = x.astype(np.float64) - (z @ sae.dictionary / sae.scale + sae.mean)
    edited, changed = z.copy(), z
    for latent in {edit.latent for edit in chosen}:
        edit = [one for one in chosen if one.latent == latent][-1]
        column = changed[:, latent]
        new = {"set": edit.value, "add": column + edit.value, "ablate": 0.0, "clamp": edit.value * maxima[latent]}[edit.op]
        edited[:, latent] = new
    return edited @ sae.dictionary / sae.scale + sae.mean + (error if keep_error else 0)


@given(given_edits=edits_strategy(), keep_error=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_two_forms_agree(given_edits: list[Edit], keep_error: bool, sae: Any, x: Array, maxima: Array) -> None:
    chosen = [edit for edit in given_edits if maxima[edit.latent] > 0]
    steered = apply(x, Recipe(edits=chosen, keep_error=keep_error), sae, maxima)
    expected = by_hand(x, chosen, sae, maxima, keep_error)
    assert steered.dtype == np.float32
    np.testing.assert_allclose(steered, expected, rtol=1e-5, atol=1e-5 * np.abs(x).max() * 5)


@pytest.mark.parametrize("renormalise", [False, True])
def test_the_empty_recipe_is_the_identity_bit_for_bit(sae: Any, x: Array, renormalise: bool) -> None:
    x[0, 0] = -0.0
    steered = apply(x, Recipe(renormalise=renormalise), sae)
    assert steered.tobytes() == x.tobytes()
    assert steered is not x


def test_the_empty_recipe_without_the_error_is_the_reconstruction(sae: Any, x: Array) -> None:
    np.testing.assert_array_equal(apply(x, Recipe(keep_error=False), sae), sae(x))


def test_ablating_a_silent_latent_does_nothing(sae: Any, x: Array, maxima: Array) -> None:
    z = sae.encode(x)
    for latent in np.flatnonzero(maxima > 0)[:10]:
        silent = z[:, latent] == 0
        steered = apply(x, Recipe(edits=[Edit(latent=int(latent), op="ablate")]), sae, maxima)
        np.testing.assert_array_equal(steered[silent], x[silent])
        assert (steered[~silent] != x[~silent]).any(axis=1).all()


def test_setting_a_latent_to_what_it_is_does_nothing_and_clamping_is_in_units_of_its_maximum(
    sae: Any, x: Array, maxima: Array
) -> None:
    latent = int(np.argmax(maxima))
    one = x[[int(sae.encode(x)[:, latent].argmax())]]
    np.testing.assert_allclose(
        apply(one, Recipe(edits=[Edit(latent=latent, op="clamp", value=1.0)]), sae, maxima), one, atol=1e-6
    )
    twice = apply(one, Recipe(edits=[Edit(latent=latent, op="clamp", value=2.0)]), sae, maxima)
    np.testing.assert_allclose(twice - one, maxima[latent] * sae.decoder_raw[[latent]], rtol=1e-4, atol=1e-5)
    more = apply(one, Recipe(edits=[Edit(latent=latent, op="add", value=float(maxima[latent]))]), sae, maxima)
    np.testing.assert_allclose(more, twice, rtol=1e-5, atol=1e-5)


@given(given_edits=edits_strategy())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_renormalising_keeps_the_norm(given_edits: list[Edit], sae: Any, x: Array, maxima: Array) -> None:
    chosen = [edit for edit in given_edits if maxima[edit.latent] > 0]
    for keep_error in (True, False):
        steered = apply(x, Recipe(edits=chosen, renormalise=True, keep_error=keep_error), sae, maxima)
        np.testing.assert_allclose(np.linalg.norm(steered, axis=1), np.linalg.norm(x, axis=1), rtol=1e-5)


def test_rows_do_not_depend_on_their_company(sae: Any, x: Array, maxima: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(edits=[Edit(latent=int(np.argmax(maxima)), op="clamp", value=2.0)])
    whole = apply(x, recipe, sae, maxima)
    monkeypatch.setattr(edits, "ROWS", 7)
    # Not bit for bit: without AVX-512, a row that is alone in its part goes through another kernel of the matrix product.
    np.testing.assert_allclose(apply(x, recipe, sae, maxima), whole, rtol=1e-5, atol=1e-6)


def test_of_two_edits_on_one_latent_the_last_counts_and_it_is_said(sae: Any, x: Array, maxima: Array) -> None:
    latent = int(np.argmax(maxima))
    first, last = Edit(latent=latent, op="set", value=9.0), Edit(latent=latent, op="ablate")
    resolved, notes = resolve([first, last])
    assert resolved == (last,)
    assert len(notes) == 1
    assert "set 9 does not" in notes[0]
    both, only = Recipe(edits=[first, last]), Recipe(edits=[last])
    np.testing.assert_array_equal(apply(x, both, sae, maxima), apply(x, only, sae, maxima))
    with pytest.warns(UserWarning, match="edited twice"):
        steer(x, both, sae, maxima)


def test_strengths_beyond_what_was_seen_are_warned_of(sae: Any, x: Array, maxima: Array) -> None:
    latent = int(np.argmax(maxima))
    assert advice(Recipe(edits=[Edit(latent=latent, op="clamp", value=4.0)])) == []
    assert "above 4" in advice(Recipe(edits=[Edit(latent=latent, op="clamp", value=4.5)]))[0]
    assert "above 4" in advice(Recipe(edits=[Edit(latent=3, op="set", value=9.0)], maxima={3: 2.0}))[0]
    assert advice(Recipe(edits=[Edit(latent=3, op="ablate", value=99.0)], maxima={3: 2.0})) == []
    assert "below 0" in advice(Recipe(edits=[Edit(latent=3, op="set", value=-1.0)]))[0]


def test_recipes_survive_a_round_trip(tmp_path: Path) -> None:
    recipe = Recipe(
        edits=[Edit(latent=7, op="clamp", value=2.0), Edit(latent=9, op="add", value=-0.1)],
        sae="ab" * 32,
        encoder="ViT-B-32/openai",
        image="cd" * 32,
        maxima={7: 3.25},
        keep_error=False,
        renormalise=True,
        seed=5,
        decoder="none/v0",
    )
    file = tmp_path / "recipe.json"
    file.write_text(recipe.to_json(), encoding="utf-8")
    assert read_recipe(file) == read_recipe(recipe.to_json()) == recipe
    assert json.loads(recipe.to_json())["version"] == 1
    assert read_recipe("{}") == Recipe()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"version": 2}', "version"),
        ('{"edit": []}', "unknown key edit"),
        ('{"edits": [{"latent": -1}]}', r"edits\.0\.latent"),
        ('{"edits": [{"latent": 1.5}]}', r"edits\.0\.latent"),
        ('{"edits": [{"latent": 1, "op": "double"}]}', r"edits\.0\.op"),
        ('{"edits": [{"latent": 1, "value": NaN}]}', "finite"),
        ('{"edits": [{"latent": 1, "value": 1e999}]}', "finite"),
        ('{"edits": [{"latent": 1, "value": "2"}]}', r"edits\.0\.value"),
        ('{"maxima": {"1": -2.0}}', "maxima"),
        ('{"maxima": {"1": NaN}}', "maxima"),
        ('{"edits": ', "no JSON"),
    ],
)
def test_a_bad_recipe_is_refused_in_one_line(text: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault) as caught:
        read_recipe(text)
    assert "\n" not in str(caught.value)


def test_a_bad_recipe_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no recipe file"):
        read_recipe(tmp_path / "none.json")
    file = tmp_path / "recipe.json"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"recipe\.json"):
        read_recipe(file)
    file.write_text("[1]")
    with pytest.raises(InputError, match="no recipe"):
        read_recipe(file)
    file.write_text("{" + " " * 1_000_001 + "}")
    with pytest.raises(InputError, match="too many"):
        read_recipe(file)


def test_recipes_that_do_not_go_with_the_dictionary_are_refused(sae: Any, x: Array, maxima: Array) -> None:
    def refused(recipe: Recipe, units: Array | None = maxima) -> str:
        with pytest.raises(InputError) as caught:
            apply(x, recipe, sae, units)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    dead = maxima.copy()
    dead[3] = 0
    assert "latents 0 to 39" in refused(Recipe(edits=[Edit(latent=40)]))
    assert "latent 3 is dead" in refused(Recipe(edits=[Edit(latent=3, op="set", value=1.0)]), dead)
    assert "latent 3 is dead" in refused(Recipe(edits=[Edit(latent=3)], maxima={3: 0.0}), None)
    assert "RN50" in refused(Recipe(encoder="RN50/openai"))
    assert "dictionary ffff" in refused(Recipe(sae="ff" * 32))
    assert "needs its maximum" in refused(Recipe(edits=[Edit(latent=3)]), None)
    assert "maxima have shape" in refused(Recipe(edits=[Edit(latent=3)]), maxima[:5])
    apply(x, Recipe(encoder="ViT-B-32/openai", sae="ab" * 32), sae, maxima)


def test_bad_embeddings_are_refused(sae: Any, x: Array) -> None:
    zero, hole = x.copy(), x.copy()
    zero[4] = 0
    hole[7, 2] = np.nan
    with pytest.raises(InputError, match="row 4 is the zero vector"):
        apply(zero, Recipe(), sae)
    with pytest.raises(InputError, match="row 7 holds NaN"):
        apply(hole, Recipe(), sae)
    with pytest.raises(InputError, match=r"\[n, 16\]"):
        apply(x[:, :8], Recipe(), sae)
    with pytest.raises(InputError, match=r"\[n, 16\]"):
        apply(x[0], Recipe(), sae)


def test_steer_finds_the_maxima_itself(sae: Any, x: Array, maxima: Array) -> None:
    latent = int(np.argmax(maxima))
    recipe = Recipe(edits=[Edit(latent=latent, op="clamp", value=2.0)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(steer(x, recipe, sae), apply(x, recipe, sae, maxima), rtol=1e-6)
        known = recipe.model_copy(update={"maxima": {latent: float(maxima[latent])}})
        np.testing.assert_array_equal(steer(x[:1], known, sae), apply(x[:1], recipe, sae, maxima))
    row = x[[int(np.argmin(sae.encode(x)[:, latent]))]]
    with pytest.raises(InputError, match="fires on no row"):
        steer(row, recipe, sae)
