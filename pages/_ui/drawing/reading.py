"""What is on the paper, and the dictionary's reading of it; the run is opened once for all visitors."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import streamlit as st
from PIL import Image

import sae_core as sc
from pages._ui import latents, load
from pages._ui.drawing.canvas import Drawing
from pages._ui.drawing.source import Base, as_seen

_READ, _LAID = "_draw_read", "_draw_laid"
KEPT = 8
"""Readings that a visit keeps."""
BLANK = 250
"""Paper whose darkest pixel is lighter than this has nothing on it."""


@dataclass(frozen=True)
class Sheet:
    """The paper as it is read: `key` tells two apart, `image` is what CLIP gets, `png` what is shown of it."""

    key: str
    image: Image.Image
    png: bytes


def on_paper(have: sc.pipeline.Run, base: Base | None, drawing: Drawing | None) -> Sheet | None:
    """What lies on the paper; None while it is blank.

    A picture that nothing was drawn on is read itself, not its copy from the paper, so that an image of the data is read as the
    run read it.
    """
    if base is not None:
        new = drawing is None or drawing.seen != base.id  # the browser has not laid it down yet
        if new or (drawing is not None and drawing.base == base.id and not drawing.strokes):
            return Sheet(base.id, base.image, laid(have, base))
    if drawing is None:
        return None
    image = sc.open_image(drawing.png, "the drawing")
    darkest = image.convert("L").getextrema()[0]
    if isinstance(darkest, int | float) and darkest > BLANK:
        return None
    return Sheet(hashlib.sha256(drawing.png).hexdigest(), image, drawing.png)


def laid(have: sc.pipeline.Run, base: Base) -> bytes:
    """The picture as it lies on the paper, as CLIP sees it: PNG."""
    encoder = reader(have).encoder
    key, png = st.session_state.get(_LAID, (None, b""))
    if key != (base.id, encoder.id):
        out = io.BytesIO()
        as_seen(encoder, base.image).save(out, "PNG")
        png = out.getvalue()
        st.session_state[_LAID] = ((base.id, encoder.id), png)
    return bytes(png)


def reader(have: sc.pipeline.Run) -> sc.Reader:
    """The run's Reader. Raises Unavailable when its CLIP cannot be had here, InputError when it does not fit."""
    return _reader(tuple(sorted(have.keys.items())), have)


@st.cache_resource(max_entries=2, show_spinner="Opening CLIP, the dictionary and the embeddings …")
def _reader(keys: tuple[tuple[str, str], ...], _have: sc.pipeline.Run) -> sc.Reader:
    config = _have.config
    embeddings = {domain: load.embeddings(_have, domain) for domain in config.data}
    encoder = latents.towers().of(next(iter(embeddings.values())).encoder)
    opened = sc.Reader(
        encoder,
        load.sae(_have),
        load.activations(_have),
        embeddings,
        {domain: load.manifest(_have, domain) for domain in config.data},
        config.evaluate.templates,
        config.evaluate.class_names,
        config.train_domains,
    )
    # What is made at the first use is made before the first stroke waits for it: the labels' texts, the norms of the embeddings.
    opened.nearest(opened.read(Image.new("RGB", (encoder.image_size, encoder.image_size), "white")), 1)
    return opened


def read(have: sc.pipeline.Run, sheet: Sheet) -> sc.Reading:
    """The run's reading of a sheet; each is read once."""
    known: dict[tuple[str, str], sc.Reading] = st.session_state.setdefault(_READ, {})
    key = (have.keys["collect"], sheet.key)
    if key not in known:
        known[key] = reader(have).read(sheet.image)
    known[key] = known.pop(key)  # the last one read is the last one dropped
    while len(known) > KEPT:
        del known[next(iter(known))]
    return known[key]
