"""An image of the data: by link, by class, by a click on its picture."""

from __future__ import annotations

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import latents, load
from pages._ui.text import plain
from pages._ui.thumbs import gallery

PER_PAGE = 24
_SEEN = "_steer_image_in_url"
DOMAIN = "steer-domain"


def chosen(have: sc.pipeline.Run) -> tuple[str, int, int]:
    """The controls, and what they choose: domain, image, its row in the activation store."""
    acts = load.activations(have)
    _from_link(have)
    domain = acts.domains[0]
    if len(acts.domains) > 1:
        if st.session_state.get(DOMAIN, domain) not in acts.domains:
            del st.session_state[DOMAIN]
        domain = (
            st.segmented_control("Domain", acts.domains, default=domain, required=True, key=DOMAIN, persist_state="session")
            or domain
        )
    own = acts.images[acts.images["domain"] == domain]
    image = st.session_state.get(_kept(have, domain))
    if image is None or not (own["image"] == image).any():
        tests = own[own["split"] == "test"]
        image = int((tests if len(tests) else own)["image"].iloc[0])
    with st.expander("Choose an image", icon=":material/image_search:", key="steer-picker", on_change="rerun") as place:
        if place.open:
            clicked = _pictures(have, own, domain, int(image))
            if clicked is not None:
                go(have, domain, clicked)
                st.session_state[_SEEN] = (domain, str(clicked))
                st.query_params.update({"domain": domain, "image": str(clicked)})
                st.rerun(scope="fragment")
    return domain, int(image), int(own.loc[own["image"] == image, "row"].iloc[0])


def go(have: sc.pipeline.Run, domain: str, image: int) -> None:
    """Choose an image from the next run on."""
    st.session_state[_kept(have, domain)] = image


def _kept(have: sc.pipeline.Run, domain: str) -> str:
    return str(("_steer_image", have.keys["collect"], domain))


def _from_link(have: sc.pipeline.Run) -> None:
    """Go to the image of the address when that has changed: a link, or the back button."""
    asked = (st.query_params.get("domain"), st.query_params.get("image"))
    if asked == st.session_state.get(_SEEN):
        return
    st.session_state[_SEEN] = asked
    domain, image = asked
    if domain is None and image is None:
        return
    acts = load.activations(have)
    domain = acts.domains[0] if domain is None else domain
    if domain not in acts.domains:
        st.warning(f"The link names domain {plain(domain[:40])}; this run has {plain(', '.join(acts.domains))}.")
        return
    st.session_state[DOMAIN] = domain
    if image is None:
        return
    number = int(image) if image.isascii() and image.isdigit() and len(image) < 10 else -1
    own = acts.images.loc[acts.images["domain"] == domain, "image"]
    if (own == number).any():
        go(have, domain, number)
    else:
        st.warning(f"The link names image {plain(image[:40])} of {plain(domain)}; it has images 0 to {own.max()}.")


def _pictures(have: sc.pipeline.Run, own: pd.DataFrame, domain: str, image: int) -> int | None:
    manifest = load.manifest(have, domain)
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    if manifest.classes:
        label = left.selectbox("Class", manifest.classes, index=None, placeholder="every class", key=f"steer-class-{domain}")
        if label is not None:
            own = own[own["label"] == manifest.classes.index(label)]
    own = own.sort_values(["split", "image"])  # "test" stands before "train": held-out images first
    pages = max(1, -(-len(own) // PER_PAGE))
    with right:
        at = st.pagination(pages, key=f"steer-page-{domain}-{pages}") if pages > 1 else 1
    shown = own["image"].iloc[(at - 1) * PER_PAGE : at * PER_PAGE]
    thumbs = [latents.of_image(have, domain, int(one)) for one in shown]
    clicked = gallery(thumbs, key=f"steer-pick-{domain}", selected=image, side=80, title=f"Images of {domain}")
    return None if clicked is None else int(clicked)
