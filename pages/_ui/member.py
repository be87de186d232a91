"""A member of a sweep as the beginning of a run: chosen on the sweep page, trained by itself on the train page.

The choice is in the address of the train page (`?sweep=<run>&member=<name>`), and in the session once it was opened.
"""

from __future__ import annotations

import re

import streamlit as st

import sae_core as sc
from pages._ui import data_form, session
from pages._ui.text import plain

MEMBER = "member"
PRESET = "train-preset"
_CHOSEN = "_adopted_member"


def config_of(run: sc.pipeline.Recorded, name: str) -> sc.RunConfig:
    """The run that trains one member of a recorded sweep by itself. Raises InputError when the sweep has no such member."""
    members = members_of(run.config)
    if name not in members:
        raise sc.InputError(f"sweep {run.id} has no member {name[:60]!r}; choose one on the sweep page")
    title = re.sub(r"[^A-Za-z0-9_. -]", "-", f"{run.name} {name}")[:64]
    return run.config.model_copy(update={"name": title, "sae": members[name], "sweep": None})


def members_of(config: sc.RunConfig) -> dict[str, sc.config.SaeConfig]:
    """The settings of every member of a configuration's sweep, by its name in the table; none without a sweep."""
    return {} if config.sweep is None else sc.config.SweepRun(sae=config.sae, sweep=config.sweep).members()


def open_in_train(run: sc.pipeline.Recorded, name: str) -> None:
    """Go to the train page, its form set to this member (again, where something else was chosen there meanwhile)."""
    st.session_state.pop(_CHOSEN, None)
    st.switch_page("pages/train.py", query_params={**session.link(), session.SWEEP: run.id, MEMBER: name})


def adopted() -> sc.RunConfig | None:
    """The member that the visitor chose to train; None when there is none, or a stranger may not begin from its data."""
    asked = (st.query_params.get(session.SWEEP), st.query_params.get(MEMBER))
    new = all(asked) and st.session_state.get(_CHOSEN) != asked
    chosen = asked if all(asked) else st.session_state.get(_CHOSEN)
    if chosen is None:
        return None
    try:
        config = config_of(sc.pipeline.find_run(session.store(), str(chosen[0])), str(chosen[1]))
    except sc.InputError as error:
        st.warning(plain(error), icon=":material/link_off:")
        return None
    if not data_form.may_begin(config):
        return None
    st.session_state[_CHOSEN] = chosen
    if new:
        st.session_state[PRESET] = config.name
    return config
