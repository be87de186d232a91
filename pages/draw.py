"""Draw: what the dictionary sees in a drawing while it is drawn, and what changes when one line does."""

from __future__ import annotations

from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import guard, latents, session
from pages._ui.drawing import bars, canvas, reading, result, source
from pages._ui.drawing.reading import Sheet
from pages._ui.page import errors_shown, page
from pages._ui.text import plain
from pages._ui.thumbs import media_url

QUESTION = (
    "What does the dictionary see in *your* drawing? While you draw, the latents that fire and the labels that CLIP would give "
    "follow the pen. Keep a drawing as A, turn a line into a curve, and see what that changes."
)
HERE = (
    "Nothing you draw leaves this machine: the app that runs on it reads the drawing, keeps it in memory while you are here, "
    "and writes it to no file."
)
SERVED = (
    "What you draw or upload is read by this app's server, stays in its memory for the length of your visit, and is neither "
    "stored nor passed on."
)
START = "Draw something: a circle, a grid, a house. Or start from a picture, and draw on it."
LISTED = 40  # latents that the link to the gallery names at most
_KEPT = "_draw_kept"


def keep(sheet: Sheet | None) -> None:
    """Keep what is on the paper as A, or let A go."""
    st.session_state[_KEPT] = sheet


def buttons(sheet: Sheet | None, seen: sc.Reading | None) -> None:
    """What can be done with the drawing."""
    line = st.container(horizontal=True)
    ready = sheet is not None
    line.button("Keep this as A", icon=":material/push_pin:", disabled=not ready, on_click=keep, args=(sheet,), key="draw-keep")
    if st.session_state.get(_KEPT) is not None:
        line.button("Forget A", icon=":material/close:", on_click=keep, args=(None,), key="draw-forget")
    if seen is not None and seen.l0:
        listed = ",".join(str(latent) for latent in seen.latents[:LISTED])
        line.page_link(
            "pages/gallery.py",
            label="These latents in the gallery",
            icon=":material/grid_view:",
            query_params={**session.link(), "list": listed, "only": "1"},
        )
    if st.session_state.get(_KEPT) is None:
        st.caption("Keep a drawing and go on with it: what changed is shown below, latent by latent.")


def compare(have: sc.pipeline.Run, sheet: Sheet | None, seen: sc.Reading | None, seq: int) -> None:
    """What changed from the drawing kept as A to the one on the paper."""
    kept: Sheet | None = st.session_state.get(_KEPT)
    if kept is None:
        return
    if sheet is None or seen is None:
        st.caption("A is kept. Draw B: what changed comes here.")
        return
    pair = (("A, the drawing that was kept", kept.png), ("B, the drawing on the paper", sheet.png))
    changes, labels = result.changed(have, reading.read(have, kept), seen, pair)
    left, right = st.columns([3, 2], gap="large")
    with left:
        _show([changes], "draw-changes", seq)
    with right:
        _show(labels, "draw-labels-changed", seq)


def _show(sections: list[bars.Section], key: str, seq: int) -> None:
    latent = bars.show(sections, key, seq)
    if latent is not None:
        latents.open_latent(latent)


@st.fragment
def board(have: sc.pipeline.Run) -> None:
    """The paper and what is read in it. A fragment: a stroke runs this part only."""
    with errors_shown():
        left, right = st.columns([2, 3], gap="large")
        with left:
            source.picker(have)
            paper, below = st.container(), st.container()
        base, drawing = source.chosen(), None
        with errors_shown():  # whatever is wrong with a reading, the paper stays
            drawing = canvas.sent()
            read(have, base, drawing, below, right)
        # Last, since the paper sends its next drawing when it hears that this one was answered.
        with paper:
            under = None if base is None else {"id": base.id, "url": media_url(reading.laid(have, base), "draw-base")}
            canvas.paper(under, None if drawing is None else drawing.seq)
            if base is not None:
                st.caption(f"Laid on the paper as CLIP sees it: {plain(base.what)}.")


def read(have: sc.pipeline.Run, base: source.Base | None, drawing: canvas.Drawing | None, below: Any, right: Any) -> None:
    """What the dictionary sees on the paper, `below` it and to the `right` of it, and what changed since A."""
    seq = 0 if drawing is None else drawing.seq
    sheet = reading.on_paper(have, base, drawing)
    seen = None if sheet is None else reading.read(have, sheet)
    with right:
        if seen is None:
            st.info(START, icon=":material/draw:")
        else:
            _show(result.fired(have, seen), "draw-latents", seq)
    with below:
        buttons(sheet, seen)
        if seen is not None:
            _show(result.taken_for(seen), "draw-labels", seq)
    compare(have, sheet, seen, seq)


def can_read(have: sc.pipeline.Run) -> bool:
    """Whether pictures can be read for this run; where not, one line says why."""
    try:
        reading.reader(have)
        latents.table(have)  # now, so that the first stroke does not wait for it
    except (sc.Unavailable, sc.InputError) as error:
        st.info(f"This run reads no drawings: {plain(error)}.", icon=":material/draw:")
        return False
    return True


with page("Draw", QUESTION):
    run, made = guard.require("collect", "It would say what the dictionary sees in a drawing of yours.")
    st.caption(f":material/lock: {SERVED if session.public() else HERE}")
    if can_read(made):
        board(made)
