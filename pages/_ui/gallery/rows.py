"""Latents as a table: every column, lines that can be picked, and the file."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import latents
from pages._ui.bits import PERCENT, csv, download
from pages._ui.gallery import chosen

FIRST = ("latent", "bookmarked", "name", "status", "score", "group", "count", "rate", "likeness", "fired", "note")


def show(table: pd.DataFrame) -> None:
    """The table; picked lines can be opened or made the list."""
    three = st.column_config.NumberColumn(format="%.3f")
    formats: Any = {str(name): PERCENT for name in table if str(name).endswith("rate")}
    formats |= {str(name): three for name in table if str(name).endswith((".rho", ".max"))}
    formats |= dict.fromkeys(("max", "mean", "sum", "score", "ci_low", "ci_high", "likeness", "fired"), three)
    formats["best_class_lift"] = st.column_config.NumberColumn(format="%.1f ×")
    first = [name for name in FIRST if name in table]
    shown = table[[*first, *(name for name in table if name not in first)]]
    key = f"gallery-rows-{chosen.generation()}"
    event = st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        height=min(560, 38 + 35 * max(1, len(shown))),
        column_config=formats,
        placeholder="–",
        key=key,
        on_select="rerun",
        selection_mode="multi-row",
    )
    ids = [int(shown["latent"].iloc[at]) for at in event["selection"]["rows"] if at < len(shown)]
    line = st.container(horizontal=True, vertical_alignment="center", gap="small")
    opened = line.button(
        "Open",
        icon=":material/open_in_new:",
        disabled=len(ids) != 1,
        key="gallery-open",
        help="Select one line, by the box at its left, to open its latent.",
    )
    line.button(
        "Add to the list",
        icon=":material/playlist_add:",
        disabled=not ids,
        key="gallery-add",
        on_click=chosen.add,
        args=(ids,),
    )
    download(line, "Download as CSV", lambda: csv(shown), "latents.csv")
    if opened:
        latents.open_latent(ids[0])
