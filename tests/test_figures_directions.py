"""The map of directions carries every latent once, and its colours say what the column says."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from sae_core.figures import directions_map
from sae_core.figures.directions import MOST

EVIL = "<b>x</b>"


def table(n: int = 60, **columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"latent": np.arange(n) * 2, "x": rng.standard_normal(n), "y": rng.standard_normal(n), **columns})


def latents(figure: Any) -> list[int]:
    return sorted(int(point[0]) for trace in figure.data for point in trace.customdata)


@pytest.mark.parametrize("n", [60, 2500])
def test_every_latent_is_there_once_at_its_place(n: int) -> None:
    frame = table(n, group=np.where(np.arange(n) % 3, "shared", "dead"), rate=np.linspace(0, 1, n))
    for column in ("group", "rate"):
        figure = directions_map(frame, column)
        assert latents(figure) == frame["latent"].tolist()
        assert {trace.type for trace in figure.data} == {"scatter" if n < 2000 else "scattergl"}
        placed = {int(p[0]): (x, y) for t in figure.data for p, x, y in zip(t.customdata, t.x, t.y, strict=True)}
        for row in frame.itertuples():
            assert placed[row.latent] == (row.x, row.y)


def test_categories_keep_their_colours_and_say_how_many() -> None:
    group = ["shared"] * 30 + ["sketch only"] * 20 + ["dead"] * 9 + [None]
    figure = directions_map(table(group=group), "group", {"shared": "#123456"})
    legend = {trace.name: trace for trace in figure.data}
    assert set(legend) == {"shared (30)", "sketch only (20)", "dead (9)", "none (1)"}
    assert legend["shared (30)"].marker.color == "#123456"
    assert len({(trace.marker.color, trace.marker.symbol) for trace in figure.data}) == 4


def test_rare_categories_are_other_and_yet_named_on_hover() -> None:
    many = [f"class {min(i, 59 - i)}" for i in range(60)]
    figure = directions_map(table(best=many), "best")
    assert len(figure.data) == MOST + 1
    other = next(trace for trace in figure.data if trace.name.startswith("other"))
    assert len(other.x) == 60 - 2 * MOST
    assert {point[2] for point in other.customdata} <= set(many)
    assert set(directions_map(table(bookmarked=[True] + [False] * 59), "bookmarked").data[0].name.split()) == {"no", "(59)"}


def test_numbers_over_decades_are_coloured_by_their_logarithm() -> None:
    rate = np.geomspace(1e-5, 1, 60)
    rate[0] = 0
    trace = directions_map(table(rate=rate), "rate", label="firing rate").data[0]
    np.testing.assert_allclose(np.asarray(trace.marker.color)[1:], np.log10(rate[1:]))
    assert trace.marker.color[0] == trace.marker.color[1], "nothing has no logarithm"
    assert trace.marker.colorbar.ticktext[-1] == "1"
    assert trace.marker.colorbar.title.text == "firing rate"
    assert trace.customdata[0][2] == "0"
    linear = directions_map(table(rate=np.linspace(0.5, 1, 60)), "rate").data[0]
    np.testing.assert_allclose(np.asarray(linear.marker.color), np.linspace(0.5, 1, 60))


def test_signed_numbers_are_coloured_about_nothing_and_missing_ones_are_grey() -> None:
    rho = np.linspace(-0.2, 0.4, 60)
    rho[7] = np.nan
    grey, shown = directions_map(table(rho=rho), "rho").data
    assert (shown.marker.cmin, shown.marker.cmax) == (-0.4, 0.4)
    assert [point[0] for point in grey.customdata] == [14]
    assert grey.name == "no value"


def test_marked_latents_get_a_ring_and_names_stay_text() -> None:
    frame = table(rate=np.linspace(0.1, 1, 60), name=[EVIL] + [None] * 59)
    figure = directions_map(frame, "rate", marked=[0, 4], label=EVIL)
    ring = figure.data[-1]
    assert [int(point[0]) for point in ring.customdata] == [0, 4]
    assert ring.marker.symbol == "circle-open"
    assert EVIL not in figure.to_json()
    assert "&lt;b&gt;" in ring.customdata[0][1]


def test_an_empty_map_and_a_column_of_one_value_are_drawn() -> None:
    assert directions_map(table(0, rate=np.zeros(0)), "rate").data == ()
    assert len(directions_map(table(rate=np.zeros(60)), "rate").data[0].x) == 60
