"""The strip: one latent from 0 to four times its maximum beside a random direction that goes as far; and its files."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import latents
from pages._ui.bits import download
from pages._ui.steer import generators, opened
from pages._ui.steer.chosen import Chosen
from pages._ui.text import plain
from pages._ui.thumbs import Thumb, gallery

NEAREST = "nearest images of the data"


def show(have: sc.pipeline.Run, chosen: Chosen, recipe: sc.Recipe, default: int | None) -> None:
    """The strip of one of the edited latents, as nearest images or as a generator draws them, and downloads of it."""
    turned = list(dict.fromkeys([edit.latent for edit in recipe.edits] or ([] if default is None else [default])))
    if not turned:
        return
    st.subheader("One latent, step by step", anchor=False)
    line = st.container(horizontal=True, vertical_alignment="bottom")
    latent = turned[0]
    if len(turned) > 1:
        latent = line.selectbox("Latent", turned, key="steer-strip-latent", format_func=lambda j: _title(have, j), width=320)
    ways = [NEAREST, *(decoder.id for decoder in generators.ready(have))]
    way = ways[0]
    if len(ways) > 1:
        way = line.segmented_control("Shown as", ways, default=ways[-1], required=True, key="steer-strip-way") or ways[0]
    strip = _strip(have, chosen, recipe, latent, way)
    for nth, (title, cells) in enumerate(strip.rows):
        st.markdown(f"**{plain(title)}**")
        gallery(
            [_thumb(strip, at, cell) for at, cell in enumerate(cells)],
            key=f"steer-strip-{nth}",
            clickable=False,
            side=88,
            title=f"{title}: {len(cells)} steps",
        )
    generated = "" if way == NEAREST else ":violet-badge[generated] "
    st.caption(f"{generated}{plain(strip.note)} The violet edge marks the unsteered image; this latent is turned alone.")
    line = st.container(horizontal=True)
    name = f"strip_{latent}"
    for ending, write in sc.STRIP_FILES.items():
        download(line, f"Strip as {ending.upper()}", partial(write, strip), f"{name}.{ending}", key=f"steer-strip-{ending}")


def _title(have: sc.pipeline.Run, latent: int) -> str:
    label = latents.label(have, latent)
    return f"latent {latent}" + (f": {label}" if label else "")


def _thumb(strip: sc.Strip, at: int, cell: Any) -> Thumb:
    out = io.BytesIO()
    cell.picture.save(out, "PNG")
    unsteered = at == strip.unsteered
    words = [f"{strip.strengths[at]:.2f} ×", "unsteered" if unsteered else "", cell.caption]
    text = ", ".join(word for word in words if word)
    return Thumb(at, out.getvalue(), text, "sae" if unsteered else None)


def _strip(have: sc.pipeline.Run, chosen: Chosen, recipe: sc.Recipe, latent: int, way: str) -> sc.Strip:
    """The strip, which a slider's value changes nothing in."""
    settings = (recipe.keep_error, recipe.renormalise, recipe.seed, recipe.maxima.get(latent))
    return _made((have.keys["interpret"], opened.identity(chosen.subject), latent, way, *settings), have, chosen, recipe)


@st.cache_resource(max_entries=12, show_spinner="Drawing the steps …")
def _made(key: tuple[Any, ...], _have: sc.pipeline.Run, _chosen: Chosen, _recipe: sc.Recipe) -> sc.Strip:
    """Made once for all visitors who ask for the same, since it is seconds of work; nobody changes it."""
    _, _, latent, way, *_ = key
    scene = opened.scene(_have)
    swept = sc.sweep_of(_chosen.subject, latent, _recipe, scene)
    return sc.nearest_strip(swept, _chosen.subject, scene) if way == NEAREST else generators.strip(_have, swept, _recipe, way)
