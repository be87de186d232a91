"""Gallery: every latent with the picture it fires on most, filtered, sorted and mapped by domain."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import guard, latents, load, theme
from pages._ui.bits import PERCENT, csv, download
from pages._ui.geometry import shift
from pages._ui.page import page
from pages._ui.reproduce import reproduce
from pages._ui.text import count, plain
from pages._ui.thumbs import gallery

QUESTION = (
    "What does each latent fire on? Every picture below is the one that a latent fires on **most**; choose it to see the "
    "latent's own page. A latent is one domain's own when it fires there at least ten times as often, beyond chance."
)
PER_PAGE = 24
RATES = [0.0, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
SORTS = {
    "likeness to the text": ("likeness", False),
    "summed activation": ("sum", False),
    "firing rate, highest first": ("rate", False),
    "firing rate, lowest first": ("rate", True),
    "largest activation": ("max", False),
    "name's score": ("score", False),
    "latent number": ("latent", True),
}


def choose_group(table: pd.DataFrame, domains: tuple[str, ...]) -> str:
    """The tab: shared, one domain's own, dead."""
    sizes = table["group"].value_counts()
    names = ["all alive", *(["shared", *(f"{domain} only" for domain in domains)] if len(domains) > 1 else []), "dead"]
    counts = {**sizes.to_dict(), "all alive": int((table["group"] != "dead").sum())}
    if st.session_state.get("gallery-group", names[0]) not in names:
        del st.session_state["gallery-group"]  # another run, whose domains have other names
    chosen = st.segmented_control(
        "Which latents",
        names,
        default=names[0],
        required=True,
        format_func=lambda name: f"{name} ({counts.get(name, 0):,})",
        key="gallery-group",
        persist_state="session",
        label_visibility="collapsed",
    )
    return str(chosen or names[0])


def search(have: sc.pipeline.Run, table: pd.DataFrame) -> pd.DataFrame:
    """With a text asked for, a column `likeness`: the cosine of each latent's direction with the text's."""
    text = st.text_input(
        "Search by meaning",
        key="gallery-search",
        persist_state="session",
        max_chars=100,
        placeholder="spiral, parallel lines, a boat …",
    )
    if not text or not text.strip():
        return table
    try:
        return table.assign(likeness=latents.likeness(have, text.strip())[table["latent"]])
    except sc.Unavailable as error:
        st.warning(plain(f"Search needs the text tower: {error}"))
        return table


def filters(table: pd.DataFrame) -> pd.DataFrame:
    """The table cut down and sorted as the controls say; a search sorts by likeness."""
    named = "status" in table
    first, second, third, fourth = st.columns([2, 2, 2, 2], vertical_alignment="bottom")
    text = first.text_input(
        "Name contains", key="gallery-name", disabled=not named, persist_state="session", placeholder="curve, house …"
    )
    low, high = second.select_slider(
        "Fires on (share of all images)",
        RATES,
        value=(0.0, 1.0),
        format_func=_percent,
        key="gallery-rate",
        persist_state="session",
    )
    statuses = sorted(table["status"].dropna().unique()) if named else []
    wanted = third.multiselect("Status of the name", statuses, key="gallery-status", disabled=not named, persist_state="session")
    sorts = [name for name, (column, _) in SORTS.items() if column in table]
    # With a search the list begins with its likeness, so it is a widget of its own and starts there.
    sort = fourth.selectbox("Sorted by", sorts, key=f"gallery-sort-{sorts[0]}", persist_state="session")
    table = table[table["rate"].between(low, high)]
    if text:
        table = table[table["name"].fillna("").str.contains(text, case=False, regex=False)]
    if wanted:
        table = table[table["status"].isin(wanted)]
    column, ascending = SORTS[sort]
    return table.sort_values([column, "latent"], ascending=[ascending, True], na_position="last")


def _percent(rate: float) -> str:
    return f"{100 * rate:g} %"


