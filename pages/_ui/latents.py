"""Latents as the pages show them: the core's table and cards, opened once; marks; pictures; the way to a latent's own page."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

import sae_core as sc
from pages._ui import load, session, theme
from pages._ui.naming import said
from pages._ui.text import plain
from pages._ui.thumbs import Thumb

PAGE = "pages/latent.py"
_ASKED = "_latent_asked_for"
UNREAD = "_marks_unread"
"""What was last said of marks that cannot be read."""


def table(have: sc.pipeline.Run) -> pd.DataFrame:
    """Every latent of the run with all that the run knows of it, and what the visitor says: `sc.latent_table`. Read-only.

    A label that a person gave stands in the place of the name, marked.
    """
    keys = tuple(have.outcomes[node].key for node in ("collect", "interpret", "geometry", "scan") if node in have.outcomes)
    found = sc.with_marks(_table(keys, have), _legible_marks(have.id))
    own = {latent: f"{said.MARK} {one.label}" for latent, one in said.legible(have.id).items()}
    return found.assign(name=found["latent"].map(own).astype(object).fillna(found["name"])) if own else found


def label(have: sc.pipeline.Run, latent: int) -> str | None:
    """What a latent is called: by a person, then marked as such; else its name. None where it has neither."""
    own = said.legible(have.id).get(latent)
    if own is not None:
        return f"{said.MARK} {own.label}"
    return load.names(have).label(latent) if "interpret" in have.outcomes else None


@st.cache_resource(max_entries=8, show_spinner=False)
def _table(keys: tuple[str, ...], _have: sc.pipeline.Run) -> pd.DataFrame:
    names = load.names(_have) if "interpret" in _have.outcomes else None
    geometry = load.geometry(_have) if "geometry" in _have.outcomes else None
    scan = load.result(_have, "scan").table if "scan" in _have.outcomes else None
    return sc.latent_table(load.activations(_have), names, geometry, classes=classes(_have), scan=scan)


def manifests(have: sc.pipeline.Run) -> dict[str, sc.Manifest]:
    """The manifests of the run's domains, in the order of the activations."""
    return {domain: load.manifest(have, domain) for domain in load.activations(have).domains}


def classes(have: sc.pipeline.Run) -> dict[str, list[str]]:
    """The names of the classes of each domain; none where its images have no labels."""
    return {domain: manifest.classes for domain, manifest in manifests(have).items()}


# ---------------------------------------------------------------- marks


def marks(run_id: str) -> sc.Marks:
    """Bookmarks and notes of a run's latents: the cache's, or where strangers use the app the visitor's own.

    Raises: DamagedArtifact when the file cannot be read.
    """
    if session.public():
        found: sc.Marks = st.session_state.get(_kept(run_id), sc.Marks())
        return found
    return sc.load_marks(session.store(), run_id)


def mark(run_id: str, latent: int | Iterable[int], bookmarked: bool | None = None, note: str | None = None) -> None:
    """Set the bookmark or note of a latent, or of several. Raises InputError, DamagedArtifact."""
    if not session.public():
        sc.set_mark(session.store(), run_id, latent, bookmarked=bookmarked, note=note)
        return
    changed = marks(run_id)
    for one in latent if isinstance(latent, Iterable) else (latent,):
        changed = changed.changed(one, bookmarked=bookmarked, note=note)
    st.session_state[_kept(run_id)] = changed


def _kept(run_id: str) -> str:
    return f"_marks-{run_id}"


def _legible_marks(run_id: str) -> sc.Marks:
    """The marks, or none and one message a visit when they cannot be read: a table of latents is of use without them."""
    try:
        found = marks(run_id)
    except sc.SaeLabError as error:
        if st.session_state.get(UNREAD) != str(error):
            st.session_state[UNREAD] = str(error)
            st.toast(plain(str(error)), icon=":material/error:", duration="long")
        return sc.Marks()
    st.session_state.pop(UNREAD, None)
    return found


def bookmark(run: sc.pipeline.Recorded, ids: Iterable[int]) -> None:
    """Bookmark several latents at once."""
    try:
        mark(run.id, ids, bookmarked=True)
    except sc.SaeLabError as error:  # a button's callback runs outside of the page's frame
        st.toast(plain(str(error)), icon=":material/error:", duration="long")


def renderings(have: sc.pipeline.Run) -> dict[str, str]:
    """Sketch or photo, by domain."""
    return {domain: load.manifest(have, domain).rendering for domain in have.config.data if f"manifest:{domain}" in have.outcomes}


