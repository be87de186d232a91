"""What stands around every page: the sidebar with the run picker and the jobs at work."""

from __future__ import annotations

import streamlit as st

import sae_core as sc
from pages._ui import session, watch
from pages._ui.page import errors_shown


def sidebar() -> None:
    """Draw the sidebar: which run, what it was made with, what is being made right now."""
    with st.sidebar, errors_shown():
        session.run_picker()
        run = session.current_run()
        if run is not None:
            st.caption(_made_with(run.config))
        watch.chip()


def _made_with(config: sc.RunConfig) -> str:
    if uses_demo_model(config):
        return ":material/science: Bundled demo model: a stand-in for CLIP, trained on drawings alone."
    return ""


def uses_demo_model(config: sc.RunConfig) -> bool:
    """Whether images of the run are embedded by the bundled demo model (arrays bring their own embeddings)."""
    return config.clip.model == "bundled" and any(source.source != "arrays" for source in config.data.values())