def pictures(have: sc.pipeline.Run, table: pd.DataFrame) -> None:
    """One page of thumbnails; a click opens the latent."""
    pages = -(-len(table) // PER_PAGE)
    at = 1
    if pages > 1:
        at = st.pagination(pages, key=f"gallery-page-{pages}")
    shown = table.iloc[(at - 1) * PER_PAGE : at * PER_PAGE]
    thumbs = [latents.best(have, int(latent), text) for latent, text in zip(shown["latent"], _captions(shown), strict=True)]
    found = [thumb for thumb in thumbs if thumb is not None]
    clicked = gallery(found, key="gallery", title="Latents, each by the picture it fires on most")
    st.caption(
        plain(f"{count(len(table), 'latent')}, {len(found)} on this page. Latent · share of all images it fires on · name.")
    )
    if clicked is not None:
        latents.open_latent(int(clicked))


def _captions(shown: pd.DataFrame) -> list[str]:
    values = shown["likeness"].map("cos {:.2f}".format) if "likeness" in shown else (100 * shown["rate"]).map("{:.2g} %".format)
    return [
        f"{latent} · {value}" + (f" · {latents.short(name)}" if isinstance(name, str) else "")
        for latent, value, name in zip(shown["latent"], values, shown["name"], strict=True)
    ]


def shift_map(have: sc.pipeline.Run, table: pd.DataFrame) -> None:
    """Firing rate on one domain against the other; a click on a point opens the latent."""
    domains = list(load.activations(have).domains)
    if len(domains) < 2:
        return
    st.subheader("Where each latent fires", anchor=False)
    x, y = domains[:2]
    if len(domains) > 2:
        left, right = st.columns(2)
        x = left.selectbox("Across", domains, index=0, key="gallery-x")
        y = right.selectbox("Up", [domain for domain in domains if domain != x], key="gallery-y")
    shifted, floors = shift.table(have, x, y)
    points = shifted[shifted["latent"].isin(table["latent"])]
    figure = sc.figures.shift_map(points, x, y, latents.colours(have), floors, title="Choose a point to open its latent")
    hit = theme.clicked(figure, key="gallery-map")
    if hit is not None:
        latents.open_latent(hit)


def as_table(table: pd.DataFrame) -> None:
    """The same latents as a table, with a download."""
    st.subheader("As a table", anchor=False)
    three = st.column_config.NumberColumn(format="%.3f")
    formats: Any = {str(name): PERCENT for name in table if str(name).endswith("rate")}
    formats |= dict.fromkeys(("max", "mean", "sum", "score", "ci_low", "ci_high"), three)
    first = [name for name in ("latent", "name", "status", "score", "group", "count", "rate") if name in table]
    shown = table[[*first, *(name for name in table if name not in first)]]
    st.dataframe(shown, hide_index=True, width="stretch", height=320, column_config=formats)
    download(st, "Download as CSV", csv(shown), "latents.csv")


with page("Gallery", QUESTION):
    chosen_run, made = guard.require("collect", "It would show what every latent fires on.")
    everything = latents.table(made)
    group = choose_group(everything, load.activations(made).domains)
    if group == "dead":
        ids = everything.loc[everything["group"] == "dead", "latent"]
        whole = load.activations(made).n
        st.info(
            f"{len(ids):,} of {count(len(everything), 'latent')} fire on none of the {whole:,} images: there is nothing to show."
        )
        if len(ids):
            st.code(", ".join(map(str, ids)), language=None, wrap_lines=True)
    else:
        alive = search(made, everything[everything["group"] != "dead"])
        kept = filters(alive if group == "all alive" else alive[alive["group"] == group])
        if kept.empty:
            st.info("No latent passes these filters. Widen the firing rate, or clear the name.")
        else:
            pictures(made, kept)
            shift_map(made, kept)
            as_table(kept)
    reproduce("collect", chosen_run)
