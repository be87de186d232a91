"""The paper: a canvas for mouse, pen and touch whose drawing comes to the app as a small PNG while it is drawn.

The strokes stay in the browser. What arrives is kept in the session's memory, and nowhere else.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui.drawing import asset

KEY = "draw-paper"
SIDE = 256
"""Pixels of a side of what arrives."""
LARGEST = 400_000
"""Characters of a drawing's data URI; a photo of that size as PNG has about 200,000."""
_HEAD = "data:image/png;base64,"


@dataclass(frozen=True)
class Drawing:
    """What is on the paper.

    `seq` is its number, growing; `png` the paper, SIDE pixels wide and high; `strokes` how many lie on it; `base` the id of the
    picture under them (None: blank paper); `seen` the id of the last picture that was laid down, whether or not it lies there.
    """

    seq: int
    png: bytes
    strokes: int
    base: str | None
    seen: str | None


def sent() -> Drawing | None:
    """The last drawing that arrived; None before the first. Raises InputError for what is no drawing of the paper's."""
    state: Any = st.session_state.get(KEY)
    return None if not state or not state.get("drawing") else parsed(state["drawing"])


def parsed(raw: Any) -> Drawing:
    """A drawing as the browser sends it: a dict seq, png (data URI), strokes, base, seen. Raises InputError."""
    try:
        png = raw["png"]
        if not png.startswith(_HEAD) or len(png) > LARGEST:
            raise ValueError
        data = base64.b64decode(png[len(_HEAD) :], validate=True)
        if struct.unpack(">II", data[16:24]) != (SIDE, SIDE):  # before a pixel is decoded: a small file may hold a huge picture
            raise ValueError
        known = [None if raw[name] is None else str(raw[name])[:40] for name in ("base", "seen")]
        return Drawing(int(raw["seq"]), data, int(raw["strokes"]), *known)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, struct.error):
        raise sc.InputError("the drawing did not arrive whole; draw on, or reload the page") from None


def paper(base: dict[str, str] | None, answered: int | None) -> None:
    """Show the paper.

    Args:
        base: id and url of a picture that is to be laid on it, once.
        answered: number of the drawing that the page has just answered; the next one comes when its own is.
    """
    component = st.components.v2.component("sketch_sae_lab_paper", css=asset("board.css"), js=asset("ink.js") + asset("board.js"))
    component(data={"name": KEY, "base": base, "answered": answered}, key=KEY, on_drawing_change=_nothing)


def _nothing() -> None:
    """A state needs a callback to exist; the drawing is read from the session."""
