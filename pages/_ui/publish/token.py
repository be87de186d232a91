"""A visitor's token of the Hugging Face Hub: in the memory of this visit, and nowhere else.

It is taken out of its field as soon as it is typed, so that no page holds it. In a public app the server's own is never used.
"""

from __future__ import annotations

import os

import streamlit as st

import sae_core as sc
from pages._ui import session
from pages._ui.text import plain

FIELD = "hub-token"
_KEPT, _FAULT = "_hub_token", "_hub_token_fault"


def typed() -> sc.Secret | None:
    """The token that was typed in this visit."""
    kept: sc.Secret | None = st.session_state.get(_KEPT)
    return kept


def usable() -> bool:
    """Whether there is a token: typed, or (never in public, where it is the owner's) the environment's."""
    return typed() is not None or (not session.public() and bool(os.environ.get("HF_TOKEN")))


def field() -> None:
    """The password field, or where the token comes from."""
    fault = st.session_state.pop(_FAULT, None)
    if typed() is not None:
        said, button = st.columns([4, 1], vertical_alignment="center")
        said.markdown(":material/key: Your token is kept for this visit, in memory alone.")
        button.button("Forget it", key="hub-token-forget", width="stretch", on_click=_forget)
    else:
        if usable():
            st.markdown(":material/key: The token comes from the environment (`HF_TOKEN`).")
        st.text_input(
            "Token of the Hugging Face Hub, with write access",
            type="password",
            key=FIELD,
            on_change=_take,
            autocomplete="off",
            placeholder="another than the environment's" if usable() else "",
            help="Kept in memory until you leave; written to no file, link, log or export. It goes to the Hub alone.",
        )
    if fault:
        st.error(plain(fault))


def _take() -> None:
    text = str(st.session_state[FIELD]).strip()
    # The field is emptied whatever it held, since a value left in it would be in the page's source.
    st.session_state[FIELD] = ""
    if text:
        try:
            st.session_state[_KEPT] = sc.Secret(text)
        except sc.InputError as error:
            st.session_state[_FAULT] = str(error).replace("API key", "token")


def _forget() -> None:
    st.session_state.pop(_KEPT, None)
