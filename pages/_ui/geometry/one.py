"""Every latent with its verdict: the map, the table with its filters, and one latent's pictures and measures."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import latents, load, theme
from pages._ui.bits import csv, download
from pages._ui.geometry.verdicts import VERDICTS
from pages._ui.text import count, plain
from pages._ui.thumbs import gallery

TOP, MEASURES = 8, 6
EVERY = "any"


def show(have: sc.pipeline.Run) -> None:
    """The map of one domain's latents, then the table, then the latent that was chosen in it."""
    report = load.geometry(have)
    domains = list(report.report["domains"])
    domain = domains[0]
    if len(domains) > 1:
        domain = str(st.segmented_control("Judged on", domains, default=domains[0], required=True, key="geometry-domain"))
    judged = of_domain(have, domain)
    st.subheader("The map of latents", anchor=False)
    figure = sc.figures.geometry_map(judged, report.report["least_effect"], "Choose a point to open its latent")
    hit = theme.clicked(figure, key=f"geometry-map-{domain}")
    if hit is not None:
        latents.open_latent(hit)
    untested = int((~judged["verdict"].isin(VERDICTS)).sum())
    st.caption(
        f"Larger points fire on more images; dotted lines are the smallest effects that count. Not judged, because they fire on "
        f"too few of these images: {count(untested, 'latent')}."
    )
    st.subheader("Every latent", anchor=False)
    chosen = _table(judged)
    if chosen is not None:
        _latent(have, domain, chosen)


def of_domain(have: sc.pipeline.Run, domain: str) -> pd.DataFrame:
    """The dictionary's latents as judged on a domain, with their names."""
    table: pd.DataFrame = load.geometry(have).latents
    own = table[table["domain"] == domain]
    return own.assign(name=own["latent"].map(latents.table(have)["name"])).reset_index(drop=True)


def _table(judged: pd.DataFrame) -> pd.Series | None:
    """The table as filtered; returns its chosen line, the first one where none is chosen."""
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    counts = judged["verdict"].value_counts()
    wanted = left.pills(
        "Verdict",
        VERDICTS,
        selection_mode="multi",
        default=[verdict for verdict in VERDICTS[:3] if counts.get(verdict, 0)] or ["neither"],
        format_func=lambda verdict: f"{verdict} ({int(counts.get(verdict, 0)):,})",
        key="geometry-verdict",
        wrap=True,
    )
    measures = sorted(set(judged.loc[judged["verdict"].isin(VERDICTS), "measure"]))
    measure = right.selectbox("Follows most", [EVERY, *measures], format_func=words, key="geometry-measure")
    shown = judged[judged["verdict"].isin(wanted)]
    shown = shown if measure == EVERY else shown[shown["measure"] == measure]
    shown = shown.sort_values("geometric_effect", ascending=False).reset_index(drop=True)
    if shown.empty:
        st.info("No latent passes these filters.")
        return None
    first = ["latent", "name", "verdict", "measure", "rho", "geometric_effect", "geometric_q", "semantic_effect", "semantic_q"]
    picked = st.dataframe(
        shown[[*first, "count"]].assign(measure=shown["measure"].map(words)),
        hide_index=True,
        width="stretch",
        height=min(300, 38 + 35 * len(shown)),
        placeholder="–",
        on_select="rerun",
        selection_mode="single-row",
        key="geometry-table",
        column_config=_formats(),
    )["selection"]["rows"]
    download(st, "Download as CSV", lambda: csv(shown), "geometry.csv")
    return shown.iloc[picked[0] if picked and picked[0] < len(shown) else 0]


def _formats() -> Any:
    column = st.column_config.NumberColumn
    return {
        "measure": st.column_config.TextColumn("follows most"),
        "rho": column(format="%+.2f", help="Its rank correlation with that measure among images of one class."),
        "geometric_effect": column("geometric", format="%.2f", help="On the scale of a correlation, chance taken out."),
        "geometric_q": column("q", format="%.2g", help="p after false-discovery control over the latents."),
        "semantic_effect": column("semantic", format="%.2f", help="Class beyond the measures, on the same scale."),
        "semantic_q": column("q (semantic)", format="%.2g"),
        "count": column("fires on", format="%d"),
    }


def words(measure: object) -> str:
    """A measure's column as words."""
    return str(measure).replace("_", " ")


def follows(have: sc.pipeline.Run, domain: str, latent: int) -> pd.DataFrame:
    """The measures of a latent by strength: measure, rho, p."""
    table: pd.DataFrame = load.geometry(have).measures
    own = table[(table["domain"] == domain) & (table["latent"] == latent)]
    order = own["rho"].abs().sort_values(ascending=False).index
    return own.loc[order, ["measure", "rho", "p"]]


def _latent(have: sc.pipeline.Run, domain: str, row: pd.Series) -> None:
    latent = int(row["latent"])
    name = f": {plain(row['name'])}" if isinstance(row["name"], str) else ""
    st.markdown(f"**Latent {latent}{name}** · {plain(row['verdict'])} · choose a line of the table to see another")
    left, right = st.columns([3, 2], gap="large")
    with left:
        top = load.activations(have).top(latent, TOP, domain=domain)
        thumbs = latents.of_rows(have, top["row"], top["value"], top["copies"])
        gallery(thumbs, key=f"geometry-top-{domain}", clickable=False, side=88, title=f"Strongest images of latent {latent}")
    with right:
        own = follows(have, domain, latent).head(MEASURES)
        formats = {
            "rho": st.column_config.NumberColumn(format="%+.2f", help="Rank correlation among images of one class."),
            "p": st.column_config.NumberColumn(format="%.2g", help="Permutation test, adjusted for the number of measures."),
        }
        st.dataframe(own.assign(measure=own["measure"].map(words)), hide_index=True, width="stretch", column_config=formats)
    st.page_link(
        latents.PAGE, label=f"Open latent {latent}", icon=":material/filter_center_focus:", query_params=latents.link(latent)
    )


def line(have: sc.pipeline.Run, latent: int) -> str:
    """One line of markdown for a latent's card: its verdict on each domain and the measures it follows; empty if not judged."""
    if "geometry" not in have.outcomes:
        return ""
    report = load.geometry(have)
    parts = []
    for domain in report.report["domains"]:
        own = report.latents[(report.latents["domain"] == domain) & (report.latents["latent"] == latent)]
        if own.empty or own["verdict"].iloc[0] not in VERDICTS:
            continue
        verdict, alpha = own["verdict"].iloc[0], float(report.report["alpha"])
        found = follows(have, domain, latent)
        strong = found[found["p"] <= alpha].head(3)
        measures = ", ".join(f"{plain(words(one.measure))} (rho {plain(f'{one.rho:+.2f}')})" for one in strong.itertuples())
        parts.append(
            f"on {plain(domain)} :gray-badge[{verdict}] " + (f"follows {measures}" if measures else "follows no measure")
        )
    return "Strokes or class: " + "; ".join(parts) + "." if parts else ""
