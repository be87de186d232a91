"""Geometry: whether each latent follows strokes, class, both or neither, and on which domain it fires."""

from __future__ import annotations

import streamlit as st

import sae_core as sc
from pages._ui import guard, load, session
from pages._ui.geometry import one, shift, verdicts
from pages._ui.page import page
from pages._ui.reproduce import reproduce
from pages._ui.text import plain

QUESTION = (
    "Do latents see **strokes** or **things**? A latent is geometric when it follows lines, corners, junctions and the like "
    "among images of one class, semantic when it follows class beyond what the strokes tell."
)
SECTIONS = ("Strokes or class", "Domain shift")


def judgeable(have: sc.pipeline.Run) -> bool:
    """Whether a domain has both pictures to measure and classes to hold constant, as far as its images are listed yet."""
    listed = [load.manifest(have, domain) for domain in have.config.data if f"manifest:{domain}" in have.outcomes]
    fit = any(len(one.classes) >= 2 and one.n and one.has_image(0) for one in listed)
    return fit or len(listed) < len(have.config.data)


def judged() -> None:
    """The section of verdicts: made when asked for."""
    run = session.current_run()
    if run is not None and not judgeable(session.opened(run)):
        st.info(
            "This takes pictures, to measure their strokes, and classes, to hold constant. No domain of this run has both.",
            icon=":material/shape_line:",
        )
        return
    what = "It would measure the strokes of every picture (about a hundred a second), then judge every latent by them."
    chosen, have = guard.require("geometry", what)
    report = load.geometry(have).report
    verdicts.show(verdicts.compared(chosen, have))
    one.show(have)
    for domain, note in report["notes"].items():
        st.caption(plain(f"{domain} is left out: {note}"))
    reproduce("geometry", chosen)


def shifted() -> None:
    """The section of rates, from the activations alone."""
    chosen, have = guard.require("collect", "It would show on which domain each latent fires.")
    shift.show(have)
    reproduce("collect", chosen)


with page("Geometry", QUESTION):
    section = st.segmented_control(
        "Section",
        SECTIONS,
        default=SECTIONS[0],
        required=True,
        key="geometry-section",
        persist_state="session",
        label_visibility="collapsed",
    )
    if section == SECTIONS[0]:
        judged()
    else:
        shifted()