def colours(have: sc.pipeline.Run) -> dict[str, str]:
    """The colour of each domain in the visitor's theme; of `shared` too."""
    shades = theme.colours()
    light = sc.figures.domain_colours(renderings(have))
    base = {value: shades[name] for name, value in sc.figures.COLOURS.items()}
    return {**{domain: base.get(colour, colour) for domain, colour in light.items()}, "shared": shades["sae"]}


# ---------------------------------------------------------------- pictures


def picture(have: sc.pipeline.Run, domain: str, image: int) -> bytes:
    """The thumbnail of an image as encoded bytes; data without pictures gets a tile with its caption or file name."""
    manifest = load.manifest(have, domain)
    if manifest.has_image(image):
        return bytes(manifest.thumbnail(image))
    out = io.BytesIO()
    sc.image_tile(manifest, image, 112).save(out, "PNG")
    return out.getvalue()


def caption(have: sc.pipeline.Run, domain: str, image: int) -> str:
    """What an image is: its class, else its caption, else its file name."""
    return sc.what_it_is(load.manifest(have, domain), image)


def of_image(have: sc.pipeline.Run, domain: str, image: int, text: str | None = None, identity: int | None = None) -> Thumb:
    """The thumbnail of an image; `text` below it (what it is where None), `identity` is what a click returns (the image's id)."""
    known = caption(have, domain, image)
    rendering = load.manifest(have, domain).rendering
    label = f"{domain} image {image}, {known}" + ("" if text is None else f": {text}")
    return Thumb(
        image if identity is None else identity,
        picture(have, domain, image),
        short(known) if text is None else text,
        rendering,
        label,
    )


def thumb(have: sc.pipeline.Run, row: int, text: str | None = None, identity: int | None = None) -> Thumb:
    """The thumbnail of a row of the activation store, see `of_image`; a click returns the row."""
    where = load.activations(have).images.iloc[row]
    return of_image(have, str(where["domain"]), int(where["image"]), text, row if identity is None else identity)


def of_rows(
    have: sc.pipeline.Run, rows: Iterable[int], values: Iterable[float], copies: Iterable[int] | None = None
) -> list[Thumb]:
    """Thumbnails of rows with the activation and what the image is; near-duplicates shown once carry their number."""
    found = []
    for row, value, times in zip(rows, values, itertools.repeat(1) if copies is None else copies, strict=False):
        found.append(thumb(have, int(row), f"{value:.2f} {short(what(have, int(row)))}" + (f" (×{times})" if times > 1 else "")))
    return found


def short(text: str, most: int = 28) -> str:
    """A name or caption cut to what fits below a thumbnail; the whole of it is on the thumbnail's label."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def what(have: sc.pipeline.Run, row: int) -> str:
    """What the image of a row of the activation store is."""
    where = load.activations(have).images.iloc[row]
    return caption(have, str(where["domain"]), int(where["image"]))


def best(have: sc.pipeline.Run, latent: int, text: str) -> Thumb | None:
    """A latent as a thumbnail: the picture it fires on most. None for a latent that never fires."""
    top = load.activations(have).top(latent, 1)
    return None if top.empty else thumb(have, int(top["row"].iloc[0]), text, latent)


def open_latent(latent: int) -> None:
    """Go to the latent's own page; its link is the address that the browser then shows."""
    st.switch_page(PAGE, query_params=link(latent))


def ask_for(latent: int | str) -> None:
    """Make the run that is about to begin go to a latent's page, before it draws anything of the page that it would leave."""
    st.session_state[_ASKED] = int(latent)


def go() -> None:
    """Go to the latent that a click asked for."""
    latent = st.session_state.pop(_ASKED, None)
    if latent is not None:
        open_latent(latent)


def link(latent: int) -> dict[str, str]:
    """The query parameters of a page that shows this latent of the visitor's run."""
    return {**session.link(), "latent": str(latent)}


# ---------------------------------------------------------------- words


@st.cache_resource(show_spinner=False)
def towers() -> Any:
    """Text towers by encoder id, loaded once for all visitors."""
    return sc.Towers("auto")


def likeness(have: sc.pipeline.Run, text: str) -> NDArray[np.float32]:
    """How much each latent points at a text: `sc.text_likeness`, float32 [m].

    Raises: Unavailable when the run's text tower cannot be had here.
    """
    encoder, templates = load.embeddings(have, next(iter(have.config.data))).encoder, have.config.interpret.templates
    return sc.text_likeness(load.sae(have), text, towers().of(encoder), templates, _ordinary(encoder, templates))


@st.cache_resource(max_entries=2, show_spinner="Embedding words …")
def _ordinary(encoder: str, templates: tuple[str, ...]) -> Any:
    return sc.ordinary_words(towers().of(encoder), templates)
