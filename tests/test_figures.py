"""Figures say what their frames say: values, colours with one meaning, text that stays text."""

import json
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sae_core import figures

EVIL = "<img src=x onerror=alert(1)> & <b>bold</b>"


def accuracy() -> pd.DataFrame:
    rows = [("sketch", "CLIP", 0.9), ("sketch", "CLIP+SAE", 0.8), ("sketch", "mean ablation", 0.03), ("photo", "CLIP", 0.7)]
    return pd.DataFrame(rows, columns=["group", "condition", "value"])


def shift(names: list[str | None]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "latent": [3, 8, 11],
            "name": names,
            "rate_a": [0.2, 0.0, 0.01],
            "rate_b": [0.1, 0.5, 0.0],
            "tab": ["shared", "photo only", "sketch only"],
        }
    )


def members(name: str = "a") -> pd.DataFrame:
    rows = [
        (name, "topk", 8.0, 0.9, True),
        ("b", "topk", 16.0, 0.8, False),
        ("c", "pca", 16.0, 0.95, True),
        ("d", name, 0.0, -3.0, True),
        ("e", "kmeans", 1.0, float("nan"), False),
        ("f", "gated", 40.0, 1.0, True),
    ]
    return pd.DataFrame(rows, columns=["name", "architecture", "l0", "r2", "pareto"])


def every_figure(text: str = "house") -> dict[str, go.Figure]:
    strengths = [0.0, 1.0, 2.0]
    curves = pd.DataFrame(
        {"strength": strengths * 2, "label": [text] * 3 + ["cat"] * 3, "probability": [0.1, 0.5, 0.9, 0.9, 0.5, 0.1]}
    )
    band = pd.DataFrame({"strength": strengths, "low": [0.1, 0.1, 0.05], "high": [0.1, 0.2, 0.3]})
    classes = pd.DataFrame({"domain": "sketch", "class": [text, "cat"], "n": [10, 20], "delta": [-0.1, 0.05]})
    steps = pd.DataFrame({"step": [0, 1, 2], "loss": [3.0, 2.0, 1.0], "r2": [0.0, 0.5, 0.8]})
    counts = (np.linspace(0, 1, 4), np.array([5, 0, 2]))
    colours = figures.domain_colours({"sketch": "sketch", "photo": "photo"})
    return {
        "accuracy_bars": figures.accuracy_bars(accuracy().assign(group=text)),
        "class_deltas": figures.class_deltas(classes, colours),
        "histogram_by_domain": figures.histogram_by_domain({"sketch": counts}, colours),
        "training_curves": figures.training_curves({text: steps, "other": steps}),
        "label_curves": figures.label_curves(curves, band, at=1.0),
        "probability_bars": figures.probability_bars(
            pd.DataFrame({"label": [text, "cat"], "before": [0.4, 0.6], "after": [0.9, 0.1]})
        ),
        "shift_map": figures.shift_map(shift([text, None, None]), "sketch", "photo", colours, {"sketch": 1e-4, "photo": 1e-3}),
        "pareto": figures.pareto(members(text)),
    }


@pytest.mark.parametrize("name", list(every_figure()))
def test_every_figure_takes_the_theme_around_it_and_fits_a_phone(name: str) -> None:
    figure = every_figure()[name]
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert figure.layout.font.color is None
    assert len(figure.layout.title.text or "") <= 42
    assert figure.layout.legend.orientation == "h"
    assert all(axis.automargin for axis in [*figure.select_xaxes(), *figure.select_yaxes()])
    # The figure is plain JSON: nothing in it depends on this process.
    assert json.loads(figure.to_json())["data"]


@pytest.mark.parametrize("name", list(every_figure()))
def test_a_name_is_text_never_markup(name: str) -> None:
    text = every_figure(EVIL)[name].to_json().encode().decode("unicode_escape")
    assert not re.search(r"<(img|b)\b", text)


def test_accuracy_bars_are_the_values_on_one_scale_in_the_colours_of_their_conditions() -> None:
    figure = figures.accuracy_bars(accuracy())
    by_name = {bar.name: bar for bar in figure.data}
    assert list(by_name["CLIP"].y) == [0.9, 0.7]
    assert list(by_name["CLIP"].x) == ["sketch", "photo"]
    assert {name: bar.marker.color for name, bar in by_name.items()} == figures.CONDITIONS
    assert tuple(figure.layout.yaxis.range) == (0, 1)
    assert list(by_name["CLIP+SAE"].text) == ["80.0"]
    assert by_name["CLIP"].error_y.array is None


