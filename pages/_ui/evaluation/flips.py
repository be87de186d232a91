"""The images whose answer changes: what each is, what it is taken for, and the latents and the residual that turned it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from pages._ui import latents
from pages._ui.evaluation.sides import Entry, Side, one_each
from pages._ui.text import count, plain

PER_PAGE = 8
KINDS = {"lost": "lost: right before", "gained": "gained: right now", "changed": "wrong both times"}


def show(sides: Sequence[Side]) -> None:
    """The kind of change, then a column of images for each side."""
    chosen = one_each(sides, "flips")
    tables = [side.entries[0].rows(side.entries[0].evaluation.flips) for side in chosen]
    counts = pd.concat([table["kind"] for table in tables]).value_counts()
    kind = st.segmented_control(
        "Which changes",
        list(KINDS),
        default="lost",
        required=True,
        format_func=lambda one: f"{KINDS[one]} ({int(counts.get(one, 0)):,})",
        key="flips-kind",
        wrap=True,
        persist_state="session",
        label_visibility="collapsed",
    )
    st.caption(
        "With w the direction from what CLIP said to what CLIP+SAE says (between their text embeddings), a latent pushes by "
        "its activation times the component of its decoder direction along w: positive is towards the new answer. The "
        "**residual** is what the reconstruction leaves out, which held the image where it was. The parts add up exactly: "
        "w·x̂ = bias + all latents, w·x = w·x̂ + residual."
    )
    for place, side, table in zip(st.columns(len(chosen), gap="large"), chosen, tables, strict=True):
        with place:
            st.subheader(plain(side.title), anchor=False)
            _column(side.entries[0], table[table["kind"] == kind].reset_index(drop=True))


def _column(one: Entry, table: pd.DataFrame) -> None:
    if table.empty:
        st.caption("None of its held-out images." if one.found.get("zero_shot") else "There are no classes here.")
        return
    table = table.assign(moved=table["margin_sae"] - table["margin_clip"]).sort_values("moved", ascending=False)
    pages = -(-len(table) // PER_PAGE)
    at = st.pagination(pages, key=f"flips-{one.key}-{pages}") if pages > 1 else 1
    for row in table.iloc[(at - 1) * PER_PAGE : at * PER_PAGE].to_dict("records"):
        _image(one, row)
    st.caption(f"{count(len(table), 'image')}, the largest changes first.")


def _image(one: Entry, row: Mapping[Hashable, Any]) -> None:
    names = one.found["zero_shot"]["classes"]
    line = st.container(horizontal=True, vertical_alignment="top", gap="small")
    line.image(latents.picture(one.have, one.domain, int(row["image"])), width=72)
    with line.container():
        st.markdown(sentence(row, names) + "  \n" + parts(one, row))


def sentence(row: Mapping[Hashable, Any], names: Sequence[str]) -> str:
    """What the image is, before → after, in markdown."""
    truth, before, after = (plain(latents.short(str(names[int(row[key])]))) for key in ("label", "pred_clip", "pred_sae"))
    match row["kind"]:
        case "lost":
            return f"**{truth} → {after}**"
        case "gained":
            return f"**{before} → {truth}** (is {truth})"
    return f"**{before} → {after}** (is {truth})"


def parts(one: Entry, row: Mapping[Hashable, Any]) -> str:
    """The pushes of the strongest latents as links to their cards, the residual and the bias, in markdown."""
    named = latents.table(one.have)["name"] if "collect" in one.have.outcomes else None
    pieces = []
    for latent, push in zip(row["latents"], row["pushes"], strict=True):
        name = named.get(int(latent)) if named is not None else None
        words = f"{int(latent)}" + (f" {plain(latents.short(name, 18))}" if isinstance(name, str) else "")
        address = "latent?" + urlencode({"run": one.run.id, "latent": int(latent)})
        pieces.append(f"[{words}]({address}) {plain(f'{push:+.3f}')}")
    others = row["margin_sae"] - row["bias"] - sum(row["pushes"])
    rest = {"other latents": others, "bias": row["bias"], "residual": row["residual"]}
    return " · ".join([*pieces, *(f"{name} {plain(f'{value:+.3f}')}" for name, value in rest.items())])
