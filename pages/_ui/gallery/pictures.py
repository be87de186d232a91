"""Latents as thumbnails: each by the picture it fires on most, or by its four strongest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import latents, load
from pages._ui.gallery import view
from pages._ui.text import count, plain
from pages._ui.thumbs import Thumb, gallery


def show(have: sc.pipeline.Run, table: pd.DataFrame) -> None:
    """One page of thumbnails; a click opens the latent."""
    per = view.get("per")
    pages = max(1, -(-len(table) // per))
    at = min(view.get("page"), pages)
    if at != view.get("page"):
        view.put("page", at)
    shown = table.iloc[(at - 1) * per : at * per]
    make = _montage if view.get("montage") else latents.best
    thumbs = [
        replace(thumb, starred=bool(star))
        for latent, text, star in zip(shown["latent"], _captions(shown), shown["bookmarked"], strict=True)
        if (thumb := make(have, int(latent), text)) is not None
    ]
    gallery(thumbs, key="gallery", title="Latents, each by the picture it fires on most", on_click=latents.ask_for)
    line = st.container(horizontal=True, vertical_alignment="center", gap="medium")
    if pages > 1:
        line.pagination(pages, key=view.key("page"), persist_state="session")
    line.segmented_control(
        "On a page", view.PER_PAGE, required=True, key=view.key("per"), persist_state="session", label_visibility="collapsed"
    )
    line.toggle("Four pictures each", key=view.key("montage"), persist_state="session")
    st.caption(plain(f"{count(len(table), 'latent')}, {len(shown)} on this page. Latent · {_value(table)[1]} · name."))


def _montage(have: sc.pipeline.Run, latent: int, text: str) -> Thumb | None:
    thumb = latents.best(have, latent, text)
    picture = _made(have.outcomes["collect"].key, latent, have)
    return thumb if thumb is None or picture is None else replace(thumb, image=picture)


@st.cache_resource(max_entries=4096, show_spinner=False)
def _made(key: str, latent: int, _have: sc.pipeline.Run) -> bytes | None:
    return sc.latent_montage(load.activations(_have), latents.manifests(_have), latent)


def _value(table: pd.DataFrame) -> tuple[str, str, Callable[[float], str]]:
    """The number below a thumbnail: its column, what it is, and how it is written. It is what the latents are sorted by."""
    kinds: dict[str, tuple[str, Callable[[float], str]]] = {
        "fired": ("how strongly the picture fires it, of its own maximum", lambda v: f"{100 * v:.0f} %"),
        "likeness": ("cosine with the text", lambda v: f"cos {v:.2f}"),
        "max": ("largest activation", lambda v: f"max {v:.2f}"),
        "score": ("score of its name", lambda v: "no score" if pd.isna(v) else f"score {v:.2f}"),
        "best_class_lift": ("lift of its class", lambda v: "no class" if pd.isna(v) else f"{v:.1f} ×"),
    }
    column = view.sort_column()
    if column in kinds and column in table:
        return (column, *kinds[column])
    return "rate", "share of all images it fires on", lambda v: f"{100 * v:.2g} %"


def _captions(shown: pd.DataFrame) -> list[str]:
    column, _, written = _value(shown)
    return [
        f"{latent} · {written(value)}" + (f" · {latents.short(name)}" if isinstance(name, str) else "")
        for latent, value, name in zip(shown["latent"], shown[column], shown["name"], strict=True)
    ]
