"""Searches: latents by what a text means to CLIP, and latents by what a picture fires."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

import sae_core as sc
from pages._ui import latents, load
from pages._ui.drawing import reading
from pages._ui.gallery import view
from pages._ui.text import plain
from pages._ui.thumbs import gallery

OPEN = "gallery-picture-open"
"""The popover's key: no other page draws it, and it dies with the page."""
_FIRED, _DRAWS, _READ = "_gallery_fired", "_gallery_draws", "_gallery_read"
UPLOAD = "upload"
STRIP = 12


def by_text(have: sc.pipeline.Run, table: pd.DataFrame) -> pd.DataFrame:
    """With a text asked for, a column `likeness`: the cosine of each latent's direction with the text's."""
    text = st.text_input(
        "Search by meaning",
        key=view.key("search"),
        on_change=_searched,
        persist_state="session",
        max_chars=100,
        placeholder="spiral, parallel lines, a boat …",
    )
    if not text or not text.strip():
        return table
    unread = sc.unread_words(load.embeddings(have, next(iter(have.config.data))).encoder, text)
    if unread:
        words = ", ".join(f"“{word}”" for word in unread)
        st.caption(plain(f"The bundled demo model never read {words}: what it makes of that is arbitrary."))
    try:
        return table.assign(likeness=latents.likeness(have, text.strip())[table["latent"]])
    except sc.Unavailable as error:
        st.warning(plain(f"Search needs the text tower: {error}"))
        return table


def _searched() -> None:
    view.put("sort", None)  # by likeness while there is one, else by the first sort


def show_latents(values: Mapping[int, float], title: str) -> None:
    """Ask the gallery for the latents of a picture that is not in the data, such as a drawing; then switch to its page.

    Args:
        values: the strength of each latent it fires, in units of the latent's maximum, by latent.
        title: what the picture is, such as `your drawing`.
    """
    view.clear()
    st.session_state[_FIRED] = (title, {int(latent): float(value) for latent, value in values.items()})
    view.put("image", UPLOAD)


def by_picture(have: sc.pipeline.Run, table: pd.DataFrame) -> pd.DataFrame:
    """With a picture asked for, only the latents it fires, with a column `fired`: strength in units of the latent's maximum."""
    popover = st.popover("By picture", icon=":material/image_search:", key=OPEN, on_change="rerun")
    with popover:
        _upload(have)
        if popover.open:
            _strip(have)
    _, fired = found(have)
    if fired is None:
        return table
    kept = table[table["latent"].isin(fired)]
    return kept.assign(fired=[fired[int(latent)] for latent in kept["latent"]])


def found(have: sc.pipeline.Run) -> tuple[str, Mapping[int, float] | None]:
    """What the picture asked for is, and what it fires by latent; None where none is asked for."""
    asked = view.get("image")
    if asked == UPLOAD:
        if _FIRED in st.session_state:
            title, fired = st.session_state[_FIRED]
            return title, fired
        view.put("image", "")
    if not asked or asked == UPLOAD:
        return "", None
    domain, _, number = asked.rpartition(":")
    acts = load.activations(have)
    rows = np.flatnonzero((acts.images["domain"] == domain) & (acts.images["image"] == int(number)))
    if not len(rows):
        st.warning(plain(f"There is no image {number} in {domain or 'this run'}; choose one under By picture."))
        view.put("image", "")
        return "", None
    ids, values = acts.row(int(rows[0]))
    return f"{domain} image {number}", dict(zip(ids.tolist(), (values / acts.maxima[ids]).tolist(), strict=True))


def said() -> list[str]:
    """The searches that are on, in words."""
    parts = []
    if view.get("search").strip():
        parts.append(f"by likeness to “{view.get('search').strip()}”")
    asked = view.get("image")
    if asked == UPLOAD and _FIRED in st.session_state:
        parts.append(f"fired by {st.session_state[_FIRED][0]}")
    elif asked:
        domain, _, number = asked.rpartition(":")
        parts.append(f"fired by {domain} image {number}")
    return parts


def _upload(have: sc.pipeline.Run) -> None:
    """A picture of one's own, read once."""
    file = st.file_uploader(
        "Upload a picture",
        type=["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"],
        key="gallery-upload",
        help="It is read in memory on the machine this app runs on, and kept nowhere.",
    )
    if file is None:
        st.session_state.pop(_READ, None)
        return
    if st.session_state.get(_READ) == (file.file_id, have.outcomes["collect"].key):
        return
    st.session_state[_READ] = (file.file_id, have.outcomes["collect"].key)
    try:
        fired = _fired_by(have, sc.open_image(file.getvalue(), "this picture"))
    except (sc.InputError, sc.Unavailable) as error:
        st.session_state.pop(_READ)  # said again as long as it lies there
        st.error(plain(error), icon=":material/error:")
        return
    st.session_state[_FIRED] = ("your picture", fired)
    view.put("image", UPLOAD)
    view.put("sort", None)


def _fired_by(have: sc.pipeline.Run, image: Image.Image) -> dict[int, float]:
    """What a picture fires, in units of each latent's maximum, by latent. Raises InputError and Unavailable."""
    seen = reading.reader(have).read(image, domains=())
    return dict(zip(seen.latents.tolist(), seen.relative.tolist(), strict=True))


def _strip(have: sc.pipeline.Run) -> None:
    """A few images of the data to choose from."""
    acts = load.activations(have)
    domain = acts.domains[0]
    st.markdown("**or choose an image of the data**")
    if len(acts.domains) > 1:
        domain = str(st.segmented_control("Domain", acts.domains, default=domain, required=True, key="gallery-strip-domain"))
    draws = int(st.session_state.setdefault(_DRAWS, 0))
    rows = np.flatnonzero(acts.images["domain"] == domain)
    some = np.sort(np.random.default_rng(draws).choice(rows, min(STRIP, len(rows)), replace=False))
    images = [int(image) for image in acts.images["image"].iloc[some]]
    clicked = gallery(_thumbs(have, domain, images), key=f"gallery-strip-{domain}", side=64, title=f"Images of {domain}")
    st.button("Other ones", icon=":material/casino:", key="gallery-other", on_click=_redraw)
    if clicked is not None:
        view.put("image", f"{domain}:{clicked}")
        view.put("sort", None)


def _thumbs(have: sc.pipeline.Run, domain: str, images: Sequence[int]) -> list[Any]:
    return [latents.of_image(have, domain, image) for image in images]


def _redraw() -> None:
    st.session_state[_DRAWS] = int(st.session_state.get(_DRAWS, 0)) + 1
