"""The SVG of a drawing: well formed, crisp, named, and harmless."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np

from sae_core.data import drawn
from sae_core.steer.strokes.curves import Curve, fit
from sae_core.steer.strokes.svg import stroke_svg

SVG = "{http://www.w3.org/2000/svg}"


def test_every_stroke_is_a_path_or_a_circle_and_nothing_else_is_there() -> None:
    for index in range(0, 54, 6):
        curves = fit(drawn.scene(2_345_678, index))
        root = ET.fromstring(stroke_svg(curves, 320))
        assert root.get("width") == root.get("height") == "320"
        assert len(root.findall(f".//{SVG}path")) == sum(not c.dot for c in curves)
        assert len(root.findall(f".//{SVG}circle")) == sum(c.dot for c in curves)
        assert {e.tag.removeprefix(SVG) for e in root.iter()} <= {"svg", "title", "rect", "g", "path", "circle"}


def test_the_path_is_the_curve_itself() -> None:
    points = np.array([[[0.1, 0.2], [0.3, 0.25], [0.5, 0.75], [0.9, 0.8]]])
    root = ET.fromstring(stroke_svg([Curve(points, 0.025)]))
    path = root.find(f".//{SVG}path")
    assert path is not None
    data = path.get("d") or ""
    assert re.sub(r"[MC]", " ", data).split() == ["10.00", "20.00", "30.00", "25.00", "50.00", "75.00", "90.00", "80.00"]
    assert path.get("stroke-width") == "2.50"
    assert "Z" not in data
    assert "Z" in stroke_svg([Curve(points, 0.025, closed=True)])


def test_the_title_is_escaped_and_first() -> None:
    text = stroke_svg([], title='<script>alert("x")</script>&')
    root = ET.fromstring(text)
    assert root[0].tag == f"{SVG}title"
    assert root[0].text == '<script>alert("x")</script>&'
    assert root.get("role") == "img"
    assert "<script" not in text
