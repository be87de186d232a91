"""What stands around every page: the sidebar with the pages, the run picker and the jobs at work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.navigation.page import StreamlitPage

import sae_core as sc
from pages._ui import session, theme, watch
from pages._ui.page import errors_shown


def sidebar(pages: Mapping[str, Sequence[StreamlitPage]]) -> None:
    """Draw the sidebar: the pages by group, which run they show and what made it, what is being made right now."""
    with st.sidebar:
        theme.style()
        run = st.container()
        with errors_shown():
            with run:
                session.run_picker()
            shown = session.current_run()
            if shown is not None and uses_demo_model(shown.config):
                run.caption(":material/science: Bundled demo model: a stand-in for CLIP, trained on drawings alone.")
        for group, members in pages.items():
            if group:
                st.caption(f"**{group}**")
            for page in members:
                st.page_link(page, query_params=session.link())
        with errors_shown():
            watch.chip()


def uses_demo_model(config: sc.RunConfig) -> bool:
    """Whether images of the run are embedded by the bundled demo model (arrays bring their own embeddings)."""
    return config.clip.model == "bundled" and any(source.source != "arrays" for source in config.data.values())
