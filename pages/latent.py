"""Latent: the card of one latent, with its own link: what it fires on, how strongly, how often, what stands near it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import guard, latents, load
from pages._ui.card import exports, heading, marking, pictures, relations
from pages._ui.page import errors_shown, page
from pages._ui.reproduce import reproduce

QUESTION = (
    "What does this latent see? Its strongest images show its extremes, the fifths below them what it fires on in general, and "
    "the silent images what it leaves out. Choose an image to see where in it the latent looks."
)
OF_CARD = ("collect", "train", "interpret", "geometry")
TOP, EACH, SILENT, NEAR = 12, 4, 8, 8


def card_of(have: sc.pipeline.Run, latent: int) -> sc.Card:
    """The latent's card, without the visitor's mark; made once for all visitors."""
    made = tuple(have.outcomes[node].key if node in have.outcomes else "" for node in OF_CARD)
    return _card(made, latent, have)  # type: ignore[no-any-return]


@st.cache_resource(max_entries=64, show_spinner=False)
def _card(made: tuple[str, ...], latent: int, _have: sc.pipeline.Run) -> Any:
    acts = load.activations(_have)
    return sc.latent_card(
        acts,
        load.sae(_have),
        latent,
        classes=latents.classes(_have),
        names=load.names(_have) if "interpret" in _have.outcomes else None,
        geometry=load.geometry(_have) if "geometry" in _have.outcomes else None,
        top=TOP,
        each=EACH,
        silent=SILENT,
        near=NEAR,
    )


with page("Latent", QUESTION):
    chosen_run, made = guard.require("collect", "It would show one latent: what it fires on, how strongly, how often.")
    activations = load.activations(made)
    chosen, buttons = heading.choose(activations)
    card = card_of(made, chosen)
    with errors_shown():  # a damaged file of notes must not hide the card
        marks = latents.marks(chosen_run.id)
        card = replace(card, mark=sc.Mark(chosen in marks.bookmarked, marks.note(chosen)))
        marking.bookmark(buttons, chosen_run, chosen, card.mark)
    heading.heading(made, card)
    with errors_shown():
        marking.note(chosen_run, chosen, card.mark)
    if card.dead:
        st.info(
            f"Latent {chosen} is dead: it fires on none of the {activations.n:,} images. There is nothing to show or to steer."
        )
    else:
        pictures.strongest(made, card)
        relations.histogram(made, card)
        pictures.examples(made, card)
        relations.classes(made, card)
        relations.strokes(made, card)
        relations.neighbours(made, card)
        st.markdown("**Take it away**")
        exports.downloads(made, card)
        st.page_link(
            "pages/steer.py",
            label="Steer an image along this latent",
            icon=":material/tune:",
            query_params=latents.link(chosen),
        )
    reproduce("collect", chosen_run)
