"""Labels that the visitor gives: the cache's, or where strangers use the app the visitor's own, for this visit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import session
from pages._ui.text import plain

MARK = "✎"
"""Stands before a label that a person gave."""
_UNREAD = "_labels_unread"


def labels(run_id: str) -> dict[int, sc.ManualLabel]:
    """The manual labels of a run's latents. Raises DamagedArtifact when the file cannot be read."""
    if session.public():
        found: dict[int, sc.ManualLabel] = st.session_state.get(_kept(run_id), {})
        return found
    return sc.load_labels(session.store(), run_id)


def legible(run_id: str) -> dict[int, sc.ManualLabel]:
    """The labels, or none and one message a visit when they cannot be read: names are of use without them."""
    try:
        found = labels(run_id)
    except sc.SaeLabError as error:
        if st.session_state.get(_UNREAD) != str(error):
            st.session_state[_UNREAD] = str(error)
            st.toast(plain(str(error)), icon=":material/error:", duration="long")
        return {}
    st.session_state.pop(_UNREAD, None)
    return found


def set_label(run_id: str, latent: int, label: str, author: str, scores: Mapping[str, Any] | None = None) -> None:
    """Set a latent's label; an empty one takes it away. Raises InputError, DamagedArtifact."""
    if not session.public():
        sc.set_label(session.store(), run_id, latent, label, author, scores)
        return
    made = sc.manual_label(latent, label, author, scores)
    kept = {**labels(run_id), latent: made}
    if not made.label:
        kept.pop(latent)
    st.session_state[_kept(run_id)] = kept


def _kept(run_id: str) -> str:
    return f"_labels-{run_id}"
