"""Zero-shot: what the dictionary costs CLIP on held-out images, two domains side by side, or up to four runs over each other."""

from __future__ import annotations

import streamlit as st

from pages._ui import guard, load
from pages._ui.bits import download
from pages._ui.evaluation import accuracy, classes, flips, prompts, quality, sides
from pages._ui.page import page
from pages._ui.reproduce import reproduce
from pages._ui.text import plain

QUESTION = (
    "How much of what CLIP knows survives the dictionary? Each held-out image is classified by its embedding and again by the "
    "dictionary's reconstruction of it, with the same prompts; controls show what a worse dictionary would cost."
)
# Only the section that is seen is computed and sent.
SECTIONS = {
    "Accuracy": accuracy.show,
    "Classes": classes.deltas,
    "Confusion": classes.confusion,
    "Flipped images": flips.show,
    "Prompts": prompts.show,
    "Quality": quality.show,
}


with page("Zero-shot", QUESTION):
    chosen_run, made = guard.require("evaluate", "It would compare CLIP with CLIP+SAE on held-out images.")
    evaluation = load.evaluation(made)
    shown = sides.choose(chosen_run, made)
    sides.warnings(shown)
    section = st.segmented_control(
        "Section",
        list(SECTIONS),
        default="Accuracy",
        required=True,
        key="zero-shot-section",
        wrap=True,
        persist_state="session",
        label_visibility="collapsed",
    )
    SECTIONS[str(section)](shown)
    st.caption(f"Intervals: {plain(evaluation.report['interval'])}, {evaluation.report['bootstrap']:,} resamples.")
    download(st, "Download eval.log", lambda: evaluation.log, "eval.log")
    reproduce("evaluate", chosen_run)
