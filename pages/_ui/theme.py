"""How the app looks: what a colour means, on light and on dark, and how a plotly figure is shown."""

from __future__ import annotations

import plotly.graph_objects as go
import plotly.io
import streamlit as st

import sae_core as sc


def is_dark() -> bool:
    """Whether the visitor's theme is the dark one."""
    return st.context.theme.type == "dark"


def colours() -> dict[str, str]:
    """The colour of sketch, photo, clip, sae and control, with enough contrast for the visitor's theme."""
    return dict(sc.figures.ON_DARK) if is_dark() else dict(sc.figures.COLOURS)


def show(figure: go.Figure, key: str | None = None) -> None:
    """Show a plotly figure at full width in the app's theme, its colours lightened where the page is dark."""
    buttons = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"]}
    st.plotly_chart(_on_dark(figure) if is_dark() else figure, width="stretch", key=key, config=buttons)


def clicked(figure: go.Figure, key: str) -> int | None:
    """Show a figure whose points can be chosen; the first number a point carries (its latent), in the run of the click."""
    shown = _on_dark(figure) if is_dark() else figure
    chosen = st.plotly_chart(
        shown, width="stretch", key=key, on_select="rerun", selection_mode="points", config={"displaylogo": False}
    )
    hit = chosen["selection"]["points"]
    return int(hit[0]["customdata"][0]) if hit else None


def _on_dark(figure: go.Figure) -> go.Figure:
    text = figure.to_json()
    for name, colour in sc.figures.COLOURS.items():
        text = text.replace(f'"{colour}"', f'"{sc.figures.ON_DARK[name]}"')
    return plotly.io.from_json(text, skip_invalid=False)
