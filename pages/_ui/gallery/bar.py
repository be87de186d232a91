"""The controls above the gallery: which latents, searches, filters, order; what is active, as a sentence with one way back."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui.gallery import chosen, search, view
from pages._ui.text import count, plain

MOST_CLASSES = 200
"""Classes offered, those of most latents first; any other can be typed. A thousand would be most of what the page sends."""


def tabs(table: pd.DataFrame, domains: Sequence[str]) -> str:
    """The tab: all alive, shared, one domain's own, dead."""
    sizes = table["group"].value_counts()
    names = [view.ALIVE, *(["shared", *(f"{domain} only" for domain in domains)] if len(domains) > 1 else []), view.DEAD]
    counts = {**sizes.to_dict(), view.ALIVE: int((table["group"] != view.DEAD).sum())}
    if view.get("group") not in names:
        view.put("group", view.ALIVE)  # another run, whose domains have other names
    return str(
        st.segmented_control(
            "Which latents",
            names,
            required=True,
            format_func=lambda name: f"{name} ({counts.get(name, 0):,})",
            key=view.key("group"),
            wrap=True,
            persist_state="session",
            label_visibility="collapsed",
        )
        or view.ALIVE
    )


def narrowed(have: sc.pipeline.Run, table: pd.DataFrame, group: str) -> pd.DataFrame:
    """The living latents of a tab that pass the searches and filters, in the order asked for; draws the controls."""
    table = table[table["group"] != view.DEAD]
    line = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    with line.container(width=270):
        table = search.by_text(have, table)
    with line:
        table = search.by_picture(have, table)
        popover = st.popover(_filters_label(), icon=":material/filter_alt:")
    with popover:
        asked = filters(table, group)
    with line.container(width=230):
        table = _ordered(table)
    kept = asked.apply(table)
    _sentence(asked, len(kept))
    return kept


def _filters_label() -> str:
    active = sum(view.get(name) != view.PARAMS[name].default for name in view.FILTERS)
    return f"Filters ({active})" if active else "Filters"


def filters(table: pd.DataFrame, group: str) -> sc.LatentFilter:
    """The filters' controls; what they ask for."""
    named = "status" in table
    verdicts = sorted({verdict for name in _verdicts(table) for verdict in table[name].dropna().unique()})
    text = st.text_input("Name or note contains", key=view.key("text"), persist_state="session", placeholder="curve, house …")
    rate = st.select_slider(
        "Fires on (share of all images)",
        view.RATES,
        value=view.PARAMS["rate"].default,
        format_func=_percent,
        key=view.key("rate"),
        persist_state="session",
    )
    statuses = _several("Status of the name", "status", sorted(table["status"].dropna().unique()) if named else [])
    score = every = view.PARAMS["score"].default
    if named:
        score = st.select_slider(
            "Score of the name",
            view.SCORES,
            value=every,
            format_func="{:.2f}".format,
            key=view.key("score"),
            persist_state="session",
        )
    wanted = _several("Verdict on any domain", "verdict", verdicts)
    of_class = _class(table)
    marked = st.toggle("Bookmarked only", key=view.key("marked"), persist_state="session")
    return sc.LatentFilter(
        group="alive" if group == view.ALIVE else group,
        rate=rate,
        status=tuple(statuses),
        verdict=tuple(wanted),
        class_name=of_class or None,
        text=text or "",
        score=None if score == every else score,
        bookmarked=marked,
        ids=chosen.only(),
    )


def _several(label: str, name: str, options: list[str]) -> list[str]:
    """Some of a few words; those that the run does not have are dropped."""
    if not options:
        if view.get(name):
            view.put(name, [])
        return []
    view.put(name, [one for one in view.get(name) if one in options])
    how = {"uninterpretable": "no name", "ok": "named", "insufficient_data": "too few images"}
    shown = st.pills(
        label,
        options,
        selection_mode="multi",
        format_func=lambda one: how.get(one, one),
        key=view.key(name),
        persist_state="session",
    )
    return list(shown)


def _class(table: pd.DataFrame) -> str | None:
    if "best_class" not in table or not table["best_class"].notna().any():
        view.put("class", None)
        return None
    offered = [str(name) for name in table["best_class"].value_counts().index[:MOST_CLASSES]]
    asked = view.get("class")
    return st.selectbox(
        "Class it fires on most often",
        offered if asked in (None, *offered) else [asked, *offered],
        index=None,
        key=view.key("class"),
        accept_new_options=len(offered) == MOST_CLASSES,
        placeholder="any",
        persist_state="session",
    )


def _verdicts(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table if str(name).endswith(".verdict")]


def sorts_of(table: pd.DataFrame) -> list[str]:
    """The orders there are, the natural one first: a search's own, else the summed activation."""
    named = [name for name, (column, _) in sc.SORTS.items() if column in table and (table.empty or table[column].notna().any())]
    return [view.FIRED, *named] if "fired" in table else named


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """The latents in the order chosen; a search begins with its own."""
    sorts = sorts_of(table)
    if view.get("sort") not in sorts:
        view.put("sort", sorts[0])
    by = str(st.selectbox("Sorted by", sorts, key=view.key("sort"), persist_state="session"))
    if by == view.FIRED:
        return table.sort_values(["fired", "latent"], ascending=[False, True])
    return sc.sorted_latents(table, by)


def _percent(rate: float) -> str:
    return f"{100 * rate:g} %"


def _sentence(asked: sc.LatentFilter, left: int) -> None:
    """What is active, in words, and the one button that takes it away."""
    own = asked.model_copy(update={"group": None})
    parts = ([] if own == sc.LatentFilter() else [own.describe()]) + search.said()
    if not parts:
        return
    line = st.container(horizontal=True, vertical_alignment="center", gap="small")
    line.markdown(f"**{count(left, 'latent')}** · {plain('; '.join(parts))}", width="content")
    line.button("Clear", icon=":material/filter_alt_off:", key="gallery-clear", on_click=view.clear, type="tertiary")