def test_accuracy_whiskers_reach_the_ends_of_the_interval() -> None:
    frame = accuracy().assign(low=lambda f: f.value - 0.02, high=lambda f: f.value + 0.05)
    bar = figures.accuracy_bars(frame).data[0]
    np.testing.assert_allclose(bar.error_y.array, 0.05)
    np.testing.assert_allclose(bar.error_y.arrayminus, 0.02)


def test_domain_colours_tell_two_domains_of_a_rendering_apart() -> None:
    colours = figures.domain_colours({"a": "sketch", "b": "photo", "c": "sketch", "d": "sketch"})
    assert (colours["a"], colours["b"]) == (figures.SKETCH, figures.PHOTO)
    assert len(set(colours.values())) == 4
    assert all(re.fullmatch(r"#[0-9a-f]{6}", colour) for colour in colours.values())


def test_class_deltas_keeps_both_ends_worst_on_top() -> None:
    delta = np.linspace(-0.5, 0.5, 41)
    frame = pd.DataFrame({"domain": "sketch", "class": [f"c{i}" for i in range(41)], "n": 9, "delta": delta}).sample(
        frac=1, random_state=1
    )
    figure = figures.class_deltas(frame, {"sketch": "#123456"}, limit=3)
    assert [figure.layout.yaxis.ticktext[y] for y in figure.data[0].y] == ["c0", "c1", "c2", "c38", "c39", "c40"]
    np.testing.assert_allclose(figure.data[0].x, [*delta[:3], *delta[-3:]])
    bottom, top = figure.layout.yaxis.range
    assert top < 0 < 5 < bottom, "the first row is on top, and every row is inside"
    assert figure.data[0].marker.color == "#123456"
    assert "3 worst, 3 best" in figure.layout.title.text


def test_class_deltas_leaves_out_a_class_that_a_domain_lacks() -> None:
    frame = pd.DataFrame({"domain": ["a", "a", "b"], "class": ["cat", "dog", "cat"], "n": [5, 5, 5], "delta": [0.1, -0.1, 0.2]})
    figure = figures.class_deltas(frame, {})
    names = figure.layout.yaxis.ticktext
    by_domain = {trace.name: {names[y]: x for y, x in zip(trace.y, trace.x, strict=True)} for trace in figure.data}
    assert by_domain == {"a": {"dog": -0.1, "cat": 0.1}, "b": {"cat": 0.2}}


def test_labels_that_are_cut_to_the_same_letters_stay_apart() -> None:
    names = [f"a very long caption that goes on and on, number {i}" for i in range(3)]
    bars = figures.probability_bars(pd.DataFrame({"label": names, "before": [0.5, 0.3, 0.2], "after": [0.2, 0.3, 0.5]}))
    assert len(set(bars.layout.yaxis.ticktext)) == 1
    assert list(bars.data[0].y) == [0, 1, 2]
    deltas = figures.class_deltas(pd.DataFrame({"domain": "a", "class": names, "n": 1, "delta": [0.1, 0.2, 0.3]}), {})
    assert list(deltas.data[0].y) == [0, 1, 2]


def test_histogram_bars_stand_on_their_bins_and_empty_bins_are_not_drawn() -> None:
    edges, counts = np.array([0.0, 1.0, 2.0, 4.0]), np.array([10, 0, 3])
    bar = figures.histogram_by_domain({"photo": (edges, counts)}, {"photo": figures.PHOTO}).data[0]
    np.testing.assert_allclose(bar.x, [0.5, 1.5, 3.0])
    np.testing.assert_allclose(bar.width, [1, 1, 2])
    np.testing.assert_array_equal(bar.y, [10, np.nan, 3])
    assert bar.marker.color == figures.PHOTO


def test_two_domains_share_a_bin_without_covering_each_other() -> None:
    edges = np.array([0.0, 1.0, 2.0])
    figure = figures.histogram_by_domain({"a": (edges, np.array([1, 2])), "b": (edges, np.array([3, 4]))}, {})
    first, second = figure.data
    np.testing.assert_allclose(first.x + first.width / 2, second.x - second.width / 2)
    np.testing.assert_allclose(first.x - first.width / 2, [0, 1])
    np.testing.assert_allclose(second.x + second.width / 2, [1, 2])


