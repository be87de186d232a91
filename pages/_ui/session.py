"""Which cache, which run and which sweep the visitor looks at.

The run is in the URL as `?run=`, so that a link shows what its sender saw, and on the sweep page the sweep as `?sweep=`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import streamlit as st

import sae_core as sc
from pages._ui import public as rules
from pages._ui.text import plain

RUN, SWEEP = "run", "sweep"
_NEXT = "_next_"


def cache_folder() -> Path:
    """The folder of artifacts: the environment's SAE_LAB_CACHE, else `cache`; a stranger's own, once they have made something."""
    if rules.on():
        own = rules.own_cache()
        # Absolute, as a visitor's cache names it: what both show is then opened once.
        return own if own.is_dir() else rules.shared_cache().absolute()
    return rules.shared_cache()


def shown_cache() -> Path:
    """The cache folder as a command on a page names it: never where it lies on a public server."""
    return Path("cache") if rules.on() else cache_folder()


def store() -> sc.Store:
    """The store that all pages read."""
    return sc.Store(cache_folder())


def own_store() -> sc.Store:
    """The store that a job of this visitor's writes; a stranger's is made here, over the one that everyone sees."""
    return sc.visitors.prepare(rules.own_cache(), rules.shared_cache()) if rules.on() else store()


def shared_configs() -> list[sc.RunConfig]:
    """The configurations of the runs that everyone sees in a public app."""
    return [run.config for run in sc.pipeline.runs(sc.Store(rules.shared_cache()))]


def public() -> bool:
    """Whether strangers use this app (SAE_LAB_PUBLIC=1): then no page reads a path of the server's."""
    return rules.on()


def all_runs() -> list[sc.pipeline.Recorded]:
    """Every recorded run, newest first. What was only begun as a sweep is none: the sweep page lists it.

    A run with a sweep shares its other artifacts with the same run without: it is one of its own where it alone has a dictionary.
    """
    runs = _recorded()
    plain_runs = {_without_sweep(run) for run in runs if run.config.sweep is None}
    return [
        run
        for run in runs
        if run.config.sweep is None or (_without_sweep(run) not in plain_runs and store().has(run.keys["train"]))
    ]


def all_sweeps() -> list[sc.pipeline.Recorded]:
    """Every recorded run with a sweep, newest first."""
    return [run for run in _recorded() if run.config.sweep is not None]


def _without_sweep(run: sc.pipeline.Recorded) -> frozenset[tuple[str, str]]:
    return frozenset((node, key) for node, key in run.keys.items() if node != "sweep")


def _recorded() -> list[sc.pipeline.Recorded]:
    files = store().records()
    return _read_runs(str(cache_folder()), tuple((file.parent.name, file.stat().st_mtime_ns) for file in files))


@st.cache_resource(max_entries=4, show_spinner=False)
def _read_runs(root: str, seen: tuple[tuple[str, int], ...]) -> list[sc.pipeline.Recorded]:
    # Reading YAML for every run at every click is slow; `seen` makes the cache miss when a run is added or touched.
    return sc.pipeline.runs(sc.Store(root)) if seen else []


def current_run() -> sc.pipeline.Recorded | None:
    """The run chosen in the sidebar, or the newest one; None on a fresh cache."""
    runs = {run.id: run for run in all_runs()}
    chosen = st.session_state.get(RUN) or st.query_params.get(RUN)
    if chosen in runs:
        if rules.on():
            sc.visitors.used(rules.own_cache(), chosen)
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


def go_to(run_id: str, kind: str = RUN) -> None:
    """Choose another run, or another sweep, from the next rerun on."""
    st.session_state[_NEXT + kind] = run_id


def title(run: sc.pipeline.Recorded) -> str:
    """A run's name and when it was begun, short enough for the sidebar."""
    return _distinct(run, lambda one: one.name)


def _distinct(run: sc.pipeline.Recorded, name: Callable[[sc.pipeline.Recorded], str]) -> str:
    """A name and when it was begun; of two that look the same also the end of the id.

    A select box of Streamlit's tells its options apart by what they look like: of twins it takes the wrong one at the next rerun.
    """

    def told(one: sc.pipeline.Recorded) -> str:
        return f"{name(one)} · {datetime.fromtimestamp(one.created):%d %b %H:%M}"

    own = told(run)
    twins = [one for one in _recorded() if one.name == run.name and told(one) == own]
    return own if len(twins) < 2 else f"{own} · {run.id[-4:]}"


def run_picker() -> None:
    """The run picker, in the container it is called in. The choice is the query parameter `run`, there on every page."""
    _picker(RUN, all_runs(), title, "Every page shows this run. The address bar holds it, so a copied link does too.")


def sweep_picker() -> sc.pipeline.Recorded | None:
    """The sweep picker; returns the sweep it shows, the newest at first, or None when the cache has none."""
    sweeps = all_sweeps()
    chosen = _picker(SWEEP, sweeps, sweep_title, "Every sweep of this cache, the newest first. The address bar holds the choice.")
    return next((run for run in sweeps if run.id == chosen), None)


def sweep_title(run: sc.pipeline.Recorded) -> str:
    """A sweep's name, its size and when it was begun."""
    return _distinct(run, _with_members)


def _with_members(run: sc.pipeline.Recorded) -> str:
    if run.config.sweep is None:
        return run.name
    return f"{run.name} · {len(sc.config.SweepRun(sae=run.config.sae, sweep=run.config.sweep).members())} members"


def _picker(kind: str, found: list[sc.pipeline.Recorded], name: Callable[[sc.pipeline.Recorded], str], help: str) -> str | None:
    """A select box of runs whose choice is the query parameter `kind`; returns the id it shows."""
    runs = {run.id: run for run in found}
    if not runs:
        return None
    chosen = st.session_state.pop(_NEXT + kind, None)
    if chosen in runs:
        st.query_params[kind] = chosen
    asked = st.query_params.get(kind)
    if asked in runs:
        # A link, the back button or a finished job; the picker itself writes the address before this runs.
        st.session_state[kind] = asked
    elif st.session_state.get(kind) not in runs:
        st.session_state[kind] = next(iter(runs))
    if asked is not None and asked not in runs:
        if rules.on():
            sc.config.public.refused(f"a {kind} in the address", asked)
        st.warning(f"There is no {kind} {plain(asked[:40])} in this cache. This is another one.")
    if asked != st.session_state[kind]:
        st.query_params[kind] = st.session_state[kind]
    return st.selectbox(
        kind.capitalize(),
        list(runs),
        key=kind,
        format_func=lambda one: name(runs[one]),
        on_change=_picked,
        args=(kind,),
        persist_state="session",
        help=help,
    )


def _picked(kind: str) -> None:
    st.query_params[kind] = st.session_state[kind]


def link() -> dict[str, str]:
    """The query parameters with which a link keeps the visitor's run."""
    run = current_run()
    return {} if run is None else {RUN: run.id}
