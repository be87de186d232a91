"""Sweep: a grid of dictionaries on one pass over the data, and which of them explain most with the fewest latents."""

from __future__ import annotations

import streamlit as st

from pages._ui import checked, cost, curves, session, sweep_form, sweep_view, watch
from pages._ui.page import page
from pages._ui.reproduce import reproduce

QUESTION = (
    "How many latents does an embedding take, and which architecture takes the fewest? A **sweep** trains every combination of a "
    "grid of settings on one pass over the data and plots how much each explains (R²) against how many latents it fires (L0)."
)


def setup() -> None:
    """The grid, what is wrong with it or what it will cost, and the button."""
    config = checked.config(sweep_form.controls())
    if config is None:
        st.button("Start the sweep", type="primary", disabled=True, key="sweep-start")
        return
    cost.show_sweep(config)
    if st.button("Start the sweep", type="primary", icon=":material/play_arrow:", key="sweep-start"):
        watch.launch("sweep", config)


def offer() -> None:
    """What a cache without a sweep shows: what one is, and the demo's."""
    st.info(
        "Nothing has been swept in this cache yet. A sweep trains a grid of dictionaries side by side, so that you can pick the "
        "one that explains most for the sparsity you want.",
        icon=":material/grid_on:",
    )
    config = sweep_form.demo()
    cost.show_sweep(config)
    if st.button("Sweep the demo", type="primary", icon=":material/play_arrow:", key="sweep-demo"):
        watch.launch("sweep", config)


with page("Sweep", QUESTION):
    chosen = session.sweep_picker()
    job = watch.at_work("sweep") or watch.stopped(chosen, "sweep")
    if job is not None:
        watch.show(job)
        curves.follow(job, {})
    there = chosen is not None and session.store().has(chosen.keys["sweep"])
    if chosen is not None and there:
        sweep_view.show(chosen, session.opened(chosen))
        reproduce("sweep", chosen)
    if chosen is None and job is None:
        offer()
    with st.expander("A sweep of your own", icon=":material/tune:", expanded=not there and job is None):
        setup()
