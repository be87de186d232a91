"""What a form spells out, checked before anything is started: one clear line where it cannot work."""

from __future__ import annotations

from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import cost, data_form, member, session
from pages._ui.text import plain


def config(raw: dict[str, Any]) -> sc.RunConfig | None:
    """The configuration of a form; None when it cannot work, and then a line says why."""
    problem = data_form.problem_of(raw)
    if problem is None:
        try:
            found = sc.config.validate(sc.RunConfig, raw, "settings")
            problem = problem_of(found)
        except sc.InputError as error:
            problem = str(error)
    if problem is None:
        return found
    st.error(plain(problem), icon=":material/error:")
    return None


def problem_of(config: sc.RunConfig) -> str | None:
    """What the data, CLIP and a public app do not allow, as far as it is known before they are read; None where nothing does."""
    if session.public():
        try:
            sc.config.public.check(config, session.shared_configs())
        except sc.InputError as error:
            return str(error)
    rows, d = cost.rows_and_width(config)
    for name, sae in (member.members_of(config) or {"": config.sae}).items():
        found = _too_few(sae, rows, d) or (_no_texts(config) if isinstance(sae.architecture, sc.config.Splice) else None)
        if found is not None:
            return f"{name}: {found}" if name else found
    return None


def _too_few(sae: sc.config.SaeConfig, rows: int | None, d: int | None) -> str | None:
    match sae.architecture:
        case sc.config.Pca(components=components):
            most = min((one for one in (rows, d) if one is not None), default=None)
            if most is not None and components > most:
                return f"components = {components}, but these embeddings have {most} principal axes at most"
        case sc.config.KMeans():
            if rows is not None and sae.width > rows:
                return f"width = {sae.width} centres, but there are {rows} training rows; a centre needs a row"
    return None


def _no_texts(config: sc.RunConfig) -> str | None:
    """Why there is no text tower for SpLiCE; None where there is one, or one can be fetched."""
    for encoder in encoders(config):
        model, _, tag = encoder.partition("/") if not encoder.startswith("hf-hub:") else (encoder, "", "")
        why = None
        if model.startswith("local-dir"):
            why = "it was read from a folder, which embeddings do not remember"
        else:
            try:
                _requirements(model, None if model == "bundled" else tag or None)
            except sc.InputError as error:
                why = str(error)
        if why is not None:
            return f"SpLiCE needs the text tower of the CLIP that made the embeddings, and {encoder} has none here: {why}"
    return None


def encoders(config: sc.RunConfig) -> list[str]:
    """The CLIPs that make the embeddings a dictionary is trained on; arrays bring their own."""
    clip = "/".join(part for part in (config.clip.model, config.clip.pretrained) if part)
    sources = [config.data[domain] for domain in config.train_domains]
    return sorted({one.encoder if isinstance(one, sc.config.ArraySource) else clip for one in sources})


@st.cache_data(max_entries=32, show_spinner=False)
def _requirements(model: str, pretrained: str | None) -> dict[str, Any]:
    return dict(sc.requirements_of(model, pretrained))