def test_a_histogram_of_nothing_is_still_a_figure() -> None:
    assert figures.histogram_by_domain({}, {}).layout.yaxis.type == "log"
    empty = (np.linspace(0, 1, 3), np.zeros(2, dtype=int))
    assert np.isnan(figures.histogram_by_domain({"a": empty}, {}).data[0].y).all()


def test_training_curves_draw_what_there_is_and_lay_runs_over_each_other() -> None:
    first = pd.DataFrame({"step": [0, 1, 2], "loss": [3.0, np.nan, 1.0], "l0": [16.0, 16.0, 16.0]})
    second = pd.DataFrame({"step": [0, 1], "loss": [2.0, 1.5]})
    figure = figures.training_curves({"run": first, "other": second})
    assert [note.text for note in figure.layout.annotations] == ["loss", "L0 (latents an image)"]
    assert [(trace.name, list(trace.y)) for trace in figure.data] == [
        ("run", [3.0, 1.0]),
        ("run", [16.0, 16.0, 16.0]),
        ("other", [2.0, 1.5]),
    ]
    assert figure.data[0].line.color == figures.SAE
    assert figure.data[2].line.dash == "dash"
    assert figure.layout.showlegend
    assert sum(bool(trace.showlegend) for trace in figure.data) == 2


def test_label_curves_close_the_band_and_put_the_first_label_first() -> None:
    figure = every_figure()["label_curves"]
    band, lead, other = figure.data
    assert list(band.x) == [0, 1, 2, 2, 1, 0]
    assert list(band.y) == [0.1, 0.2, 0.3, 0.05, 0.1, 0.1]
    assert (lead.name, lead.line.color, other.name) == ("house", figures.SAE, "cat")
    assert list(other.y) == [0.9, 0.5, 0.1]


def test_label_curves_need_no_band() -> None:
    frame = pd.DataFrame({"strength": [2.0, 0.0], "label": "a", "probability": [0.3, 0.1]})
    (line,) = figures.label_curves(frame).data
    assert (list(line.x), list(line.y)) == ([0.0, 2.0], [0.1, 0.3])


def test_probability_bars_draw_before_in_clip_grey_above_after_in_violet() -> None:
    before, after = every_figure()["probability_bars"].data
    assert (list(after.x), list(before.x)) == ([0.9, 0.1], [0.4, 0.6])
    assert (after.marker.color, before.marker.color) == (figures.SAE, figures.CLIP)


def test_shift_map_draws_never_at_the_floor_and_carries_the_latent() -> None:
    figure = every_figure()["shift_map"]
    points = {trace.customdata[0][0]: (trace.x[0], trace.y[0], trace.name) for trace in figure.data}
    assert points == {3: (0.2, 0.1, "shared (1)"), 8: (1e-4, 0.5, "photo only (1)"), 11: (0.01, 1e-3, "sketch only (1)")}
    assert figure.layout.xaxis.ticktext[0] == "never"
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    colours = {trace.name.partition(" (")[0]: trace.marker.color for trace in figure.data}
    assert colours == {"shared": figures.SAE, "sketch only": figures.SKETCH, "photo only": figures.PHOTO}


# ---------------------------------------------------------------- sheets


def test_image_grid_fits_pictures_into_framed_cells() -> None:
    tall, small = Image.new("RGB", (50, 100), (255, 0, 0)), Image.new("L", (4, 4), 0)
    sheet = figures.image_grid(
        [tall, small, tall], ["a", "b", "c"], [figures.SKETCH, figures.PHOTO, figures.SKETCH], columns=2, cell=40
    )
    gap, cell, line = 8, 40, 18
    assert sheet.size == (gap + 2 * (cell + gap), gap + 2 * (cell + line + gap) + gap)
    assert sheet.getpixel((gap, gap)) == tuple(bytes.fromhex(figures.SKETCH[1:]))
    assert sheet.getpixel((gap + cell + gap, gap)) == tuple(bytes.fromhex(figures.PHOTO[1:]))
    middle = gap + cell // 2
    assert sheet.getpixel((middle, middle)) == (255, 0, 0)
    assert sheet.getpixel((gap + 4, middle)) == (255, 255, 255)  # a tall picture keeps its proportions: white beside it
    assert sheet.getpixel((middle + cell + gap, middle)) == (0, 0, 0)


