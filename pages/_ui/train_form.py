"""The controls of the train page, and the configuration they spell out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import data_form, member, public, sae_form


def bases() -> dict[str, Path | sc.RunConfig]:
    """What the form can begin from: the presets, and before them the sweep member that the visitor chose to train."""
    chosen = member.adopted()
    return {**({chosen.name: chosen} if chosen is not None else {}), **data_form.presets()}


def controls() -> tuple[dict[str, Any], str]:
    """Draw every control; returns the configuration as plain values, not validated yet, and the command to run."""
    public.limits()
    files = bases()
    left, right = st.columns(2)
    name = left.selectbox(
        "Preset", list(files), key=member.PRESET, persist_state="session", help="Where every setting below starts."
    )
    start = files[name]
    of_sweep = isinstance(start, sc.RunConfig)
    base = (start if isinstance(start, sc.RunConfig) else sc.load_config(start)).model_dump(mode="json")
    key = f"train-{name}"
    base["name"] = right.text_input("Name of the run", base["name"], key=f"{key}-name", persist_state="session")
    data_form.controls(base, key, "sweep" if of_sweep else "preset")
    with st.container(border=True):
        st.markdown("**Dictionary**")
        base["sae"]["domains"] = data_form.domains_trained_on(base, key)
        base["sae"] |= sae_form.controls(base["sae"], key)
    everything = st.toggle(
        "Then evaluate, browse, name and steer it too",
        True,
        key=f"{key}-all",
        persist_state="session",
        help="Off: stop after training.",
    )
    return base, "run" if everything else "train"
