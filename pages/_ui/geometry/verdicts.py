"""The headline: how many latents follow strokes, class, both or neither, beside the controls, and what that supports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import load, session, theme
from pages._ui.evaluation.sides import unlike
from pages._ui.text import count, plain

VERDICTS = ("geometric", "semantic", "both", "neither")
OTHER = "geometry-other"


def compared(run: sc.pipeline.Recorded, have: sc.pipeline.Run) -> dict[str, sc.pipeline.Run]:
    """The runs shown, by a name unlike the others': the sidebar's, and others that were judged, as chosen."""
    store = session.store()
    known = {other.id: other for other in session.all_runs() if other.id != run.id and store.has(other.keys.get("geometry", ""))}
    if not known:
        return {run.name: have}
    if not set(st.session_state.get(OTHER, [])) <= set(known):
        del st.session_state[OTHER]
    chosen = st.multiselect(
        "Compare with other dictionaries",
        list(known),
        format_func=lambda one: session.title(known[one]),
        max_selections=3,
        key=OTHER,
        persist_state="session",
        placeholder="none",
        help="Such as one trained on photos beside one trained on sketches; equal width, sparsity and images make it fair.",
    )
    runs = [run, *(known[one] for one in chosen)]
    names = unlike([one.name for one in runs], [one.id for one in runs])
    return {name: have if one.id == run.id else session.opened(one) for name, one in zip(names, runs, strict=True)}


def show(runs: Mapping[str, sc.pipeline.Run]) -> None:
    """Figure, table and sentences for every domain of every run."""
    shown = {
        (name, domain): found for name, run in runs.items() for domain, found in load.geometry(run).report["domains"].items()
    }
    titles = {key: f"{key[1]}, {key[0]}" if len(runs) > 1 else key[1] for key in shown}
    theme.show(sc.figures.verdict_shares({titles[key]: found for key, found in shown.items()}), key="verdict-shares")
    st.dataframe(table(shown, len(runs) > 1), hide_index=True, width="stretch", height="content")
    st.caption(
        "Share of the latents tested with its 95 % interval over latents. **Geometric**: follows a stroke measure among images "
        "of one class. **Semantic**: follows class beyond what the measures tell. An untrained random dictionary of the same "
        "sparsity and the raw dimensions of the embedding are judged on the same images and permutations."
    )
    st.markdown("**What this supports**")
    against = contrasts(runs, shown)
    if against:
        st.markdown("\n".join(against))
    place = st.expander("Each dictionary against its controls") if against else st.container()
    for line in supported(runs, shown):
        place.markdown(line)
    st.caption(
        "One dictionary each: intervals are over its latents, not over trainings. `python -m benchmarks.geometry` repeats it "
        "over seeds. Semantic means beyond these measures: strokes that were not measured count as class."
    )


def table(shown: Mapping[tuple[str, str], Mapping[str, Any]], name_runs: bool) -> pd.DataFrame:
    """A line for each dictionary judged: tested, and each verdict's share with its interval, as text."""
    lines = []
    for (name, domain), found in shown.items():
        for kind, judged in found["dictionaries"].items():
            line: dict[str, object] = {"run": name} if name_runs else {}
            line |= {"domain": domain, "judged": kind, "tested": judged["tested"]}
            line |= {verdict: share(judged[verdict]) for verdict in VERDICTS}
            lines.append(line)
    return pd.DataFrame(lines)


def share(one: Mapping[str, Any]) -> str:
    """A share with its interval; a dash where none was tested."""
    if one["share"] is None or pd.isna(one["share"]):
        return "–"
    return f"{100 * one['share']:.1f} % [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"


def supported(runs: Mapping[str, sc.pipeline.Run], shown: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
    """Each dictionary against its controls, as markdown lists."""
    lines = []
    for (name, domain), found in shown.items():
        trained = " and ".join(runs[name].config.train_domains)
        who = f"{plain(name)} (trained on {plain(trained)}), on {plain(domain)}"
        strokes, nothing = (f"{100 * found[f'class_from_{what}']:.1f} %" for what in ("strokes", "nothing"))
        of = count(found["n"], "image")
        said = [*map(plain, sc.geometry_claims(found)), f"Strokes alone tell the class of {strokes} of {of}; guessing {nothing}."]
        lines.append("\n".join([f"- **{who}**", *(f"  - {one}" for one in said)]))
    return lines


def contrasts(runs: Mapping[str, sc.pipeline.Run], shown: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
    """Every other dictionary against the first on the domains both were judged on, as markdown list items."""
    first, *others = runs
    return [
        f"- On {plain(domain)}: {plain(said)}"
        for other in others
        for domain in runs[first].config.data
        if (first, domain) in shown and (other, domain) in shown
        for said in sc.geometry_contrast(first, shown[first, domain], other, shown[other, domain])
    ]
