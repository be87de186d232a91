"""The figures of evaluation say what the report says, on one scale, with text that stays text."""

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_core import figures

EVIL = "<img src=x onerror=alert(1)> & <b>bold</b>"


def domain(n: int = 200, clip: float = 0.9, sae: float = 0.8) -> dict[str, Any]:
    paired = {"delta": sae - clip, "delta_ci_low": sae - clip - 0.03, "delta_ci_high": sae - clip + 0.03, "mcnemar_p": 0.01}
    control = {"delta": -0.5, "delta_ci_low": -0.6, "delta_ci_high": -0.4, "mcnemar_p": 1e-9, "n": n}
    return {
        "zero_shot": {"accuracy_clip": clip, "accuracy_sae": sae, "accuracy_floor": 0.08, "n": n, **paired},
        "controls": [
            {"name": "mean ablation", "accuracy": 0.08, **control},
            {"name": "PCA", "accuracy": 0.75, **control, "delta": -0.15},
            {"name": "random dictionary", "accuracy": 0.4, **control},
        ],
    }


def verdicts(names: tuple[str, ...] = ("dictionary", "random dictionary", "raw dimensions")) -> dict[str, Any]:
    found = {}
    for nth, name in enumerate(names):
        shares = [0.4 - 0.1 * nth, 0.3, 0.1, 0.2 + 0.1 * nth]
        lines = {
            verdict: {"latents": round(100 * share), "share": share, "low": share - 0.05, "high": share + 0.05}
            for verdict, share in zip(figures.VERDICTS, shares, strict=True)
        }
        found[name] = {"tested": 100, **lines}
    return {"n": 900, "dictionaries": found}


def judged(name: str = "line_count") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "latent": [0, 1, 2, 3, 4],
            "count": [100, 25, 50, 400, 3],
            "measure": [name, "loops", "dots", "corners", ""],
            "rho": [0.5, 0.1, -0.4, 0.05, np.nan],
            "geometric_effect": [0.5, 0.05, 0.4, 0.02, np.nan],
            "semantic_effect": [0.03, 0.6, 0.3, 0.01, np.nan],
            "verdict": ["geometric", "semantic", "both", "neither", "untested"],
            "name": [name, None, None, None, None],
        }
    )


def shifted(a: str = "sketch", b: str = "photo") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "latent": [3, 8, 11, 12],
            "rate_a": [0.2, 0.0, 0.01, 0.0],
            "rate_b": [0.1, 0.5, 0.0, 0.0],
            "tab": ["shared", f"{b} only", f"{a} only", "dead"],
        }
    )


def probes() -> list[dict[str, Any]]:
    return [
        {"k": k, "features": features, "auroc": base + 0.02 * k, "auroc_ci_low": base, "auroc_ci_high": base + 0.04 * k}
        | {"auroc_null": 0.5, "classes": 12, "n": 400}
        for features, base in (("dimensions", 0.6), ("latents", 0.7))
        for k in (5, 1)
    ]


def every_figure(text: str = "sketch") -> dict[str, go.Figure]:
    colours = {text: figures.SKETCH, "photo": figures.PHOTO}
    used = {"l0": [30, 31, 32], "images": [5, 10, 85]}
    spectrum = {"rate": [0.0, 1e-3, 1e-2, 1e-1, 1.0], "latents": [7, 20, 60, 13]}
    counts = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 10]])
    return {
        "controls_bars": figures.controls_bars({text: domain(), "photo": domain(clip=0.5, sae=0.45)}),
        "confusion": figures.confusion(counts, counts[::-1], [text, "cat", "dog"]),
        "confusion_before": figures.confusion(counts, counts, [text, "cat", "dog"], "before"),
        "confusion_after": figures.confusion(counts, counts, [text, "cat", "dog"], "after"),
        "l0_histogram": figures.l0_histogram({text: used, "photo": used}, colours),
        "firing_spectrum": figures.firing_spectrum({text: spectrum, "photo": spectrum}, colours),
        "sparse_probe_lines": figures.sparse_probe_lines({text: probes()}, colours),
        "geometry_map": figures.geometry_map(judged(text), 0.1),
        "verdict_shares": figures.verdict_shares({text: verdicts(), "photo": verdicts()}),
        "shift_map": figures.shift_map(shifted(text), text, "photo", colours, {text: 1e-4, "photo": 1e-3}),
    }


@pytest.mark.parametrize("name", list(every_figure()))
def test_every_figure_takes_the_theme_around_it_and_fits_a_phone(name: str) -> None:
    figure = every_figure()[name]
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert figure.layout.font.color is None
    assert len(figure.layout.title.text or "") <= 42
    assert all(axis.automargin for axis in [*figure.select_xaxes(), *figure.select_yaxes()])
    assert any(axis.title.text for axis in figure.select_xaxes())
    assert json.loads(figure.to_json())["data"]


