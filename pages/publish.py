"""Publish: look through what would be given away, read its card, then download it or send it somewhere."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st

import sae_core as sc
from pages._ui import guard
from pages._ui.page import page
from pages._ui.publish import places, statements

QUESTION = (
    "What can be given to others? The dictionary, the names, the evaluation and a model card that says what was measured on "
    "what. No image of the data leaves: pictures have licences of their own."
)
PLACES = {"Download": "a download", "Hub": "the Hugging Face Hub", "Static site": "a static site", "Space": "a Space"}


@st.cache_data(max_entries=4, max_size=500_000_000, show_spinner="Packing the files …")
def packed(keys: tuple[tuple[str, str], ...], _have: sc.pipeline.Run, licences: str, _stated: sc.Licences) -> dict[str, bytes]:
    """What the run exports: file name -> bytes. `keys` and `licences` are what it depends on."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "export"
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in sc.export_run(_have, out, licences=_stated)}


with page("Publish", QUESTION):
    chosen_run, made = guard.require("train", "It would offer the trained dictionary with its card.")
    stated = statements.stated(chosen_run.config)
    refused: str | None = None
    files: dict[str, bytes] = {}
    try:
        files = packed(tuple(sorted(made.keys.items())), made, repr(stated), stated)
    except sc.SaeLabError as error:
        refused = str(error)
    allowed = statements.checklist(made, stated, refused)
    if allowed:
        with st.expander("The model card", icon=":material/description:", key="model-card", on_change="rerun") as card:
            if card.open:
                st.code(files["README.md"].decode(), language="markdown", wrap_lines=True)
    st.subheader("Where to", anchor=False)
    place = st.segmented_control("Destination", list(PLACES), default="Download", key="place", required=True)
    if place == "Hub":
        places.to_hub(chosen_run, made, stated, allowed)
    elif place == "Static site":
        places.to_site(chosen_run, made, stated)
    elif place == "Space":
        places.to_space(chosen_run, made, stated, allowed)
    elif allowed:
        places.to_file(chosen_run, files)
