"""Latents as the pages show them: one table of all, their pictures, their neighbours, and the way to a latent's own page."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

import sae_core as sc
from pages._ui import load, session, theme
from pages._ui.thumbs import Thumb

PAGE = "pages/latent.py"


def table(have: sc.pipeline.Run) -> pd.DataFrame:
    """Every latent of the run, one row each, read-only.

    Columns: latent, count, rate, max, mean, sum, `<domain>.count/.rate/.max`, group (`shared`, `<domain> only`, `dead`), and,
    where the run has names, name, status, score, ci_low, ci_high.
    """
    names = have.outcomes.get("interpret")
    return _table(have.outcomes["collect"].key, names.key if names else "", have)


@st.cache_data(max_entries=8, show_spinner=False)
def _table(activations: str, names: str, _have: sc.pipeline.Run) -> pd.DataFrame:
    acts = load.activations(_have)
    found = acts.stats.copy()
    found["group"] = groups(found, images_of(acts))
    found["name"] = None
    if names:
        named = load.names(_have).table.set_index("latent")
        columns = ["status", "score", "ci_low", "ci_high"]
        found = found.join(named[columns], on="latent")
        labels = named.loc[named["status"] == "ok", "label"].to_dict()
        found["name"] = pd.Series([labels.get(latent) for latent in found["latent"]], index=found.index, dtype=object)
    return found


def images_of(acts: sc.Activations) -> dict[str, int]:
    """Images of each domain, in the order of the activations."""
    counted = acts.images["domain"].value_counts()
    return {domain: int(counted[domain]) for domain in acts.domains}


def groups(stats: pd.DataFrame, n: Mapping[str, int]) -> list[str]:
    """Whose each latent is: `<d> only` where it is d's own against every other domain, `dead`, else `shared`.

    Args:
        stats: columns `latent`, `count` and `<domain>.count`.
        n: images of each domain; see `sc.domain_shift` for when a latent is one domain's own.
    """
    found = np.where(stats["count"] == 0, "dead", "shared").astype(object)
    for domain in n:
        tabs = [sc.domain_shift(stats, n, domain, other)["tab"] for other in n if other != domain]
        if tabs:
            found[np.logical_and.reduce([tab == f"{domain} only" for tab in tabs])] = f"{domain} only"
    return [str(one) for one in found]


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
    manifest = load.manifest(have, domain)
    label = int(manifest.labels[image])
    if label >= 0 and manifest.classes:
        return str(manifest.classes[label])
    said = manifest.table["caption"].iat[image]
    return str(said if isinstance(said, str) else manifest.table["file"].iat[image])


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


def link(latent: int) -> dict[str, str]:
    """The query parameters of a page that shows this latent of the visitor's run."""
    return {**session.link(), "latent": str(latent)}


# ---------------------------------------------------------------- relations


def decoder_neighbours(have: sc.pipeline.Run, latent: int, count: int) -> pd.DataFrame:
    """The latents whose decoder rows point most alike: latent, cosine in [-1, 1]; without the latent itself and the dead."""
    units = _unit_decoder(have.outcomes["train"].key, have)
    cosines = units @ units[latent]
    cosines[latent] = -np.inf
    alive = load.activations(have).alive()
    order = alive[np.argsort(-cosines[alive], kind="stable")][:count]
    order = order[order != latent]
    return pd.DataFrame({"latent": order, "cosine": cosines[order]})


@st.cache_resource(max_entries=4, show_spinner=False)
def _unit_decoder(key: str, _have: sc.pipeline.Run) -> NDArray[np.float32]:
    decoder: NDArray[np.float32] = np.asarray(load.sae(_have).decoder_raw, dtype=np.float32)
    units: NDArray[np.float32] = decoder / np.maximum(np.linalg.norm(decoder, axis=1, keepdims=True), 1e-12)
    return units


@st.cache_resource(show_spinner=False)
def towers() -> Any:
    """Text towers by encoder id, loaded once for all visitors."""
    return sc.Towers("auto")


def likeness(have: sc.pipeline.Run, text: str) -> NDArray[np.float32]:
    """How much each latent's direction points at a text: cos(decoder row, t - mean of our own words' t), float32 [m].

    Raises: Unavailable when the run's text tower cannot be had here.
    """
    domain = next(iter(have.config.data))
    encoder, templates = load.embeddings(have, domain).encoder, have.config.interpret.templates
    direction = _text(encoder, text, templates) - _ordinary(encoder, templates)
    cosines: NDArray[np.float32] = _unit_decoder(have.outcomes["train"].key, have) @ (direction / np.linalg.norm(direction))
    return cosines


@st.cache_resource(max_entries=64, show_spinner=False)
def _text(encoder: str, text: str, templates: tuple[str, ...]) -> Any:
    # A vocabulary has at least two words; only the first one's direction is used.
    return _texts(encoder, (text, f"not {text}"), templates)[0]


@st.cache_resource(max_entries=2, show_spinner="Embedding words …")
def _ordinary(encoder: str, templates: tuple[str, ...]) -> Any:
    return _texts(encoder, sc.builtin_words(), templates).mean(axis=0)


def _texts(encoder: str, words: tuple[str, ...], templates: tuple[str, ...]) -> Any:
    tower = towers().of(encoder)
    return sc.vocabulary_from_words("search", words, tower, templates).texts


def class_rates(have: sc.pipeline.Run, latent: int) -> pd.DataFrame:
    """How often a latent fires on each class of each domain: domain, class, n, fires, rate, lift (rate / rate of the domain)."""
    acts = load.activations(have)
    rows, values = acts.postings(latent)
    fired = acts.images.iloc[rows].assign(value=values)
    found = []
    for domain in acts.domains:
        classes = load.manifest(have, domain).classes
        labels = acts.images.loc[(acts.images["domain"] == domain) & (acts.images["label"] >= 0), "label"]
        if not classes or labels.empty:
            continue
        own = fired[(fired["domain"] == domain) & (fired["label"] >= 0)]
        n = np.bincount(labels, minlength=len(classes))
        hits = np.bincount(own["label"], minlength=len(classes))
        seen = np.flatnonzero(n)
        rate = hits[seen] / n[seen]
        overall = hits.sum() / n.sum()
        lift = rate / overall if overall else np.zeros(len(seen))
        names = [classes[c] for c in seen]
        found.append(
            pd.DataFrame({"domain": domain, "class": names, "n": n[seen], "fires": hits[seen], "rate": rate, "lift": lift})
        )
    return (
        pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["domain", "class", "n", "fires", "rate", "lift"])
    )
