"""Where a latent looks: a map laid over its picture, and the check of that map."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from PIL import Image

from sae_core.figures.style import CONTROL, SAE, styled

ADDS, TAKES = "124,58,237", "21,128,61"
"""Violet, the dictionary's colour, is what adds to the latent; green what takes away. Told apart by colour-blind eyes too."""
STRONGEST = 0.8
"""Opacity of the largest value; 0 is transparent, so that the picture shows through."""


def attribution_map(
    picture: str | Image.Image, cells: NDArray[np.floating], unit: str = "change of the pre-activation", title: str = ""
) -> go.Figure:
    """A map over its picture: violet cells add to the latent, green ones take away, nothing is laid over cells of 0.

    Args:
        picture: square; an image, or the address a browser finds it at.
        cells: float [g, g], the first row on top; the colours go from -max |cells| to max |cells|.
        unit: what the legend counts.
    """
    g = len(cells)
    most = float(np.abs(cells).max()) or 1.0
    figure = go.Figure(
        go.Heatmap(
            z=cells,
            x=np.arange(g) + 0.5,
            y=np.arange(g) + 0.5,
            zmin=-most,
            zmax=most,
            zsmooth="best",
            colorscale=[[0, f"rgba({TAKES},{STRONGEST})"], [0.5, f"rgba({ADDS},0)"], [1, f"rgba({ADDS},{STRONGEST})"]],
            colorbar={
                "title": {"text": unit, "side": "top", "font": {"size": 11}},
                "orientation": "h",
                "thickness": 10,
                "len": 0.9,
                "y": -0.02,
                "yanchor": "top",
                "tickvals": [-most, 0, most],
                "ticktext": [f"{-most:.2g}", "0", f"+{most:.2g}"],
            },
            hovertemplate="%{z:+.3f}<extra></extra>",
        )
    )
    figure.add_layout_image(
        source=picture, xref="x", yref="y", x=0, y=0, sizex=g, sizey=g, sizing="stretch", layer="below", opacity=1
    )
    bare = {"visible": False, "constrain": "domain", "fixedrange": True}
    figure = styled(figure, title, 380, legend=False)
    figure.update_xaxes(range=[0, g], **bare)
    figure.update_yaxes(range=[g, 0], scaleanchor="x", **bare)
    figure.update_layout(margin={"l": 4, "r": 4, "t": 34 if title else 4, "b": 60})
    return figure


def deletion_curves(
    hidden: NDArray[np.floating],
    curve: NDArray[np.floating],
    random: NDArray[np.floating],
    title: str = "Hiding the picture, part by part",
) -> go.Figure:
    """How a latent falls as its picture is hidden: in the map's order (violet) and in random orders (grey).

    Args:
        hidden: float [s], share hidden of the cells that are not blank, 0 to 1.
        curve: float [s], pre-activation in the map's order.
        random: float [r, s], the same in random orders.
    """
    figure = go.Figure()
    # One line with gaps: a trace for each order would be a legend of twenty.
    gap = np.full((len(random), 1), np.nan)
    figure.add_scatter(
        x=np.hstack([np.tile(hidden, (len(random), 1)), gap]).ravel(),
        y=np.hstack([random, gap]).ravel(),
        mode="lines",
        name=f"{len(random)} random orders",
        line={"color": CONTROL, "width": 1},
        opacity=0.6,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=hidden,
        y=curve,
        mode="lines+markers",
        name="largest on the map first",
        line={"color": SAE, "width": 3},
        marker={"size": 6},
        hovertemplate="%{x:.0%} hidden: %{y:.3f}<extra></extra>",
    )
    figure.update_xaxes(title_text="share hidden of what is not blank", tickformat=".0%", range=[-0.02, 1.02])
    figure.update_yaxes(title_text="pre-activation")
    return styled(figure, title, 260)
