"""What is steered: an image of the data, an upload, or what is drawn on the paper."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import latents, load, session
from pages._ui.drawing import canvas, reading
from pages._ui.drawing import source as paper_source
from pages._ui.steer import opened, picker
from pages._ui.text import plain
from pages._ui.thumbs import Thumb, gallery, media_url

DATA, UPLOAD, CANVAS = "Data set", "Upload", "Canvas"
SOURCE, FILE = "steer-source", "steer-file"
HERE = "It stays in this app's memory while you are here and is written to no file."
SERVED = "This app's server keeps it in memory for the length of your visit, and neither stores nor passes it on."


@dataclass(frozen=True)
class Chosen:
    """The image that is steered: `sha256` of its file, a picture of it, and what it is in words."""

    subject: sc.Subject
    sha256: str
    thumb: Thumb
    words: str

    @property
    def row(self) -> int | None:
        """Its row of the activation store; None for a picture that is not in the data."""
        row = self.subject.about["row"]
        return None if row is None else int(row)


def choose(have: sc.pipeline.Run, place: Any) -> Chosen | None:
    """The controls that choose an image, in a container, and the image; None until there is one."""
    with place:
        where = source(have)
        if where == UPLOAD:
            return _uploaded(have)
        if where == CANVAS:
            return _drawn(have)
        return _of_the_data(have)


def source(have: sc.pipeline.Run) -> str:
    """Where the image comes from; a picture of one's own needs this run's CLIP."""
    picked = st.segmented_control(
        "What is steered", [DATA, UPLOAD, CANVAS], default=DATA, required=True, key=SOURCE, persist_state="session"
    )
    if picked in (UPLOAD, CANVAS):
        try:
            reading.reader(have)
        except (sc.Unavailable, sc.InputError) as error:
            st.info(f"This run reads no pictures of yours: {plain(error)}.", icon=":material/image:")
            return DATA
    return picked or DATA


def _of_the_data(have: sc.pipeline.Run) -> Chosen:
    domain, image, row = picker.chosen(have)
    table = load.manifest(have, domain).table
    words = f"image {image} of {domain}, {latents.caption(have, domain, image)}"
    thumb = latents.of_image(have, domain, image)
    return Chosen(opened.scene(have).subject(row), str(table["sha256"].iat[image]), thumb, words)


def _uploaded(have: sc.pipeline.Run) -> Chosen | None:
    domain = _read_as(have)
    # Any file is let through to be looked at: a refusal by its name alone would not say what is wrong with it.
    file = st.file_uploader("Upload a picture", key=FILE, help="PNG, JPEG, WebP, BMP, GIF or TIFF, up to 100 megapixels.")
    st.caption(f":material/lock: {SERVED if session.public() else HERE}")
    if file is None:
        st.info("Upload a picture: it is embedded, and its latents get sliders.", icon=":material/upload:")
        return None
    name, data = str(file.name)[:80], file.getvalue()
    key = hashlib.sha256(data).hexdigest()
    kept: tuple[str, reading.Sheet] | None = st.session_state.get("_steer_upload")
    if kept is None or kept[0] != key:
        image = sc.open_image(data, name)
        image.thumbnail((paper_source.LARGEST, paper_source.LARGEST))
        out = io.BytesIO()
        paper_source.as_seen(reading.reader(have).encoder, image).save(out, "PNG")
        kept = (key, reading.Sheet(key, image, out.getvalue()))
        st.session_state["_steer_upload"] = kept
    return _stranger(have, kept[1], domain, name, key)


def _drawn(have: sc.pipeline.Run) -> Chosen | None:
    """The paper of the Draw page: what is drawn there is here as well."""
    domain = _read_as(have)
    drawing = canvas.sent()
    sheet = reading.on_paper(have, paper_source.chosen(), drawing)
    st.caption(f":material/lock: {SERVED if session.public() else HERE} It is the paper of the Draw page.")
    if sheet is None:
        st.info("Draw something: it is embedded while you draw, and its latents get sliders.", icon=":material/draw:")
        return None
    return _stranger(have, sheet, domain, "drawing.png", hashlib.sha256(sheet.png).hexdigest())


def paper(have: sc.pipeline.Run, place: Any) -> None:
    """The paper, where it is what is steered. Called last: it sends its next drawing when it hears that this is answered."""
    if st.session_state.get(SOURCE) != CANVAS:
        return
    base, drawing = paper_source.chosen(), canvas.sent()
    under = None if base is None else {"id": base.id, "url": media_url(reading.laid(have, base), "draw-base")}
    with place:
        canvas.paper(under, None if drawing is None else drawing.seq)


def _stranger(have: sc.pipeline.Run, sheet: reading.Sheet, domain: str, name: str, sha: str) -> Chosen:
    scale = sc.logit_scale_of(load.embeddings(have, domain))
    subject = sc.stranger(reading.read(have, sheet).x, domain, name, scale)
    thumb = Thumb(0, sheet.png, latents.short(name), None, f"{name}, as CLIP sees it")
    return Chosen(subject, sha, thumb, name)


def _read_as(have: sc.pipeline.Run) -> str:
    """The domain whose labels a picture of one's own is read by."""
    domains = load.activations(have).domains
    if len(domains) == 1:
        return domains[0]
    help = "The labels that are followed are those of this domain's classes, with its prompts."
    picked = st.segmented_control(
        "Read it as", domains, default=domains[0], required=True, key="steer-as", persist_state="session", help=help
    )
    return picked if picked in domains else domains[0]


def show(chosen: Chosen) -> None:
    """The image, as large as its sliders need it."""
    with st.container(width=200):
        gallery([chosen.thumb], key="steer-image", clickable=False, side=160, title="The image that is steered")
