"""What the pages compute for themselves: whose a latent is, tables as CSV, sliders as edits."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sae_core as sc
from pages._ui import bits, latents, steering


def rates(*rows: tuple[float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["sketch.rate", "photo.rate"])


def test_a_latent_is_a_domains_own_from_95_percent_of_its_rates() -> None:
    table = rates((0.19, 0.01), (0.1, 0.01), (0.0, 0.5), (0.0, 0.0), (0.3, 0.3))
    assert latents.groups(table, ("sketch", "photo")) == ["sketch only", "shared", "photo only", "dead", "shared"]


def test_with_one_domain_there_is_no_other_to_share_with() -> None:
    assert latents.groups(pd.DataFrame({"a.rate": [0.1, 0.0]}), ("a",)) == ["shared", "dead"]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20), st.floats(0.01, 100))
def test_whose_a_latent_is_does_not_depend_on_the_unit_of_rates(pairs: list[tuple[float, float]], factor: float) -> None:
    table = rates(*pairs)
    shares = table.max(axis=1) / table.sum(axis=1).replace(0, np.nan)
    table = table[((shares - latents.ONLY).abs() > 1e-9) | shares.isna()]  # on the line rounding decides
    table = table[(table.sum(axis=1) == 0) | (table.sum(axis=1) > 1e-9)]
    assert latents.groups(table, ("sketch", "photo")) == latents.groups(table * factor, ("sketch", "photo"))


def test_csv_round_trips_numbers_and_makes_formulas_inert() -> None:
    table = pd.DataFrame({"n": [1.5, -2.0], "text": ["=HYPERLINK(1)", 'a, "b"'], "group": pd.Categorical(["+x", "y"])})
    back = pd.read_csv(io.BytesIO(bits.csv(table)))
    assert back["n"].tolist() == [1.5, -2.0]
    assert back["text"].tolist() == ["'=HYPERLINK(1)", 'a, "b"']
    assert back["group"].tolist() == ["'+x", "y"]


def test_a_slider_at_rest_edits_nothing() -> None:
    slider = steering.Slider(latent=7, name="spiral", maximum=2.0, rest=0.5)
    assert slider.title == "latent 7: spiral"
    assert slider.edit("clamp", 0.5) is None
    assert slider.edit("clamp", 0.5 + 1e-9) is None, "a float's rounding is no move"
    assert slider.edit("add", 0.0) is None
    assert steering.Slider(7, None, 2.0, 0.0).edit("ablate", 3.0) is None, "it is off already"


def test_a_slider_speaks_in_multiples_of_the_maximum() -> None:
    slider = steering.Slider(latent=7, name=None, maximum=2.0, rest=0.5)
    assert slider.edit("clamp", 3.0) == sc.Edit(latent=7, op="clamp", value=3.0)
    assert slider.edit("clamp", 0.0) == sc.Edit(latent=7, op="clamp", value=0.0)
    assert slider.edit("add", -1.5) == sc.Edit(latent=7, op="add", value=-3.0)
    assert slider.edit("ablate", 3.0) == sc.Edit(latent=7, op="ablate")


def test_a_latent_is_the_number_that_a_text_begins_with() -> None:
    alive = {0, 7, 12}
    assert [steering.latent_of(text, alive) for text in ("12", " 12 · spiral", "0")] == [12, 12, 0]
    assert [steering.latent_of(text, alive) for text in ("", "spiral 12", "-1", "1.5", "７", "9" * 5000, "3")] == [None] * 7


@pytest.mark.parametrize("edits", [(), (("clamp", 2.5), ("add", -0.125)), (("ablate", 0.0),)])
def test_the_overrides_make_the_steer_stage_do_the_same(edits: tuple[tuple[str, float], ...]) -> None:
    wanted = tuple(sc.Edit(latent=n, op=op, value=value) for n, (op, value) in enumerate(edits))  # type: ignore[arg-type]
    recipe = sc.Recipe(edits=wanted, keep_error=False, renormalise=True)
    raw = {"data": {"sketch": {"source": "drawn"}}}
    config = sc.config.validate(sc.RunConfig, sc.config.override(raw, steering.overrides("sketch", 12, recipe)), "test")
    assert (config.steer.domain, config.steer.image) == ("sketch", 12)
    assert config.steer.edits == wanted
    assert (config.steer.keep_error, config.steer.renormalise) == (False, True)
