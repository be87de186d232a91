"""Bars with pictures that may change many times a second: one element of the page, whose parts the browser keeps.

The same as charts and galleries would be a dozen elements of Streamlit's, each drawn anew at every stroke of the pen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from pages._ui.drawing import asset


@dataclass(frozen=True)
class Bar:
    """A bar: its `length` from 0 to 1 (cut there), what stands beside it, its colour (CSS)."""

    length: float
    text: str
    colour: str


@dataclass(frozen=True)
class Picture:
    """A picture by its URL, with what it shows, and the colour of its upper edge (None: neutral)."""

    url: str
    label: str
    edge: str | None = None


@dataclass(frozen=True)
class Row:
    """A line: a title, a few words beside it, bars, pictures. With an `id` the title is a button that answers with it."""

    title: str
    bars: tuple[Bar, ...]
    tag: str = ""
    pictures: tuple[Picture, ...] = ()
    id: int | None = None


@dataclass(frozen=True)
class Section:
    """Rows under a title; `note` is a sentence (marked where it is an `alert`), `pictures` a line of larger ones."""

    title: str
    rows: tuple[Row, ...] = ()
    note: str = ""
    pictures: tuple[Picture, ...] = ()
    alert: bool = False


def show(sections: Sequence[Section], key: str, seq: int) -> int | None:
    """Show the sections; returns the id of the row just chosen, in that script run only.

    Args:
        sections: from top to bottom.
        key: unique on the page.
        seq: number of the drawing they are about, which a test can read off the page (`data-seq`).
    """
    data = {"sections": [asdict(one) for one in sections], "seq": seq}
    component = st.components.v2.component("sketch_sae_lab_bars", css=asset("bars.css"), js=asset("bars.js"))
    clicked = component(data=data, key=key, on_clicked_change=_nothing).clicked
    return None if clicked is None else int(clicked)


def _nothing() -> None:
    """A trigger needs a callback to exist; the click is read from the result."""
