"""Latents by what they follow (strokes, class, both, neither), and by the domain they fire on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sae_core.figures.style import CONTROL, GRID, SAE, VERDICTS, named_rows, plain, styled, whisker

WEBGL = 2000
"""From so many points on they are drawn by the graphics card; below, as text-sharp marks that print."""
DICTIONARIES: Mapping[str, tuple[str, str]] = {
    "dictionary": (SAE, "circle"),
    "random dictionary": (CONTROL, "x"),
    "raw dimensions": (CONTROL, "square-open"),
}
"""What is judged: the dictionary and its two controls, each with its colour and shape."""


def geometry_map(latents: pd.DataFrame, least_effect: float, title: str = "Latents by what they follow") -> go.Figure:
    """Every tested latent by its geometric and its semantic effect, coloured by verdict, larger the more images it fires on.

    Dotted lines are the smallest effects that count. A point's customdata begins with its latent, for clicks.

    Args:
        latents: columns `latent`, `count`, `measure`, `rho`, `geometric_effect`, `semantic_effect` (in [0, 1]), `verdict`, and
            optionally `name`; one domain's. Untested latents (no effect) are left out.
        least_effect: of a verdict.
    """
    figure = go.Figure()
    tested = latents[latents["verdict"].isin(list(VERDICTS))]
    most = float(tested["count"].max()) if len(tested) else 1.0
    # What is rarest is drawn last, on top.
    for verdict in ("neither", "both", "semantic", "geometric"):
        rows = tested[tested["verdict"] == verdict]
        if rows.empty:
            continue
        colour, symbol = VERDICTS[verdict]
        draw = figure.add_scattergl if len(tested) > WEBGL else figure.add_scatter
        draw(
            x=rows["geometric_effect"],
            y=rows["semantic_effect"],
            mode="markers",
            name=f"{verdict} ({len(rows):,})",
            marker={
                "color": colour,
                "symbol": symbol,
                "size": 5 + 11 * np.sqrt(rows["count"] / most),
                "opacity": 0.75,
                "line": {"width": 1 if symbol.endswith("-open") else 0, "color": colour},
            },
            customdata=[
                [int(latent), _named(name), int(count), plain(measure, 30), rho]
                for latent, name, count, measure, rho in zip(
                    rows["latent"],
                    rows["name"] if "name" in rows else [None] * len(rows),
                    rows["count"],
                    rows["measure"],
                    rows["rho"],
                    strict=True,
                )
            ],
            hovertemplate="latent %{customdata[0]} %{customdata[1]}: "
            + verdict
            + "<br>geometric %{x:.2f}, semantic %{y:.2f}<br>follows %{customdata[3]} (rho %{customdata[4]:+.2f})"
            "<br>fires on %{customdata[2]:,} images<extra></extra>",
        )
    line = {"color": CONTROL, "width": 1, "dash": "dot"}
    figure.add_vline(x=least_effect, line=line)
    figure.add_hline(y=least_effect, line=line)
    figure.update_xaxes(
        title_text="geometric effect (strokes, within a class)", range=_span(tested["geometric_effect"], least_effect)
    )
    figure.update_yaxes(
        title_text="semantic effect (class, beyond strokes)", range=_span(tested["semantic_effect"], least_effect)
    )
    return styled(figure, title, 480)


def _span(effects: pd.Series, least_effect: float) -> list[float]:
    """An axis with room for points at 0: half of one that an edge cuts is hard to see and cannot be clicked."""
    top = max(float(effects.max()) if len(effects) else 0.0, 2 * least_effect, 0.1)
    return [-0.04 * top, 1.06 * top]


def verdict_shares(domains: Mapping[str, Mapping[str, Any]], title: str = "Geometric or semantic?") -> go.Figure:
    """Share of the latents tested that are geometric, semantic, both, neither, with 95 % intervals, beside the two controls.

    Args:
        domains: what to call it -> a domain of a geometry report; its `dictionaries` hold, for each of `DICTIONARIES`, `tested`
            and by verdict `latents`, `share`, `low`, `high`.
    """
    columns = min(2, max(1, len(domains)))
    lines = max(1, -(-len(domains) // columns))
    heads = [plain(name, 28) for name in domains]
    space = {"horizontal_spacing": 0.08, "vertical_spacing": 0.3 / lines}
    figure = make_subplots(rows=lines, cols=columns, shared_xaxes="all", shared_yaxes=True, subplot_titles=heads, **space)
    verdicts, told = list(VERDICTS), set()
    for nth, found in enumerate(domains.values()):
        for place, (name, (colour, symbol)) in enumerate(DICTIONARIES.items()):
            shares = found["dictionaries"].get(name)
            if not shares or not shares["tested"]:
                continue
            value = np.array([shares[verdict]["share"] for verdict in verdicts], dtype=float)
            low, high = (np.array([shares[verdict][end] for verdict in verdicts], dtype=float) for end in ("low", "high"))
            figure.add_scatter(
                x=value,
                y=np.arange(len(verdicts)) + 0.25 * (place - 1),
                mode="markers",
                name=name,
                legendgroup=name,
                showlegend=name not in told,
                marker={"color": colour, "symbol": symbol, "size": 9},
                error_x=whisker(value, low, high, colour, width=3),
                customdata=[
                    [shares[verdict]["latents"], shares["tested"], low[at], high[at], verdict]
                    for at, verdict in enumerate(verdicts)
                ],
                hovertemplate=name + ": %{x:.1%} %{customdata[4]} [%{customdata[2]:.1%}, %{customdata[3]:.1%}]"
                "<br>%{customdata[0]:,} of %{customdata[1]:,} tested<extra></extra>",
                row=nth // columns + 1,
                col=nth % columns + 1,
            )
            told.add(name)
    figure.update_annotations(font_size=12)
    named_rows(figure, verdicts, 20)
    for place in range(2, columns + 1):
        figure.update_yaxes(showticklabels=False, col=place)
    ticks = {"tickvals": [0, 0.5, 1], "ticktext": ["0", "50", "100"]}
    figure.update_xaxes(range=[-0.03, 1.03], title_text="% of latents tested", **ticks)
    return styled(figure, title, 130 + 230 * lines)


def shift_map(
    frame: pd.DataFrame,
    a: str,
    b: str,
    colours: Mapping[str, str],
    floors: Mapping[str, float],
    title: str = "Where each latent fires",
) -> go.Figure:
    """Every latent by its firing rate on two domains, both axes logarithmic; a point's customdata begins with its latent.

    A rate of 0 has no logarithm: it is drawn on the axis at `floors[domain]` (half an image, say) and labelled `never`.

    Args:
        frame: columns `latent`, `rate_a`, `rate_b` in [0, 1], `tab` (`shared`, `<a> only`, `<b> only`; any other, as `dead`, is
            not drawn), and optionally `name` (text or None).
        a, b: the two domains, across and up.
        colours: colour of each domain, and of `shared` where violet is not wanted.
        floors: the smallest rate drawn for each.
    """
    figure = go.Figure()
    tabs = {"shared": colours.get("shared", SAE), f"{a} only": colours.get(a, CONTROL), f"{b} only": colours.get(b, CONTROL)}
    symbols = dict(zip(tabs, ("circle", "triangle-right", "triangle-up"), strict=True))
    for tab, colour in tabs.items():
        rows = frame[frame["tab"] == tab]
        if rows.empty:
            continue
        names = rows["name"] if "name" in rows else [None] * len(rows)
        draw = figure.add_scattergl if len(frame) > WEBGL else figure.add_scatter
        draw(
            x=rows["rate_a"].clip(lower=floors[a]),
            y=rows["rate_b"].clip(lower=floors[b]),
            mode="markers",
            name=f"{plain(tab)} ({len(rows):,})",
            marker={"color": colour, "size": 7, "opacity": 0.7, "line": {"width": 0}, "symbol": symbols[tab]},
            customdata=[[int(latent), _named(name)] for latent, name in zip(rows["latent"], names, strict=True)],
            hovertemplate="latent %{customdata[0]} %{customdata[1]}<br>"
            + f"{plain(a)}: %{{x:.2%}}, {plain(b)}: %{{y:.2%}}<extra></extra>",
        )
    for axis, domain in (("x", a), ("y", b)):
        low = np.log10(floors[domain])
        ticks = [10.0**power for power in range(int(np.ceil(low + 0.3)), 1)]
        axes = figure.update_xaxes if axis == "x" else figure.update_yaxes
        axes(
            type="log",
            range=[low - 0.15, 0.1],
            tickvals=[floors[domain], *ticks],
            ticktext=["never", *(f"{100 * tick:g} %" for tick in ticks)],
            title_text=f"images of {plain(domain, 24)} it fires on",
        )
    # Equal rates, not the corners of the box: the two domains may have different floors.
    low = max(floors[a], floors[b])
    figure.add_shape(type="line", x0=low, y0=low, x1=1, y1=1, line={"color": GRID, "dash": "dot"})
    return styled(figure, title, 460)


def _named(name: object) -> str:
    return f"“{plain(name, 30)}”" if isinstance(name, str) else ""
