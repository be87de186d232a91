"""The figures of a latent's card: where it looks, the check of that, and its classes against chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sae_core import figures


def test_a_map_is_coloured_symmetrically_about_zero_and_lies_on_its_picture() -> None:
    cells = np.array([[0.1, -0.4], [0.0, 0.2]])
    figure = figures.attribution_map(Image.new("RGB", (8, 8), "white"), cells)
    (heat,) = figure.data
    assert (heat.zmin, heat.zmax) == (-0.4, 0.4)
    assert heat.colorscale[1][0] == 0.5
    assert heat.colorscale[1][1].endswith(",0)"), "0 is transparent"
    np.testing.assert_array_equal(heat.z, cells)
    (picture,) = figure.layout.images
    assert (picture.x, picture.y, picture.sizex, picture.sizey, picture.layer) == (0, 0, 2, 2, "below")
    assert list(figure.layout.yaxis.range) == [2, 0], "the first row is on top, as in the picture"
    assert heat.colorbar.title.text == "change of the pre-activation"
    assert figures.attribution_map("media/x.png", cells).layout.images[0].source == "media/x.png"


def test_a_map_of_nothing_has_a_scale_all_the_same() -> None:
    heat = figures.attribution_map("media/x.png", np.zeros((2, 2))).data[0]
    assert heat.zmin < 0 < heat.zmax


def test_random_orders_are_one_line_with_gaps() -> None:
    hidden, curve, random = np.array([0, 0.5, 1]), np.array([1, 0.2, 0]), np.array([[1, 0.8, 0], [1, 0.6, 0]])
    grey, own = figures.deletion_curves(hidden, curve, random).data
    np.testing.assert_array_equal(np.isnan(grey.y), [False, False, False, True] * 2)
    np.testing.assert_array_equal(np.asarray(grey.y)[[0, 1, 2, 4, 5, 6]], random.ravel())
    assert grey.name == "2 random orders"
    assert (list(own.x), list(own.y)) == (hidden.tolist(), curve.tolist())


@pytest.mark.parametrize("nothing_random", [False, True])
def test_classes_beyond_chance_are_filled(nothing_random: bool) -> None:
    scores = pd.DataFrame(
        {
            "class": ["cat", "<b>dog</b>", "cat and more letters than there is room for"],
            "n": [10, 20, 30],
            "fires": [9, 4, 1],
            "rate": [0.9, 0.2, 1 / 30],
            "lift": [3.0, 0.7, 0.1],
            "null_high": [np.nan] * 3 if nothing_random else [1.5, 1.4, 1.3],
            "p": [0.001, 0.05, 0.4],
        }
    )
    figure = figures.class_dots(scores, figures.SKETCH)
    chance, dots = figure.data
    assert list(dots.marker.symbol) == ["circle", "circle", "circle-open"]
    assert list(dots.x) == [3.0, 0.7, 0.1]
    np.testing.assert_array_equal(chance.x, scores["null_high"])
    assert figure.layout.xaxis.range[1] > 3.0
    assert "<b>" not in "".join(figure.layout.yaxis.ticktext)
