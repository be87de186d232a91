"""One picture and one latent: the picture large, its copies, and where in it the latent looks. A dialog, made on demand."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

import sae_core as sc
from pages._ui import latents, load, session, theme
from pages._ui.bits import download
from pages._ui.page import errors_shown
from pages._ui.text import plain
from pages._ui.thumbs import gallery, media_url

LARGE = 640
"""Pixels a picture is shown at, at most."""
TITLES = {"occlusion": "Occlusion", "gradient": "Input gradients"}
BADGES = {"sound": ":green-badge[better than random]", "weak": ":orange-badge[weak]", "none": ":red-badge[not to be trusted]"}


def open_row(have: sc.pipeline.Run, latent: int, row: int) -> None:
    """The dialog on an image of the data, by its row in the activation store."""
    st.dialog(f"Latent {latent}: where it looks", width="large", icon=":material/center_focus_strong:")(_of_row)(
        have, latent, row
    )


def open_picture(have: sc.pipeline.Run, latent: int, picture: Image.Image, name: str) -> None:
    """The dialog on a picture of the visitor's own."""
    st.dialog(f"Latent {latent}: where it looks", width="large", icon=":material/center_focus_strong:")(_of_picture)(
        have, latent, picture, name
    )


def _of_row(have: sc.pipeline.Run, latent: int, row: int) -> None:
    with errors_shown():
        acts = load.activations(have)
        where = acts.images.iloc[row]
        domain, image = str(where["domain"]), int(where["image"])
        manifest = load.manifest(have, domain)
        ids, values = acts.row(row)
        value = float(values[ids == latent].sum())
        strongest = float(acts.stats["max"].iloc[latent])
        said = f"fires **{value:.2f}**, {100 * value / strongest:.0f} % of its strongest" if value > 0 else "does not fire"
        about = f"**{plain(latents.what(have, row))}** · {plain(domain)} image {image} · {plain(where['split'])} · {said}"
        if not manifest.has_image(image):
            st.markdown(about)
            st.info("These data hold embeddings without pictures, so there is nothing to look at part by part.")
            return
        picture = manifest.image(image)
        with _head(picture, about):
            st.page_link(
                "pages/gallery.py",
                label="Which latents does this picture fire?",
                icon=":material/image_search:",
                query_params={**session.link(), "image": f"{domain}:{image}"},
            )
            _copies(have, row)
        _maps(have, latent, picture, (have.keys[f"manifest:{domain}"], str(image)), f"latent_{latent:04d}_{domain}_{image}")


def _of_picture(have: sc.pipeline.Run, latent: int, picture: Image.Image, name: str) -> None:
    with errors_shown():
        digest = hashlib.sha256(picture.tobytes() + repr(picture.size).encode()).hexdigest()
        try:
            encoder = tower(have)
        except sc.Unavailable as error:
            _head(picture, f"**{plain(name)}**")
            st.info(plain(error))
            return
        value = float(load.sae(have).encode(encoder.images([picture]))[0, latent])
        strongest = float(load.activations(have).stats["max"].iloc[latent])
        share = f", {100 * value / strongest:.0f} % of its strongest on the data" if strongest > 0 else ""
        _head(picture, f"**{plain(name)}** · " + (f"fires **{value:.2f}**{share}" if value > 0 else "does not fire"))
        _maps(have, latent, picture, ("upload", digest), f"latent_{latent:04d}_upload")


def _head(picture: Image.Image, about: str) -> Any:
    """The picture large and what it is; returns the place beside it, for more."""
    shown = picture.copy()
    shown.thumbnail((LARGE, LARGE))
    side = max(shown.size)
    if side < LARGE // 3:
        # Drawings are small: blown up without blurring, so that each pixel CLIP got is seen.
        shown = shown.resize((shown.width * LARGE // (2 * side), shown.height * LARGE // (2 * side)), Image.Resampling.NEAREST)
    left, right = st.columns([2, 3])
    left.image(shown, width=min(320, shown.width), alt="The picture, large")
    right.markdown(about)
    return right


def _copies(have: sc.pipeline.Run, row: int) -> None:
    """The picture's near-duplicates, mirrored ones too."""
    images = load.activations(have).images
    group = images["group"].to_numpy()
    twins = np.flatnonzero(group == group[row])
    if len(twins) > 1:
        st.markdown(f"**Its {len(twins)} near-duplicates**, mirrored copies too; lists show them once")
        gallery([latents.thumb(have, int(one)) for one in twins[:24]], key="copies", clickable=False, side=72, title="Copies")


def tower(have: sc.pipeline.Run) -> sc.Encoder:
    """The CLIP that made the run's embeddings. Raises Unavailable when it cannot be had here."""
    made_by = load.embeddings(have, next(iter(have.config.data))).encoder
    encoder = load.encoder(have)
    if encoder.id != made_by:
        raise sc.Unavailable(f"the embeddings were made by {made_by}, which is not at hand here; pictures cannot be looked at")
    return encoder


def _maps(have: sc.pipeline.Run, latent: int, picture: Image.Image, what: tuple[str, str], file: str) -> None:
    """Both maps over the picture, each with what it is, its check, and the verdict in words."""
    # Emptied first: the maps of the picture before must not stand there while this one's are made.
    slot = st.empty()
    try:
        with slot, st.spinner("Looking: hiding the picture part by part …", show_time=True):
            encoder = tower(have)
            found = _looked((have.keys["train"], encoder.id, *what), latent, encoder, load.sae(have), picture)
    except sc.Unavailable as error:
        slot.info(plain(error))
        return
    with slot.container():
        _show(found, file)


def _show(found: sc.Looked, file: str) -> None:
    st.markdown(
        f"Pre-activation (before TopK or the threshold decides) **{plain(f'{found.value:.3f}')}**; "
        f"a sheet of its paper colour has {plain(f'{found.blank:.3f}')}."
    )
    shown = media_url(_png(found.seen), f"look-{file}")
    for column, (method, checked) in zip(st.columns(len(found.maps)), found.maps.items(), strict=True):
        with column:
            figure = sc.figures.attribution_map(shown, checked.map.cells, title=TITLES[method])
            theme.show(figure, key=f"look-{method}")
            st.caption(checked.what)
            st.markdown(f"{BADGES[checked.trust]} {plain(checked.verdict)}")
            curves = checked.check
            theme.show(sc.figures.deletion_curves(curves.hidden, curves.curve, curves.random), key=f"deletion-{method}")
    st.caption(
        "The check hides the parts that are not blank, the largest values of the map first, and compares with random orders "
        "(grey): a map that knows where the latent looks makes it fall faster."
    )
    download(st, "JSON of both maps", found.to_json, f"{file}.json", key="look-json")


def _png(pixels: Any) -> bytes:
    out = io.BytesIO()
    side = len(pixels)
    factor = max(1, 256 // side)
    Image.fromarray(pixels).resize((side * factor, side * factor), Image.Resampling.NEAREST).save(out, "PNG")
    return out.getvalue()


@st.cache_resource(max_entries=64, show_spinner=False)
def _looked(keys: tuple[str, ...], latent: int, _tower: Any, _sae: Any, _picture: Image.Image) -> Any:
    return sc.look(_tower, _sae, _picture, latent)
