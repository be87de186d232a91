"""The dictionary as a map: a point a latent, near each other where decoder directions are alike, coloured by what is asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from sae_core.figures.geometry import WEBGL
from sae_core.figures.style import CONTROL, GRID, INK, PHOTO, SAE, SKETCH, plain, styled

PALETTE = (SAE, "#0d9488", PHOTO, SKETCH, "#db2777", "#65a30d", "#b45309", "#dc2626")
SYMBOLS = ("circle", "diamond", "square")
"""Categories beyond the eight colours take the next symbol, so that up to 24 are told apart."""
MOST = 12
"""Categories with an entry of their own in the legend; the less frequent are `other`."""
RISING = ((0.0, "#5b6ee1"), (0.5, "#c9509f"), (1.0, "#f0a030"))
SIGNED = ((0.0, "#3b82c4"), (0.5, "#9ca3af"), (1.0, "#e07b39"))
"""Scales whose every colour stands out from a white page and from a dark one."""
DECADES = 2.0
"""Positive numbers that span more than this many are coloured by their logarithm."""


def directions_map(
    table: pd.DataFrame,
    column: str,
    colours: Mapping[str, str] | None = None,
    marked: Collection[int] = (),
    label: str | None = None,
    title: str = "Decoder directions",
) -> go.Figure:
    """Every latent at its place on the map, coloured by a column; a point's customdata begins with its latent, for clicks.

    Numbers get a colour bar (by their logarithm where they span more than two decades, about 0 where they have both signs),
    anything else a legend. A latent without a value is grey.

    Args:
        table: columns `latent`, `x`, `y`, the column asked for, and optionally `name` (text or None).
        column: what colours the points.
        colours: of categories; others take the palette's in the order of their frequency.
        marked: latents that get a ring, such as the one that is looked at or those a search found.
        label: what to call the column.
        title: above the figure.
    """
    figure, said = go.Figure(), plain(label or column, 30)
    values = table[column]
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if numeric:
        _by_number(figure, table, values.to_numpy(np.float64), said)
    else:
        _by_category(figure, table, values, said, colours or {})
    ringed = table[table["latent"].isin(list(marked))]
    if len(ringed):
        ring = {"size": 13, "symbol": "circle-open", "color": INK, "line": {"width": 2, "color": INK}}
        _add(figure, ringed, ring, [""] * len(ringed), f"marked ({len(ringed):,})", "", len(table))
    hidden: dict[str, Any] = {"showticklabels": False, "showgrid": False, "zeroline": False, "title_text": ""}
    figure.update_xaxes(**hidden)
    figure.update_yaxes(**hidden, scaleanchor="x")
    styled(figure, title, 520)
    return figure


def _by_number(figure: go.Figure, table: pd.DataFrame, values: NDArray[np.float64], label: str) -> None:
    known = np.isfinite(values)
    if not known.all():
        _add(figure, table[~known], _marker(CONTROL), ["none"] * int((~known).sum()), "no value", label, len(table))
    shown, rows = values[known], table[known]
    if rows.empty:
        return
    lowest, highest = float(shown.min()), float(shown.max())
    bar: dict[str, Any] = {"title": {"text": label, "side": "right"}, "thickness": 12, "outlinewidth": 0}
    scale: dict[str, Any] = {"colorscale": [list(stop) for stop in RISING]}
    colour = shown
    if lowest < 0 < highest:
        end = max(-lowest, highest)
        scale = {"colorscale": [list(stop) for stop in SIGNED], "cmin": -end, "cmax": end}
    elif lowest >= 0 and (shown > 0).any() and np.log10(highest / shown[shown > 0].min()) > DECADES:
        # A zero has no logarithm: it takes the colour of the smallest number that has.
        colour = np.log10(np.maximum(shown, shown[shown > 0].min()))
        ticks = np.arange(np.ceil(colour.min()), np.floor(colour.max()) + 1)
        bar |= {"tickvals": ticks.tolist(), "ticktext": [f"{10.0**tick:g}" for tick in ticks]}
    if "cmin" not in scale:
        # A few extremes would leave one colour to all the others; they take the ends'.
        scale |= dict(zip(("cmin", "cmax"), np.percentile(colour, (2, 98)).tolist(), strict=True))
    marker = {**_marker(None), **scale, "color": colour, "showscale": True, "colorbar": bar}
    _add(figure, rows, marker, [f"{value:.4g}" for value in shown], "latents", label, len(table), legend=False)


def _by_category(figure: go.Figure, table: pd.DataFrame, values: pd.Series, label: str, colours: Mapping[str, str]) -> None:
    named = values.map(_category)
    frequent = [name for name in named.value_counts().index if name != "none"]
    own = frequent[:MOST] if len(frequent) > MOST else frequent
    free = [(colour, symbol) for symbol in SYMBOLS for colour in PALETTE]
    looks = {name: (colours[name], "circle") if name in colours else free[i % len(free)] for i, name in enumerate(own)}
    groups = named.where(named.isin([*own, "none"]), "other")
    # What is most frequent is drawn first, so that it does not lie on what is rare.
    for name in [one for one in ("none", "other", *own) if (groups == one).any()]:
        here = groups == name
        colour, symbol = looks.get(name, (CONTROL, "circle"))
        text = [plain(one, 30) for one in named[here]]
        _add(figure, table[here], _marker(colour, symbol), text, f"{plain(name, 24)} ({int(here.sum()):,})", label, len(table))


def _category(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return "none"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    return str(value)


def _marker(colour: str | None, symbol: str = "circle") -> dict[str, Any]:
    return {"color": colour, "symbol": symbol, "size": 7, "opacity": 0.85, "line": {"width": 0.5, "color": GRID}}


def _add(
    figure: go.Figure,
    rows: pd.DataFrame,
    marker: dict[str, Any],
    values: list[str],
    name: str,
    label: str,
    points: int,
    legend: bool = True,
) -> None:
    names = rows["name"] if "name" in rows else [None] * len(rows)
    draw = figure.add_scattergl if points > WEBGL else figure.add_scatter
    draw(
        x=rows["x"],
        y=rows["y"],
        mode="markers",
        name=name,
        showlegend=legend,
        marker=marker,
        customdata=[
            [int(latent), f"“{plain(said, 30)}”" if isinstance(said, str) else "", value]
            for latent, said, value in zip(rows["latent"], names, values, strict=True)
        ],
        hovertemplate="latent %{customdata[0]} %{customdata[1]}"
        + (f"<br>{label}: %{{customdata[2]}}" if label else "")
        + "<extra></extra>",
    )
