"""What the publisher states of licences, and the checklist that follows from it."""

from __future__ import annotations

import streamlit as st

import sae_core as sc
from pages._ui.text import plain

COMMON = ("mit", "apache-2.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc0-1.0")
_ICONS = {"good": ":green[:material/check_circle:]", "open": ":orange[:material/pending:]", "bad": ":red[:material/error:]"}
_WORDS = {"good": "good", "open": "open", "bad": "to be mended"}


def stated(config: sc.RunConfig) -> sc.Licences:
    """The fields for licences; what they say."""
    with st.expander("State the licences", icon=":material/gavel:"):
        own = st.selectbox(
            "Licence of the dictionary",
            COMMON,
            index=None,
            key="licence",
            accept_new_options=True,
            placeholder="not stated",
            help="An identifier of the Hub's, or a licence's name. What you leave out the card calls not stated.",
        )
        data = {}
        for domain, source in config.data.items():
            if source.source != "drawn":
                text = st.text_input(f"Licence or origin of the images: {domain}", key=f"licence-{domain}", max_chars=200)
                if text.strip():
                    data[domain] = text
    return sc.stated_licences(own, [f"{domain}={text}" for domain, text in data.items()], config)


def checklist(made: sc.pipeline.Run, licences: sc.Licences, refused: str | None) -> bool:
    """Every check with its state in words; whether nothing forbids publication."""
    st.subheader("Before it goes out", anchor=False)
    for check in sc.publication_checks(made, licences):
        st.markdown(f"{_ICONS[check.state]} **{plain(check.name)}** ({_WORDS[check.state]}): {plain(check.said)}")
    if refused is None:
        st.markdown(
            f"{_ICONS['good']} **Secrets** (good): no token, key or path of this machine in any file; no image of the data"
        )
    else:
        st.markdown(f"{_ICONS['bad']} **Secrets and files** (to be mended): {plain(refused)}")
    return refused is None
