"""Which latents are named: all, the strongest, the bookmarked, the gallery's list, or ids."""

from __future__ import annotations

import streamlit as st

import sae_core as sc
from pages._ui import latents, load
from pages._ui.gallery import view
from pages._ui.text import count

ALL, STRONGEST, MARKED, LISTED, IDS = "all that fire", "the strongest", "bookmarked", "the gallery's list", "ids"
KEY = "naming-latents"


def choose(run: sc.pipeline.Recorded, have: sc.pipeline.Run) -> sc.config.Latents:
    """The controls; what they ask for. Raises InputError for a choice that holds none."""
    acts = load.activations(have)
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    kind = left.selectbox("Latents", (ALL, STRONGEST, MARKED, LISTED, IDS), key=KEY, persist_state="session")
    if kind == STRONGEST:
        most = right.number_input("How many", 1, acts.m, min(20, acts.m), key=f"{KEY}-most", persist_state="session")
        return sc.config.Latents(strongest=int(most))
    if kind == ALL:
        right.caption(f"{count(len(acts.alive()), 'latent')} of {acts.m:,}; those that never fire are recorded as dead.")
        return sc.config.Latents()
    if kind == MARKED:
        ids = sorted(latents.marks(run.id).bookmarked)
        none = "no latent is bookmarked; bookmark some in the gallery or on a latent's page"
    elif kind == LISTED:
        ids = [int(one) for one in view.get("list")]
        none = "the gallery's list is empty; pick latents there, on a map or in its table"
    else:
        text = right.text_input("Ids, such as 12, 416, 7204", key=f"{KEY}-ids", persist_state="session")
        ids, none = _numbers(text), "no latent is given; write their numbers, such as 12, 416, 7204"
    kept = list(dict.fromkeys(one for one in ids if one < acts.m))
    if len(kept) < len(set(ids)):
        raise sc.InputError(f"there is no latent {max(ids)}: they go from 0 to {acts.m - 1}")
    if not kept:
        raise sc.InputError(none)
    if kind != IDS:
        right.caption(count(len(kept), "latent"))
    return sc.config.Latents(ids=tuple(kept))


def _numbers(text: str) -> list[int]:
    parts = text.replace(",", " ").split()
    wrong = next((part for part in parts if not (part.isascii() and part.isdigit() and len(part) < 10)), None)
    if wrong is not None:
        raise sc.InputError(f"{wrong[:20]!r} is no latent's number; write numbers such as 12, 416, 7204")
    return [int(part) for part in parts]