def test_image_grid_keeps_a_small_picture_unblurred() -> None:
    checks = Image.fromarray(np.kron(np.eye(2), np.ones((2, 2))).astype(np.uint8) * 255)
    sheet = np.asarray(figures.image_grid([checks], [""], ["#ff0000"], columns=1, cell=68))[10:74, 10:74]
    assert set(np.unique(sheet)) <= {0, 255}


def test_image_grid_says_what_does_not_go_together() -> None:
    with pytest.raises(ValueError, match="2 tiles, 1 captions and 2 colours"):
        figures.image_grid([Image.new("L", (2, 2))] * 2, ["a"], ["#000000"] * 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9), st.integers(1, 5), st.integers(32, 120), st.text(max_size=60), st.text(max_size=200))
def test_any_sheet_has_the_size_its_numbers_say(count: int, columns: int, cell: int, caption: str, heading: str) -> None:
    tiles = [Image.new("RGB", (7, 3), "teal")] * count
    sheet = figures.image_grid(tiles, [caption.replace("\n", " ")] * count, ["#000000"] * count, heading, columns, cell)
    assert sheet.width == 8 + columns * (cell + 8)
    assert sheet.mode == "RGB"
    rows = -(-count // columns)
    assert sheet.height - (rows * (cell + 26) + 16) in (0, 21, 42)  # no heading, one line, two lines


def test_pareto_draws_every_member_where_it_stands_and_says_what_it_is() -> None:
    figure = figures.pareto(members(), {"topk": "TopK"})
    traces = {trace.name: trace for trace in figure.data}
    np.testing.assert_allclose(traces["TopK"].x, [8, 16])
    np.testing.assert_allclose(traces["TopK"].y, [1 - 0.9, 1 - 0.8], err_msg="the axis is logarithmic in what is unexplained")
    assert [row[0] for row in traces["TopK"].customdata] == ["a", "b"]
    np.testing.assert_allclose([row[1:3] for row in traces["TopK"].customdata], [[8, 0.9], [16, 0.8]])
    assert "kmeans" not in traces, "nothing was measured"
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    for tick, text in zip(figure.layout.yaxis.tickvals, figure.layout.yaxis.ticktext, strict=True):
        assert 1 - tick == pytest.approx(float(text)), "and labelled with R²"


def test_the_pareto_front_is_a_step_through_its_members_alone_never_falling() -> None:
    front = next(trace for trace in figures.pareto(members()).data if trace.name == "Pareto front")
    np.testing.assert_allclose(front.x, [0.5, 8, 16, 40], err_msg="L0 of 0 has no logarithm: it is drawn at the edge")
    assert list(front.y) == sorted(front.y, reverse=True)
    assert min(front.y) > 0
    assert front.line.shape == "hv"


def test_architectures_differ_in_shape_and_dictionaries_in_colour_too() -> None:
    looks = figures.ARCHITECTURES
    assert len({symbol for _, symbol in looks.values()}) == len(looks)
    dictionaries = [colour for colour, _ in looks.values() if colour != figures.CONTROL]
    assert len(set(dictionaries)) == len(dictionaries) == 6
    for colour in dictionaries:
        for background in ("#ffffff", "#0e1117"):
            light, dark = sorted((luminance(colour), luminance(background)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3, f"{colour} cannot be told from {background}"


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(figures.ARCHITECTURES)), st.floats(0, 1e4), st.floats(-50, 1), st.booleans()),
        max_size=20,
    )
)
def test_pareto_draws_any_table(rows: list[tuple[str, float, float, bool]]) -> None:
    frame = pd.DataFrame(rows, columns=["architecture", "l0", "r2", "pareto"]).assign(name="m")
    figure = figures.pareto(frame)
    assert sum(len(trace.x) for trace in figure.data if trace.mode == "markers") == len(rows)
    for axis, values in (
        (figure.layout.xaxis, [x for trace in figure.data for x in trace.x]),
        (figure.layout.yaxis, [y for trace in figure.data for y in trace.y]),
    ):
        low, high = sorted(10**end for end in axis.range)
        assert all(low < value < high for value in values), "nothing is cut"
        assert len([tick for tick in axis.tickvals if low * 0.999 <= tick <= high * 1.001]) >= 2, "and it can be read off"
