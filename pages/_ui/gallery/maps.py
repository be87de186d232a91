"""Latents as points: the map of decoder directions and the domain-shift map; a click opens one, a lasso makes a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

import sae_core as sc
from pages._ui import latents, load, theme, watch
from pages._ui.gallery import chosen, view
from pages._ui.geometry import shift
from pages._ui.text import count, plain

_CLICKED = "_gallery_clicked"
COLOUR = "gallery-colour"
HINT = "Choose a point to open its latent; to make a list, switch to selecting several and drag around them."


def picked(selection: Mapping[str, Any]) -> tuple[int | None, list[int]]:
    """What a selection on a map says: the latent to open where a point was clicked, the latents that were drawn around."""
    ids = [int(point["customdata"][0]) for point in selection["points"]]
    if selection["lasso"] or selection["box"]:
        return None, ids
    return (ids[0] if ids else None), []


def points(figure: go.Figure, key: str) -> None:
    """Show a figure whose points carry their latent; a click opens it, a lasso or a box makes the list."""
    key = f"{key}-{chosen.generation()}"
    several = st.toggle(
        "Select several", key="gallery-several", persist_state="session", help="Drag around points to make a list of them."
    )
    theme.lassoed(figure, key, partial(_took, key), several)
    clicked = st.session_state.pop(_CLICKED, None)
    if clicked is not None:
        latents.open_latent(int(clicked))


def _took(key: str) -> None:
    clicked, ids = picked(st.session_state[key]["selection"])
    chosen.take(ids)
    if clicked is not None:
        st.session_state[_CLICKED] = clicked


def shifted(have: sc.pipeline.Run, table: pd.DataFrame) -> None:
    """Firing rate on one domain against the other."""
    domains = list(load.activations(have).domains)
    if len(domains) < 2:
        st.info("This run has one domain, so no latent can shift. A run with two shows which latents both share.")
        return
    x, y = domains[:2]
    if len(domains) > 2:
        left, right = st.columns(2)
        x = left.selectbox("Across", domains, index=0, key="gallery-x")
        y = right.selectbox("Up", [domain for domain in domains if domain != x], key="gallery-y")
    rates, floors = shift.table(have, x, y)
    shown = rates[rates["latent"].isin(table["latent"])]
    points(sc.figures.shift_map(shown, x, y, latents.colours(have), floors, title="Where each latent fires"), "gallery-shift")
    st.caption(plain(f"{count(len(shown), 'latent')}. {HINT}"))


def directions(run: sc.pipeline.Recorded, have: sc.pipeline.Run, table: pd.DataFrame) -> None:
    """The map of decoder directions, coloured by a column; where there is none yet, the offer to make it."""
    if "directions" not in have.outcomes:
        _offer(run)
        return
    found = load.result(have, "directions")
    columns = _colourings(table)
    if st.session_state.get(COLOUR) not in columns:
        st.session_state[COLOUR] = columns[0]  # a search that is over, another run
    column = str(st.selectbox("Coloured by", columns, format_func=_word, key=COLOUR, persist_state="session"))
    shown = found.table.merge(table, on="latent")
    if shown.empty:
        st.info("No latent that passes these filters is on the map.")
        return
    # The list is ringed while others are shown beside it.
    listed = () if view.get("only") else view.get("list")
    figure = sc.figures.directions_map(
        shown, column, _colours(have), listed, _word(column), "Latents by the direction they write"
    )
    points(figure, "gallery-directions")
    st.caption(plain(f"{count(len(shown), 'latent')}. {HINT} {_about(found.about)}"))


def _colours(have: sc.pipeline.Run) -> dict[str, str]:
    """The colour of every group and verdict."""
    own = latents.colours(have)
    groups = {f"{domain} only": colour for domain, colour in own.items() if domain != "shared"}
    return {"shared": own["shared"], **groups, **{verdict: colour for verdict, (colour, _) in sc.figures.VERDICTS.items()}}


def _about(about: Mapping[str, Any]) -> str:
    kept = about["trustworthiness"]
    said = about["method"] + ("" if kept is None else f" (trustworthiness {kept:.2f} of 1)")
    return f"Near each other: directions alike, as laid out by {said}. How far apart far points are means nothing."


def _offer(run: sc.pipeline.Recorded) -> None:
    active = [job for job in watch.jobs_of(run) if job.active]
    if active:
        st.info("The map appears here when the job above is done.", icon=":material/pending:")
        return
    for job in watch.jobs_of(run):
        if job.command == "directions" and job.state not in ("done", "queued", "running"):
            watch.show(job)
            return
    st.info(
        "There is no map of this dictionary yet. It lays the decoder directions out in a plane, alike ones together; "
        "that takes seconds for a small dictionary and a minute or two for a large one.",
        icon=":material/pending:",
    )
    if st.button("Make the map", type="primary", key="make-directions"):
        watch.launch(watch.command_of("directions"), run.config)


def _colourings(table: pd.DataFrame) -> Sequence[str]:
    wanted = ["likeness", "fired", "group", "rate", "max", "mean", "status", "score", "best_class_lift", "bookmarked"]
    wanted += [str(name) for name in table if str(name).endswith((".verdict", ".rate", ".rho"))]
    return [name for name in wanted if name in table and table[name].notna().any()]


def _word(column: str) -> str:
    words = {
        "likeness": "likeness to the text",
        "fired": "how strongly the picture fires it",
        "group": "domain it fires on",
        "rate": "firing rate",
        "max": "largest activation",
        "mean": "mean activation",
        "status": "status of the name",
        "score": "score of the name",
        "best_class_lift": "lift of its class",
    }
    domain, _, kind = column.rpartition(".")
    return words.get(column, f"{kind} on {domain}" if domain else column)
