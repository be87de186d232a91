"""The pictures of a latent's card: the strongest, examples of every fifth, silent ones. Each opens large, with where it looks."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

import sae_core as sc
from pages._ui import latents, load
from pages._ui.card import where
from pages._ui.page import errors_shown
from pages._ui.text import plain
from pages._ui.thumbs import Thumb, gallery

BANDS = ("strongest fifth", "second fifth", "third fifth", "fourth fifth", "weakest fifth")


@st.fragment
def strongest(have: sc.pipeline.Run, card: sc.Card) -> None:
    """The strongest images, a column for each domain."""
    with errors_shown():
        for column, (domain, top) in zip(st.columns(len(card.top)), card.top.items(), strict=True):
            with column:
                st.markdown(f"**Strongest on {plain(domain)}**")
                if top.empty:
                    st.caption(f"It fires on no image of {plain(domain)}.")
                    continue
                thumbs = latents.of_rows(have, top["row"], top["value"], top["copies"])
                _opening(have, card.latent, thumbs, f"top-{domain}", 88, f"Strongest images of {domain}")
        st.caption(
            "The number is the activation; ×n: n near-duplicates, mirrored copies too. Choose an image to see where it looks."
        )


@st.fragment
def examples(have: sc.pipeline.Run, card: sc.Card) -> None:
    """A few images of each fifth of those it fires on, images that leave it silent, and a picture of the visitor's own."""
    with errors_shown():
        st.markdown("**From every fifth of the images it fires on**")
        for band, column in enumerate(st.columns(len(BANDS))):
            rows = card.bands[card.bands["band"] == band]
            if rows.empty:
                continue
            with column:
                st.caption(BANDS[band])
                thumbs = latents.of_rows(have, rows["row"], rows["value"])
                _opening(have, card.latent, thumbs, f"band-{band}", 64, f"Images of the {BANDS[band]}")
        st.markdown("**Random images that leave it silent**")
        if len(card.silent):
            thumbs = [latents.thumb(have, int(row)) for row in card.silent["row"]]
            _opening(have, card.latent, thumbs, "silent", 88, "Silent images")
        else:
            st.caption("There are none: it fires on every image.")
        _upload(have, card.latent)


def _opening(have: sc.pipeline.Run, latent: int, thumbs: Sequence[Thumb], key: str, side: int, title: str) -> None:
    clicked = gallery(thumbs, key=key, side=side, title=title)
    if clicked is not None:
        where.open_row(have, latent, int(clicked))


def _upload(have: sc.pipeline.Run, latent: int) -> None:
    """A picture of the visitor's own, asked the same question."""
    if not any(load.manifest(have, domain).has_images for domain in load.activations(have).domains):
        return
    with st.expander("Where does it look in a picture of yours?", icon=":material/upload:", on_change="rerun", key="own") as box:
        if not box.open:
            return
        file = st.file_uploader("Picture", type=["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"], key="own-picture")
        if file is None:
            return
        picture = sc.open_image(file.getvalue(), file.name)
        if st.button("Look", type="primary", icon=":material/center_focus_strong:"):
            where.open_picture(have, latent, picture, file.name)