@pytest.mark.parametrize("name", list(every_figure()))
def test_a_name_is_text_never_markup(name: str) -> None:
    text = every_figure(EVIL)[name].to_json().encode().decode("unicode_escape")
    assert not re.search(r"<(img|b)\b", text)


def test_controls_bars_put_every_condition_on_one_scale_and_say_the_paired_difference() -> None:
    figure = figures.controls_bars({"sketch": domain(), "photo": domain(clip=0.5, sae=0.45)})
    first, second = (trace for trace in figure.data if trace.type == "bar")
    names = list(figure.layout.yaxis.ticktext)
    assert names == ["CLIP", "CLIP+SAE", "PCA", "random dictionary", "mean ablation"]
    assert {names[y]: x for y, x in zip(first.y, first.x, strict=True)} == {
        "CLIP": 0.9,
        "CLIP+SAE": 0.8,
        "PCA": 0.75,
        "random dictionary": 0.4,
        "mean ablation": 0.08,
    }
    assert second.x[0] == 0.5
    assert [tuple(axis.range) for axis in figure.select_xaxes()] == [(0, 1), (0, 1)]
    assert first.marker.color[:3] == (figures.CLIP, figures.SAE, figures.CONTROL)
    assert first.customdata[0][1] == "", "nothing is compared with itself"
    assert "-10.0 points against CLIP [-13.0, -7.0]" in first.customdata[1][1]


def test_accuracies_have_wilson_intervals() -> None:
    # Wilson 1927 by hand for 90 of 100: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n), z = 1.959964.
    table = figures.conditions_table({"d": domain(n=100)}).set_index("condition")
    np.testing.assert_allclose(table.loc["CLIP", ["low", "high"]].to_numpy(float), [0.825634, 0.944771], atol=1e-6)
    assert table.loc["CLIP+SAE", "delta"] == pytest.approx(-0.1)
    assert np.isnan(table.loc["CLIP", "mcnemar_p"])


def test_a_report_without_controls_or_without_classes_still_has_what_it_measured() -> None:
    bare = {"zero_shot": domain()["zero_shot"]}
    assert list(figures.conditions_table({"d": bare, "captions": {"zero_shot": None}})["condition"]) == [
        "CLIP",
        "CLIP+SAE",
        "mean ablation",
    ]
    assert figures.conditions_table({}).empty
    assert figures.controls_bars({}).layout.paper_bgcolor == "rgba(0,0,0,0)"


def test_class_deltas_draw_intervals_of_two_domains_beside_each_other() -> None:
    frame = pd.DataFrame({"domain": ["a", "b"], "class": "cat", "n": 9, "delta": [0.1, -0.1]}).assign(
        delta_ci_low=lambda f: f.delta - 0.02, delta_ci_high=lambda f: f.delta + 0.05
    )
    first, second = figures.class_deltas(frame, {}).data
    np.testing.assert_allclose([*first.error_x.array, *first.error_x.arrayminus], [0.05, 0.02])
    assert first.y[0] < 0 < second.y[0]
    assert abs(first.y[0]) < 0.5 > abs(second.y[0])


def test_a_confusion_is_in_shares_of_the_true_class_and_the_difference_is_after_minus_before() -> None:
    before, after = np.array([[8, 2], [0, 5]]), np.array([[6, 4], [1, 4]])
    (heat,) = figures.confusion(before, after, ["cat", "dog"]).data
    np.testing.assert_allclose(heat.z, [[-0.2, 0.2], [0.2, -0.2]])
    assert heat.zmin == -heat.zmax
    assert list(heat.customdata[1][0]) == ["dog", "cat", 0, 1, 5]
    np.testing.assert_allclose(figures.confusion(before, after, ["cat", "dog"], "before").data[0].z, [[0.8, 0.2], [0, 1]])
    np.testing.assert_allclose(figures.confusion(before, after, ["cat", "dog"], "after").data[0].z, [[0.6, 0.4], [0.2, 0.8]])


def test_a_large_confusion_keeps_the_classes_that_change_most_and_says_so() -> None:
    before = 10 * np.eye(30, dtype=int)
    after = before.copy()
    after[[3, 17], [3, 17]] -= 5
    after[[3, 17], [17, 3]] += 5
    figure = figures.confusion(before, after, [f"c{i}" for i in range(30)], limit=2)
    assert list(figure.layout.xaxis.ticktext) == ["c3", "c17"]
    assert "2 of 30" in figure.layout.title.text


