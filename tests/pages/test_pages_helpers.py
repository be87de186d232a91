"""What the pages compute for themselves: tables as CSV, sliders as edits."""

import io
import re
from pathlib import Path

import pandas as pd
import pytest

import sae_core as sc
from pages._ui import bits, session
from pages._ui.steer import opened, state

ROOT = Path(__file__).parents[2]


def test_csv_round_trips_numbers_and_makes_formulas_inert() -> None:
    table = pd.DataFrame({"n": [1.5, -2.0], "text": ["=HYPERLINK(1)", 'a, "b"'], "group": pd.Categorical(["+x", "y"])})
    back = pd.read_csv(io.BytesIO(bits.csv(table)))
    assert back["n"].tolist() == [1.5, -2.0]
    assert back["text"].tolist() == ["'=HYPERLINK(1)", 'a, "b"']
    assert back["group"].tolist() == ["'+x", "y"]


def test_a_slider_at_rest_edits_nothing() -> None:
    slider = state.Slider(latent=7, name="spiral", maximum=2.0, rest=0.5)
    assert slider.title == "latent 7: spiral"
    assert slider.edit("clamp", 0.5) is None
    assert slider.edit("clamp", 0.5 + 1e-9) is None, "a float's rounding is no move"
    assert slider.edit("add", 0.0) is None
    assert state.Slider(7, None, 2.0, 0.0).edit("ablate", 3.0) is None, "it is off already"


def test_a_slider_speaks_in_multiples_of_the_maximum() -> None:
    slider = state.Slider(latent=7, name=None, maximum=2.0, rest=0.5)
    assert slider.edit("clamp", 3.0) == sc.Edit(latent=7, op="clamp", value=3.0)
    assert slider.edit("clamp", 0.0) == sc.Edit(latent=7, op="clamp", value=0.0)
    assert slider.edit("add", -1.5) == sc.Edit(latent=7, op="add", value=-3.0)
    assert slider.edit("ablate", 3.0) == sc.Edit(latent=7, op="ablate")


def test_a_latent_is_the_number_that_a_text_begins_with() -> None:
    alive = {0, 7, 12}
    assert [opened.latent_of(text, alive) for text in ("12", " 12 · spiral", "0")] == [12, 12, 0]
    assert [opened.latent_of(text, alive) for text in ("", "spiral 12", "-1", "1.5", "７", "9" * 5000, "3")] == [None] * 7


@pytest.mark.parametrize("edits", [(), (("clamp", 2.5), ("add", -0.125)), (("ablate", 0.0),)])
def test_the_overrides_make_the_steer_stage_do_the_same(edits: tuple[tuple[str, float], ...]) -> None:
    wanted = tuple(sc.Edit(latent=n, op=op, value=value) for n, (op, value) in enumerate(edits))  # type: ignore[arg-type]
    recipe = sc.Recipe(edits=wanted, keep_error=False, renormalise=True)
    raw = {"data": {"sketch": {"source": "drawn"}}}
    config = sc.config.validate(sc.RunConfig, sc.config.override(raw, opened.overrides("sketch", 12, recipe)), "test")
    assert (config.steer.domain, config.steer.image) == ("sketch", 12)
    assert config.steer.edits == wanted
    assert (config.steer.keep_error, config.steer.renormalise) == (False, True)


def test_runs_of_one_name_and_minute_look_different_in_a_select_box(on_empty: Path) -> None:
    # Streamlit takes an option by its label: of two that look alike a click anywhere would choose the other run.
    store = sc.Store(on_empty)
    for seed, name in ((0, "twin"), (1, "twin"), (2, "other")):
        config = sc.load_config(ROOT / "configs" / "demo.yaml", [f"name={name}", "data.sketch.n=20", f"sae.seed={seed}"])
        keyed = sc.pipeline.keys(config, store)
        sc.pipeline.record(store, sc.pipeline.run_id(keyed), config, keyed)
    for file in on_empty.glob("runs/*/run.json"):
        file.write_text(re.sub(r'"created": [0-9.]+', '"created": 1700000000.0', file.read_text()))
    runs = session.all_runs()
    titles = [session.title(run) for run in runs]
    assert len(set(titles)) == 3
    for run, title in zip(runs, titles, strict=True):
        assert title.endswith(run.id[-4:]) == (run.name == "twin")
