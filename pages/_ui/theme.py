"""How the app looks: what a colour means, on light and on dark, and how a plotly figure is shown."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import plotly.graph_objects as go
import plotly.io
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import sae_core as sc

_OUT_OF_SIGHT = "position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%)"
_STYLE = """<style>
@media (prefers-reduced-motion: reduce) {{ * {{ animation: none !important; transition: none !important; }} }}
[data-testid="stCaptionContainer"] code {{ color: inherit; }}
[data-testid="stCode"] .token {{ color: inherit !important; }}
[data-testid="stCode"] :is(.keyword, .builtin, .function, .parameter, .number, .boolean) {{ color: {keyword} !important; }}
[data-testid="stCode"] .string {{ color: {string} !important; }}
[data-testid="stCode"] .comment {{ color: {comment} !important; }}
[data-testid^="stBaseButton-primary"]:not(:disabled), [data-testid="stMultiSelect"] [data-tag] {{ color: {on_primary}; }}
</style>"""
_ON_LIGHT = {"keyword": "#0b5cad", "string": "#0a6b2a", "comment": "#5c606e", "on_primary": "#ffffff"}
_ON_DARK = {"keyword": "#7cb8f5", "string": "#5fd38a", "comment": "#a3a7b5", "on_primary": "#17092f"}


def style() -> None:
    """What the theme's options cannot say, so that all text has a contrast of 4.5.

    Code in colours that can be read, dark words on the dark theme's light purple (Streamlit writes white there, and no one purple
    is dark enough below white and light enough as text on a dark page), and no motion for whoever asks for none.
    """
    st.html(_STYLE.format(**(_ON_DARK if is_dark() else _ON_LIGHT)))


def is_dark() -> bool:
    """Whether the visitor's theme is the dark one."""
    return st.context.theme.type == "dark"


def colours() -> dict[str, str]:
    """The colour of sketch, photo, clip, sae and control, with enough contrast for the visitor's theme."""
    return dict(sc.figures.ON_DARK) if is_dark() else dict(sc.figures.COLOURS)


def show(figure: go.Figure, key: str | None = None) -> None:
    """Show a plotly figure at full width in the app's theme, its colours lightened where the page is dark."""
    buttons = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"]}
    with _with_alternative(figure):
        st.plotly_chart(_on_dark(figure) if is_dark() else figure, width="stretch", key=key, config=buttons)


def clicked(figure: go.Figure, key: str) -> int | None:
    """Show a figure whose points can be chosen; the first number a point carries (its latent), in the run of the click."""
    shown = _on_dark(figure) if is_dark() else figure
    with _with_alternative(figure):
        chosen = st.plotly_chart(
            shown, width="stretch", key=key, on_select="rerun", selection_mode="points", config={"displaylogo": False}
        )
    hit = chosen["selection"]["points"]
    return int(hit[0]["customdata"][0]) if hit else None


def lassoed(figure: go.Figure, key: str, picked: Callable[[], None], several: bool) -> None:
    """Show a figure whose points can be chosen; `picked` runs when that changes what `key` holds.

    Args:
        several: dragging draws around points; else it moves the figure and a click chooses one. Plotly hears no click on a point
            while it lassoes.
    """
    figure.update_layout(dragmode="lasso" if several else "pan")
    with _with_alternative(figure):
        st.plotly_chart(
            _on_dark(figure) if is_dark() else figure,
            width="stretch",
            key=key,
            on_select=picked,
            selection_mode=("points", "box", "lasso"),
            config={"displaylogo": False},
        )


def _with_alternative(figure: go.Figure) -> DeltaGenerator:
    """A container for a figure that begins with what a screen reader says of it, out of sight."""
    place = st.container(gap=None)
    place.html(f'<p style="{_OUT_OF_SIGHT}">{html.escape(alternative(figure))}</p>')
    return place


def alternative(figure: go.Figure) -> str:
    """A figure in a sentence: its title, what its axes are and what it draws.

    >>> alternative(go.Figure(go.Bar(x=[1, 2], y=[3, 4], name="PCA"), {"title": {"text": "<b>Cost</b>"}}))
    'Chart: Cost. It draws PCA.'
    """

    def words(text: object) -> str:
        return html.unescape(re.sub(r"<[^>]*>", " ", str(text or ""))).strip()

    layout = figure.layout
    parts = [f"Chart: {words(layout.title.text) or 'no title'}."]
    axes = (("Across", layout.xaxis), ("Up", layout.yaxis))
    parts += [f"{way}: {words(axis.title.text)}." for way, axis in axes if words(axis.title.text)]
    drawn = dict.fromkeys(name for trace in figure.data if (name := words(trace.name)))
    if drawn:
        parts.append(f"It draws {', '.join(drawn)}.")
    return " ".join(parts)


def _on_dark(figure: go.Figure) -> go.Figure:
    text = figure.to_json()
    for name, colour in sc.figures.COLOURS.items():
        text = text.replace(f'"{colour}"', f'"{sc.figures.ON_DARK[name]}"')
    return plotly.io.from_json(text, skip_invalid=False)