def test_an_empty_class_is_no_division() -> None:
    figure = figures.confusion(np.array([[0, 0], [1, 1]]), np.array([[0, 0], [2, 0]]), ["a", "b"])
    np.testing.assert_allclose(figure.data[0].z, [[0, 0], [0.5, -0.5]])


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 50)), min_size=1, max_size=80, unique_by=lambda pair: pair[0]),
    st.integers(1, 3),
)
def test_an_l0_histogram_loses_no_image(pairs: list[tuple[int, int]], copies: int) -> None:
    pairs.sort()
    used = {"l0": [pair[0] for pair in pairs], "images": [pair[1] for pair in pairs]}
    figure = figures.l0_histogram({f"d{i}": used for i in range(copies)}, {})
    low, high = figure.layout.xaxis.range
    for bar in figure.data:
        assert sum(bar.y) == pytest.approx(1)
        assert len(bar.y) <= 41
        assert all(low <= x <= high for x in bar.x)


def test_the_spectrum_draws_dead_latents_apart_and_the_others_at_the_middle_of_their_bin() -> None:
    (bar,) = figures.firing_spectrum({"d": {"rate": [0.0, 0.01, 0.1, 1.0], "latents": [7, 20, 3]}}, {}).data
    assert list(bar.y) == [7, 20, 3]
    np.testing.assert_allclose(bar.x[1:], [-1.5, -0.5])
    assert bar.x[0] + bar.width / 2 < -2
    assert bar.customdata[0] == "never"
    figure = every_figure()["firing_spectrum"]
    assert figure.layout.xaxis.ticktext[0] == "never"
    assert figure.layout.xaxis.ticktext[-1] == "100 %"


def test_sparse_probes_run_by_k_solid_for_latents_dashed_for_dimensions() -> None:
    latents, dimensions = figures.sparse_probe_lines({"d": probes()}, {"d": "#123456"}).data
    assert list(latents.x) == list(dimensions.x) == [1, 5]
    np.testing.assert_allclose(latents.y, [0.72, 0.8])
    assert (latents.line.dash, dimensions.line.dash) == ("solid", "dash")
    np.testing.assert_allclose(latents.error_y.arrayminus, [0.02, 0.1])


def test_the_geometry_map_has_a_mark_for_each_tested_latent_in_the_colour_of_its_verdict() -> None:
    figure = figures.geometry_map(judged(), 0.1)
    found = {trace.name.split(" ")[0]: trace for trace in figure.data}
    assert {name: trace.customdata[0][0] for name, trace in found.items()} == {
        "neither": 3,
        "both": 2,
        "semantic": 1,
        "geometric": 0,
    }
    assert {name: trace.marker.color for name, trace in found.items()} == {
        name: colour for name, (colour, _) in figures.VERDICTS.items()
    }
    assert found["neither"].marker.size[0] > found["semantic"].marker.size[0]
    assert [(shape.x0, shape.y0) for shape in figure.layout.shapes] == [(0.1, 0), (0, 0.1)]
    assert figures.geometry_map(judged().tail(1), 0.1).data == (), "an untested latent has no place"


def test_many_latents_are_drawn_by_the_graphics_card() -> None:
    many = pd.concat([judged().head(1)] * 3000)
    assert figures.geometry_map(many, 0.1).data[0].type == "scattergl"
    assert figures.geometry_map(judged(), 0.1).data[0].type == "scatter"


def test_verdict_shares_put_each_dictionary_beside_its_controls_with_intervals() -> None:
    figure = figures.verdict_shares({"sketch": verdicts(), "photo": verdicts(("dictionary",))})
    assert [trace.name for trace in figure.data] == ["dictionary", "random dictionary", "raw dimensions", "dictionary"]
    assert [trace.showlegend for trace in figure.data] == [True, True, True, False]
    own = figure.data[0]
    np.testing.assert_allclose(own.x, [0.4, 0.3, 0.1, 0.2])
    np.testing.assert_allclose(own.error_x.array, 0.05)
    rows = [round(y) for y in own.y]
    assert [figure.layout.yaxis.ticktext[y] for y in rows] == list(figures.VERDICTS)


def test_verdict_shares_of_an_untested_dictionary_are_not_drawn() -> None:
    nothing = verdicts(("dictionary",))
    nothing["dictionaries"]["dictionary"]["tested"] = 0
    assert figures.verdict_shares({"d": nothing}).data == ()


def test_the_shift_map_draws_no_dead_latent_and_equal_rates_as_a_line() -> None:
    figure = every_figure()["shift_map"]
    assert sorted(trace.customdata[0][0] for trace in figure.data) == [3, 8, 11]
    (line,) = figure.layout.shapes
    assert (line.x0, line.y0) == (1e-3, 1e-3)
    assert (line.x1, line.y1) == (1, 1)
