"""Strokes as a crisp SVG: paths of cubic curves, black ink on white, with a title and nothing that runs or loads."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sae_core.steer.strokes.curves import Curve


def stroke_svg(strokes: Sequence[Curve], size: int = 256, title: str = "Generated drawing") -> str:
    """Strokes as an SVG document.

    Args:
        strokes: in painter's order.
        size: width and height it is shown at, in pixels; it stays crisp at any.
        title: what a screen reader says, and what shows when pointed at.
    """
    body = "".join(_dot(stroke) if stroke.dot else _path(stroke) for stroke in strokes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" width="{size}" height="{size}" role="img">'
        f'<title>{escape(title)}</title><rect width="100" height="100" fill="#fff"/>'
        f'<g fill="none" stroke="#000" stroke-linecap="round" stroke-linejoin="round">{body}</g></svg>'
    )


def _path(stroke: Curve) -> str:
    start = _numbers(stroke.points[0, 0].tolist())
    curves = "".join("C" + " ".join(_numbers(point) for point in piece[1:].tolist()) for piece in stroke.points)
    return f'<path d="M{start}{curves}{"Z" if stroke.closed else ""}" stroke-width="{_number(stroke.width)}"/>'


def _dot(stroke: Curve) -> str:
    x, y = stroke.points[0, 0].tolist()
    return f'<circle cx="{_number(x)}" cy="{_number(y)}" r="{_number(stroke.width)}" fill="#000" stroke="none"/>'


def _number(value: float) -> str:
    return f"{value * 100:.2f}"


def _numbers(point: Sequence[float]) -> str:
    return " ".join(_number(value) for value in point)
