"""What every figure shares: the colours with their one meaning, the layout, labels that are text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, Union

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

Values: TypeAlias = Union["pd.Series[Any]", NDArray[np.float64]]

SKETCH, PHOTO, CLIP, SAE, CONTROL = "#1b6ca8", "#d1722e", "#6b7280", "#7c3aed", "#9ca3af"
INK = "#1f2937"
"""What is drawn on bars and page alike: whiskers."""
COLOURS: Mapping[str, str] = {"sketch": SKETCH, "photo": PHOTO, "clip": CLIP, "sae": SAE, "control": CONTROL, "ink": INK}
ON_DARK: Mapping[str, str] = {
    "sketch": "#3f8fd0",
    "photo": "#d97b3a",
    "clip": "#8a919e",
    "sae": "#8b5cf6",
    "control": "#6b7280",
    "ink": "#e5e7eb",
}
"""The same on a dark page."""
CONDITIONS: Mapping[str, str] = {"CLIP": CLIP, "CLIP+SAE": SAE, "mean ablation": CONTROL}
"""What an embedding is replaced by before it is classified, and the colour that says so."""

ARCHITECTURES: Mapping[str, tuple[str, str]] = {
    "topk": (SAE, "circle"),
    "batch_topk": ("#0d9488", "square"),
    "matryoshka": ("#db2777", "diamond"),
    "relu_l1": ("#65a30d", "triangle-up"),
    "gated": ("#b45309", "triangle-down"),
    "jumprelu": ("#dc2626", "star"),
    "random": (CONTROL, "x"),
    "pca": (CONTROL, "cross"),
    "kmeans": (CONTROL, "hexagon-open"),
    "splice": (CONTROL, "square-open"),
}
"""Colour and shape of each architecture; controls are grey. The others have a contrast of 3 on a light and on a dark page."""

CONTROLS = ("PCA", "random dictionary", "mean ablation")
"""What stands beside a dictionary at the same L0, best first as a rule; all are grey."""

VERDICTS: Mapping[str, tuple[str, str]] = {
    "geometric": ("#0d9488", "circle"),
    "semantic": ("#db2777", "diamond"),
    "both": ("#b45309", "square"),
    "neither": (CONTROL, "circle-open"),
}
"""Colour and shape of each verdict on a latent; none is a colour of a domain or of the dictionary."""

GRID = "rgba(128,128,128,0.25)"


def domain_colours(renderings: Mapping[str, str]) -> dict[str, str]:
    """The colour of each domain by its rendering (`sketch` | `photo`); a second domain of a rendering gets a lighter shade."""
    seen: dict[str, int] = {}
    colours = {}
    for domain, rendering in renderings.items():
        nth = seen[rendering] = seen.get(rendering, -1) + 1
        colours[domain] = _lighter(COLOURS.get(rendering, CONTROL), min(0.35 * nth, 0.7))
    return colours


def _lighter(colour: str, share: float) -> str:
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (255 - part) * share):02x}" for part in parts)


def whisker(
    value: Values, low: Values, high: Values, colour: str | None = INK, thickness: float = 1.2, width: float = 4
) -> dict[str, Any]:
    """The interval [low, high] about a value, [n] each, as Plotly's error bar; colour None is that of the points."""
    return {
        "type": "data",
        "symmetric": False,
        "array": high - value,
        "arrayminus": value - low,
        "thickness": thickness,
        "width": width,
        "color": colour,
    }


def styled(figure: go.Figure, title: str, height: int, legend: bool = True) -> go.Figure:
    """The house's layout on a figure: title above, legend below, nothing behind. Height in pixels."""
    figure.update_layout(
        title={
            "text": plain(title, 80),
            "x": 0,
            "xanchor": "left",
            "font": {"size": 14},
            "automargin": True,
            "yref": "container",
            "pad": {"t": 6, "b": 6},
        },
        height=height,
        margin={"l": 8, "r": 8, "t": 44, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=legend,
        legend={
            "orientation": "h",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "x": 0,
            "xanchor": "left",
            "title": None,
        },
        hoverlabel={"namelength": -1},
    )
    figure.update_xaxes(gridcolor=GRID, zerolinecolor=GRID, automargin=True, title_standoff=8)
    figure.update_yaxes(gridcolor=GRID, zerolinecolor=GRID, automargin=True, title_standoff=8)
    return figure


def named_rows(figure: go.Figure, names: Sequence[object], width: int) -> None:
    """Vertical places 0, 1, ... get names for ticks, the first on top; two names cut to the same letters stay two rows."""
    texts = [plain(name, width) for name in names]
    figure.update_yaxes(range=[len(names) - 0.4, -0.6], tickvals=list(range(len(names))), ticktext=texts, zeroline=False)


def plain(text: object, width: int = 40) -> str:
    """Text cut to `width` characters and made inert: plotly takes labels for HTML, a class name or a caption is text."""
    short = textwrap.shorten(" ".join(str(text).split()), width, placeholder="…")
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
