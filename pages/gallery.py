"""Gallery: every latent with the picture it fires on most; searched, filtered, sorted, mapped, listed."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages._ui import guard, latents, load
from pages._ui.gallery import bar, chosen, maps, pictures, rows, search, view
from pages._ui.page import page
from pages._ui.reproduce import reproduce
from pages._ui.text import count

QUESTION = (
    "What does each latent fire on? Every picture below is the one that a latent fires on **most**; choose it to see the "
    "latent's own page. A latent is one domain's own when it fires there at least ten times as often, beyond chance."
)


def dead(table: pd.DataFrame, images: int) -> None:
    """The latents that never fire, by number: there is nothing else to show of them."""
    ids = table.loc[table["group"] == view.DEAD, "latent"]
    st.info(f"{len(ids):,} of {count(len(table), 'latent')} fire on none of the {images:,} images: there is nothing to show.")
    if len(ids):
        st.code(", ".join(map(str, ids)), language=None, wrap_lines=True)


with page("Gallery", QUESTION):
    chosen_run, made = guard.require("collect", "It would show what every latent fires on.")
    view.follow_link(here=search.OPEN)
    everything = latents.table(made)
    group = bar.tabs(everything, load.activations(made).domains)
    if group == view.DEAD:
        view.write_link()
        dead(everything, load.activations(made).n)
    else:
        kept = bar.narrowed(made, everything, group)
        section = st.segmented_control(
            "Section",
            view.SECTIONS,
            required=True,
            key=view.key("section"),
            wrap=True,
            persist_state="session",
            label_visibility="collapsed",
        )
        view.back_to_page_one()
        chosen.bar(chosen_run, everything)
        view.write_link(bar.sorts_of(kept)[0])
        if kept.empty:
            st.info("No latent passes these filters. Widen or clear them.")
        elif section == view.PICTURES:
            pictures.show(made, kept)
        elif section == view.MAP:
            maps.directions(chosen_run, made, kept)
        elif section == view.SHIFT:
            maps.shifted(made, kept)
        else:
            rows.show(kept)
    reproduce("collect", chosen_run)
