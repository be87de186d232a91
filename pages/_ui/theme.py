"""How the app looks: what a colour means, on light and on dark, and how a plotly figure is shown."""

from __future__ import annotations

import plotly.graph_objects as go
import plotly.io
import streamlit as st

import sae_core as sc

_ON_DARK = {"sketch": "#3f8fd0", "photo": "#d97b3a", "clip": "#8a919e", "sae": "#8b5cf6", "control": "#6b7280"}


def is_dark() -> bool:
    """Whether the visitor's theme is the dark one."""
    return st.context.theme.type == "dark"


def colours() -> dict[str, str]:
    """The colour of sketch, photo, clip, sae and control, with enough contrast for the visitor's theme."""
    return dict(_ON_DARK) if is_dark() else dict(sc.figures.COLOURS)


def show(figure: go.Figure, key: str | None = None) -> None:
    """Show a plotly figure at full width in the app's theme, its colours lightened where the page is dark."""
    buttons = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"]}
    st.plotly_chart(_on_dark(figure) if is_dark() else figure, width="stretch", key=key, config=buttons)


def _on_dark(figure: go.Figure) -> go.Figure:
    text = figure.to_json()
    for name, colour in sc.figures.COLOURS.items():
        text = text.replace(f'"{colour}"', f'"{_ON_DARK[name]}"')
    return plotly.io.from_json(text, skip_invalid=False)
