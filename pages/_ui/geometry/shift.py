"""The domain-shift map: how often each latent fires on one domain against another, in tabs, with pictures and the table."""

from __future__ import annotations

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import latents, load, theme
from pages._ui.bits import PERCENT, csv, download
from pages._ui.text import count, plain
from pages._ui.thumbs import gallery

ALL = "all alive"
PICTURES = 18


def table(have: sc.pipeline.Run, a: str, b: str) -> tuple[pd.DataFrame, dict[str, float]]:
    """Every latent with its rates on both domains, their ratio, its tab and name; and half an image's rate on each domain."""
    acts = load.activations(have)
    images = sc.domain_sizes(acts)
    found = sc.domain_shift(acts.stats, images, a, b)
    floors = {domain: 0.5 / images[domain] for domain in (a, b)}
    return found.assign(name=found["latent"].map(latents.table(have)["name"])), floors


def show(have: sc.pipeline.Run) -> None:
    """The two domains, the tabs with their counts, the map, the pictures, the table."""
    domains = list(load.activations(have).domains)
    if len(domains) < 2:
        st.info(
            "This run has one domain, so no latent can shift. A run with two, such as sketches and photos, shows which latents "
            "both share and which are one's own."
        )
        return
    a, b = domains[:2]
    if len(domains) > 2:
        left, right = st.columns(2)
        a = str(left.selectbox("Across", domains, index=0, key="shift-a"))
        b = str(right.selectbox("Up", [domain for domain in domains if domain != a], key="shift-b"))
    every, floors = table(have, a, b)
    tabs = [ALL, "shared", f"{a} only", f"{b} only", "dead"]
    counts = {**every["tab"].value_counts().to_dict(), ALL: int((every["tab"] != "dead").sum())}
    if st.session_state.get("shift-tab", ALL) not in tabs:
        del st.session_state["shift-tab"]  # other domains
    tab = st.segmented_control(
        "Which latents",
        tabs,
        default=ALL,
        required=True,
        format_func=lambda name: f"{name} ({counts.get(name, 0):,})",
        key="shift-tab",
        wrap=True,
        persist_state="session",
        label_visibility="collapsed",
    )
    st.caption(
        plain(
            f"A latent is one domain's own when it fires at least ten times as often there as on the other, beyond the 95 % "
            f"interval of the ratio; over all images of {a} and {b}."
        )
    )
    shown = every[every["tab"] != "dead"] if tab == ALL else every[every["tab"] == tab]
    if tab == "dead":
        _dead(shown, len(every))
        return
    if shown.empty:
        st.info(plain(f"No latent is here: {tab}."))
        return
    figure = sc.figures.shift_map(shown, a, b, latents.colours(have), floors, "Choose a point to open its latent")
    hit = theme.clicked(figure, key="shift-map")
    if hit is not None:
        latents.open_latent(hit)
    _pictures(have, shown)
    _rows(shown, a, b)


def _dead(shown: pd.DataFrame, whole: int) -> None:
    st.info(f"{len(shown):,} of {count(whole, 'latent')} fire on no image of the two domains: there is nothing to show.")
    if len(shown):
        st.code(", ".join(map(str, shown["latent"])), language=None, wrap_lines=True)


def _pictures(have: sc.pipeline.Run, shown: pd.DataFrame) -> None:
    strongest = shown.assign(most=shown[["rate_a", "rate_b"]].max(axis=1)).sort_values("most", ascending=False).head(PICTURES)
    thumbs = []
    for row in strongest.to_dict("records"):
        name = f" · {latents.short(row['name'], 18)}" if isinstance(row["name"], str) else ""
        thumbs.append(latents.best(have, int(row["latent"]), f"{row['latent']} · {100 * row['most']:.2g} %{name}"))
    clicked = gallery(
        [thumb for thumb in thumbs if thumb is not None], key="shift-pictures", title="Latents by their best picture"
    )
    st.caption(plain(f"The {len(strongest)} that fire most, each by its strongest picture; choose one to open it."))
    if clicked is not None:
        latents.open_latent(int(clicked))


def _rows(shown: pd.DataFrame, a: str, b: str) -> None:
    three = st.column_config.NumberColumn(format="%+.2f")
    named = {"rate_a": f"rate on {a}", "rate_b": f"rate on {b}", "log2_ratio": "log2 ratio", "low": "from", "high": "to"}
    first = ["latent", "name", "tab", *named]
    formats = {named["rate_a"]: PERCENT, named["rate_b"]: PERCENT, **dict.fromkeys(("log2 ratio", "from", "to"), three)}
    order = shown.sort_values("log2_ratio", ascending=False)
    table = order[first].rename(columns=named)
    height = min(300, 38 + 35 * len(table))
    st.dataframe(table, hide_index=True, width="stretch", height=height, column_config=formats, placeholder="–")
    download(st, "Download as CSV", lambda: csv(order), "domain_shift.csv")
