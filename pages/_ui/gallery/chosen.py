"""The list: latents picked on a map or in the table, to be shown alone, bookmarked, copied, downloaded."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import latents
from pages._ui.bits import csv, download
from pages._ui.gallery import view
from pages._ui.text import count

SHOWN = 2_000
"""Ids written out at most; the download has all."""
_GENERATION = "_gallery_generation"


def generation() -> int:
    """Counts how often the list was cleared: part of the key of what it is picked in, whose own selection goes with it."""
    return int(st.session_state.setdefault(_GENERATION, 0))


def take(ids: Sequence[int]) -> None:
    """Make these the list; an empty pick leaves it as it is."""
    if len(ids):
        view.put("list", tuple(dict.fromkeys(int(one) for one in ids)))


def add(ids: Sequence[int]) -> None:
    """Put these behind what is on the list."""
    take([*view.get("list"), *ids])


def only() -> tuple[int, ...] | None:
    """The list's latents where nothing else is to be shown; the switch is drawn beside the list."""
    return tuple(view.get("list")) if view.get("only") and view.get("list") else None


def bar(run: sc.pipeline.Recorded, table: pd.DataFrame) -> None:
    """What can be done with the list, where there is one."""
    ids = [one for one in view.get("list") if one < len(table)]
    if not ids:
        view.put("only", False)
        return
    rows = table[table["latent"].isin(ids)]
    line = st.container(horizontal=True, vertical_alignment="center", gap="small", border=True)
    line.markdown(f"**{count(len(ids), 'latent')} selected**", width="content")
    line.toggle("Show only them", key=view.key("only"), persist_state="session")
    marked = bool(rows["bookmarked"].all())
    line.button(
        "Remove the bookmarks" if marked else "Bookmark all",
        icon=":material/star:",
        key="gallery-bookmark-all",
        on_click=latents.mark,
        args=(run.id, ids, not marked),
    )
    with line.popover("Copy ids", icon=":material/content_copy:"):
        st.code(", ".join(map(str, ids[:SHOWN])), language=None, wrap_lines=True)
    download(line, "CSV", lambda: csv(rows), "selected_latents.csv", key="gallery-list-csv")
    line.button("Clear the list", icon=":material/close:", key="gallery-list-clear", on_click=clear, type="tertiary")


def clear() -> None:
    """Forget the list and what was picked on the map."""
    view.put("list", ())
    view.put("only", False)
    st.session_state[_GENERATION] = generation() + 1
