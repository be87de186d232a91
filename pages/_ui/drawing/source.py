"""A picture to begin from instead of blank paper: an upload, or an image of the data."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np
import streamlit as st
from PIL import Image

import sae_core as sc
from pages._ui import latents, load
from pages._ui.text import plain
from pages._ui.thumbs import gallery

LARGEST = 1024
"""Pixels of a side that are kept; every CLIP sees fewer."""
PER_PAGE = 12
_BASE, _PROBLEM, _FILE = "_draw_base", "_draw_problem", "draw-file"


@dataclass(frozen=True)
class Base:
    """A picture that was laid on the paper: an `id` of this laying, the picture, and what it is."""

    id: str
    image: Image.Image
    what: str


def chosen() -> Base | None:
    """The picture that was chosen last in this visit."""
    base: Base | None = st.session_state.get(_BASE)
    return base


def lay(image: Image.Image, what: str) -> None:
    """Lay a picture on the paper; it takes the place of what is there, until that is undone."""
    small = image.copy()
    small.thumbnail((LARGEST, LARGEST))
    st.session_state[_BASE] = Base(secrets.token_hex(8), small, what)


def as_seen(encoder: sc.Encoder, image: Image.Image) -> Image.Image:
    """The picture as the model sees it, in its size and cut: an RGB image.

    The model's own preprocessing is undone in colour only: it is linear there, so black and white through it say how.
    """
    black, white = (Image.new("RGB", (encoder.image_size, encoder.image_size), colour) for colour in ("black", "white"))
    low, high, x = encoder.pixels([black, white, image]).cpu().numpy()
    pixels = np.clip((x - low) / (high - low), 0, 1).transpose(1, 2, 0)
    return Image.fromarray(np.rint(255 * pixels).astype(np.uint8))


def picker(have: sc.pipeline.Run) -> None:
    """An upload, or an image of the data; what is chosen is laid on the paper."""
    problem = st.session_state.get(_PROBLEM)
    with st.expander("Start from a picture", icon=":material/image:", key="draw-start", on_change="rerun") as place:
        if problem:
            st.error(plain(problem), icon=":material/error:")
        if not place.open:
            return
        # Any file is let through to be looked at: a refusal by its name alone would not say what is wrong with it.
        st.file_uploader(
            "Upload a picture",
            key=_FILE,
            on_change=_uploaded,
            help="PNG, JPEG, WebP, BMP, GIF (its first frame) or TIFF, up to 10 MB and 100 megapixels. It stays in memory.",
        )
        _of_the_data(have)


def _uploaded() -> None:
    st.session_state.pop(_PROBLEM, None)
    file = st.session_state.get(_FILE)
    if file is None:
        return
    name = str(file.name)[:80]
    try:
        lay(sc.open_image(file.getvalue(), name), name)
    except sc.InputError as error:
        st.session_state[_PROBLEM] = str(error)


def _of_the_data(have: sc.pipeline.Run) -> None:
    domains = [domain for domain in have.config.data if load.manifest(have, domain).has_images]
    if not domains:
        st.caption("The data of this run are embeddings without pictures.")
        return
    left, right = st.columns(2, vertical_alignment="bottom")
    domain = left.selectbox("Or an image of the data", domains, key="draw-domain") if len(domains) > 1 else domains[0]
    manifest = load.manifest(have, domain)
    own = manifest.table.index.to_numpy()
    if manifest.classes:
        label = right.selectbox("Class", manifest.classes, index=None, placeholder="every class", key=f"draw-class-{domain}")
        if label is not None:
            own = np.flatnonzero(manifest.labels == manifest.classes.index(label))
    pages = max(1, -(-len(own) // PER_PAGE))
    at = st.pagination(pages, key=f"draw-page-{domain}-{pages}") if pages > 1 else 1
    shown = [int(image) for image in own[(at - 1) * PER_PAGE : at * PER_PAGE] if manifest.has_image(int(image))]
    thumbs = [latents.of_image(have, domain, image) for image in shown]
    clicked = gallery(thumbs, key=f"draw-pick-{domain}", side=64, title=f"Images of {domain}")
    if clicked is not None:
        lay(manifest.image(int(clicked)), f"{domain} image {clicked}, {latents.caption(have, domain, int(clicked))}")
        st.session_state.pop(_PROBLEM, None)
        st.rerun(scope="fragment")
