"""The visitor's own mark on a latent: a bookmark and a note, saved with the dictionary."""

from __future__ import annotations

from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import latents, session
from pages._ui.text import plain

MAX_NOTE = 2000  # what the core keeps of a note
_FAULT = "_mark_fault"


def bookmark(place: Any, run: sc.pipeline.Recorded, latent: int, mark: sc.Mark) -> None:
    """A button that sets or takes away the bookmark."""
    label, icon = ("Bookmarked", "bookmark_added") if mark.bookmarked else ("Bookmark", "bookmark_add")
    place.button(
        label,
        icon=f":material/{icon}:",
        type="primary" if mark.bookmarked else "secondary",
        key="bookmark",
        on_click=_save,
        args=(run, latent),
        kwargs={"bookmarked": not mark.bookmarked},
    )


def note(run: sc.pipeline.Recorded, latent: int, mark: sc.Mark) -> None:
    """The note, saved when the field is left."""
    fault = st.session_state.pop(_FAULT, None)
    if fault:
        st.error(plain(fault))
    kept = "Kept for this visit only: this app is public." if session.public() else "Saved with the dictionary as you leave it."
    title = "Note" if mark.note else "Add a note"
    with st.expander(title, icon=":material/edit_note:", expanded=bool(mark.note)):
        key = f"note-{run.id}-{latent}"
        st.text_area(
            "Note",
            mark.note,
            key=key,
            max_chars=MAX_NOTE,
            height=90,
            placeholder="What do you think it sees?",
            label_visibility="collapsed",
            on_change=_write,
            args=(run, latent, key),
        )
        st.caption(kept)


def _write(run: sc.pipeline.Recorded, latent: int, key: str) -> None:
    _save(run, latent, note=st.session_state[key])


def _save(run: sc.pipeline.Recorded, latent: int, bookmarked: bool | None = None, note: str | None = None) -> None:
    # A callback runs outside of the page's frame, so what it raises is said at the next run.
    try:
        latents.mark(run.id, latent, bookmarked=bookmarked, note=note)
    except sc.SaeLabError as error:
        st.session_state[_FAULT] = str(error)
