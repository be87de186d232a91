"""Which cache and which run the visitor looks at. The run is in the URL as `?run=`, so that a link shows what its sender saw."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import streamlit as st

import sae_core as sc
from pages._ui.text import plain

RUN = "run"
_NEXT = "_next_run"


def cache_folder() -> Path:
    """The folder of artifacts: the environment's SAE_LAB_CACHE, else `cache`."""
    return Path(os.environ.get("SAE_LAB_CACHE", "cache"))


def store() -> sc.Store:
    """The store that all pages read and jobs write."""
    return sc.Store(cache_folder())


def public() -> bool:
    """Whether strangers use this app (SAE_LAB_PUBLIC=1): then no page reads a path of the server's."""
    return os.environ.get("SAE_LAB_PUBLIC", "") == "1"


def all_runs() -> list[sc.pipeline.Recorded]:
    """Every recorded run, newest first."""
    root = cache_folder()
    files = sorted(root.glob("runs/run-*/run.json"))
    return _read_runs(str(root), tuple((file.parent.name, file.stat().st_mtime_ns) for file in files))


@st.cache_resource(max_entries=4, show_spinner=False)
def _read_runs(root: str, seen: tuple[tuple[str, int], ...]) -> list[sc.pipeline.Recorded]:
    # Reading YAML for every run at every click is slow; `seen` makes the cache miss when a run is added or touched.
    return sc.pipeline.runs(sc.Store(root)) if seen else []


def current_run() -> sc.pipeline.Recorded | None:
    """The run chosen in the sidebar, or the newest one; None on a fresh cache."""
    runs = {run.id: run for run in all_runs()}
    chosen = st.session_state.get(RUN) or st.query_params.get(RUN)
    if chosen in runs:
        return runs[chosen]
    return next(iter(runs.values()), None)


def opened(run: sc.pipeline.Recorded) -> sc.pipeline.Run:
    """The part of a run that is in the store. Raises DamagedArtifact."""
    return run.open(store())


def metrics_of(run: sc.pipeline.Recorded) -> dict[str, float] | None:
    """A run's metrics as far as it got; None when one of its artifacts is damaged."""
    present = tuple(key for key in run.keys.values() if store().has(key))
    return _metrics(str(cache_folder()), run.id, present, run)


@st.cache_data(max_entries=500, show_spinner=False)
def _metrics(root: str, run_id: str, present: tuple[str, ...], _run: sc.pipeline.Recorded) -> dict[str, float] | None:
    try:
        return _run.open(sc.Store(root)).metrics
    except sc.DamagedArtifact:
        return None


def go_to(run_id: str) -> None:
    """Choose another run from the next rerun on."""
    st.session_state[_NEXT] = run_id


def title(run: sc.pipeline.Recorded) -> str:
    """A run's name and when it was begun, short enough for the sidebar."""
    return f"{run.name} · {datetime.fromtimestamp(run.created):%d %b %H:%M}"


def run_picker() -> None:
    """The run picker, in the container it is called in. The choice is the query parameter `run`, there on every page."""
    runs = {run.id: run for run in all_runs()}
    if not runs:
        return
    chosen = st.session_state.pop(_NEXT, None)
    if chosen in runs:
        st.query_params[RUN] = chosen
    asked = st.query_params.get(RUN)
    if asked in runs:
        # A link, the back button or a finished job; the picker itself writes the address before this runs.
        st.session_state[RUN] = asked
    elif st.session_state.get(RUN) not in runs:
        st.session_state[RUN] = next(iter(runs))
    if asked is not None and asked not in runs:
        st.warning(f"There is no run {plain(asked[:40])} in this cache. This is another one.")
    if asked != st.session_state[RUN]:
        st.query_params[RUN] = st.session_state[RUN]
    st.selectbox(
        "Run",
        list(runs),
        key=RUN,
        format_func=lambda one: title(runs[one]),
        on_change=_picked,
        help="Every page shows this run. The address bar holds it, so a copied link does too.",
    )


def _picked() -> None:
    st.query_params[RUN] = st.session_state[RUN]


def link() -> dict[str, str]:
    """The query parameters with which a link keeps the visitor's run."""
    run = current_run()
    return {} if run is None else {RUN: run.id}
