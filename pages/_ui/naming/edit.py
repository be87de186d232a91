"""A person's label for a latent: given, tested by CLIP at once and by a vision model on request, kept beside the machine's."""

from __future__ import annotations

from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import session
from pages._ui.naming import form, keys, one, said, start
from pages._ui.page import errors_shown
from pages._ui.text import plain

AUTHOR = "naming-author"
METHODS = {"clip_consistency": "CLIP consistency", "detection": "Detection"}
_PLAN = "_label_plan"


def section(run: sc.pipeline.Recorded, have: sc.pipeline.Run, latent: int) -> None:
    """The label's form, its scores, and what a test by a vision model would cost."""
    with st.container(border=True), errors_shown():
        own = said.labels(run.id).get(latent)
        st.markdown(f"**Your label** {said.MARK}")
        with st.form(f"label-{latent}", border=False):
            left, right = st.columns([3, 1])
            label = left.text_input("Label", own.label if own is not None else "", max_chars=80, key=f"label-text-{latent}")
            author = right.text_input(
                "By", _author(own), max_chars=60, key=f"label-author-{latent}", placeholder="name or initials"
            )
            saved = st.form_submit_button("Save and score", icon=":material/save:")
        if saved:
            _save(run, have, own, latent, label, author)
        kept = (
            "for this visit only: this app is public." if session.public() else "with the dictionary, beside the machine's name."
        )
        st.caption(f"Kept {kept} It is scored on held-out images as the machine's names are. Save an empty label to remove it.")
        if own is None:
            return
        for name in METHODS:
            line = one.score_line(name, own.scores.get(name))
            why = (own.scores.get("notes") or {}).get(name)
            if line or why:
                st.markdown(f"- {plain(line or f'{METHODS[name]}: no score, {why}')}")
        _by_vision(run, have, own)


def _author(own: sc.ManualLabel | None) -> str:
    return own.author if own is not None else str(st.session_state.get(AUTHOR, ""))


def _save(
    run: sc.pipeline.Recorded, have: sc.pipeline.Run, own: sc.ManualLabel | None, latent: int, label: str, author: str
) -> None:
    scores: dict[str, Any] = {}
    if label.strip():
        settings = run.config.interpret
        with st.spinner("Scoring the label on held-out images …"):
            scores = sc.rescore(latent, label, author, start.material(have, settings.seed), settings)
        if own is not None and own.label == label.strip():  # the same label, so what was paid for still holds
            scores["detection"] = own.scores.get("detection")
    said.set_label(run.id, latent, label, author, scores)
    st.session_state[AUTHOR] = author
    st.rerun()


# ---------------------------------------------------------------- by a vision model


def _by_vision(run: sc.pipeline.Recorded, have: sc.pipeline.Run, own: sc.ManualLabel) -> None:
    """The price first, then the test: ten requests or so about one latent."""
    with st.expander("Score it with a vision model too"):
        settings = wanted(run.config.interpret)
        if settings.vision.model is None:
            st.caption("Choose a vision model above, under “Name them again”; the label is then tested with it.")
            return
        endpoint = keys.allowed(settings.vision.endpoint)
        key = keys.of(endpoint)
        if key is None and not endpoint.loopback:
            st.caption(plain(f"{endpoint.host} wants a key: give it above, under “Name them again”."))
            return
        material = start.material(have, settings.seed)
        identity = f"{own.latent} {own.label} {settings.vision.model_dump_json()}"
        if st.button("Estimate price and images", key="label-estimate", icon=":material/request_quote:"):
            with st.spinner("Counting …"):
                st.session_state[_PLAN] = (identity, sc.plan_label(settings, material, own.latent, own.label, key))
        known, plan = st.session_state.get(_PLAN, ("", None))
        if known != identity or plan is None:
            return
        agreed = start.agreement(plan, f"label-agree-{identity}")
        if st.button("Test the label", type="primary", key="label-test", disabled=not agreed):
            with (
                st.spinner(f"Asking {plain(plan.host)} …"),
                sc.vision_client(settings.vision, session.own_store(), key) as client,
            ):
                scores = sc.rescore(own.latent, own.label, own.author, material, settings, client)
            said.set_label(run.id, own.latent, own.label, own.author, scores)
            st.rerun()


def wanted(current: sc.config.InterpretConfig) -> sc.config.InterpretConfig:
    """The settings of the test: the run's own images and sizes; endpoint, model and cap as the form above has them."""
    chosen = st.session_state.get(form.CHOSEN)
    return current if chosen is None else current.model_copy(update={"vision": chosen})
