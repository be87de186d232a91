"""Latent: the card of one latent, with its own link: what it fires on, how strongly, how often, what stands near it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

import sae_core as sc
from pages._ui import guard, latents, load, theme
from pages._ui.bits import csv, download, number
from pages._ui.geometry import one
from pages._ui.page import page
from pages._ui.reproduce import reproduce
from pages._ui.text import plain
from pages._ui.thumbs import gallery

QUESTION = (
    "What does this latent see? Its strongest images show its extremes, the bands below them what it fires on in general, and "
    "the silent images what it leaves out. The address bar holds the latent, so a copied link opens this card."
)
KEY, SEEN = "latent-id", "_latent_in_url"
TOP, EACH, SILENT, NEAR, CLASSES = 12, 4, 8, 8, 10


def choose(acts: sc.Activations) -> int:
    """The latent of the link, or the one stepped to; a link that names none is answered with one line."""
    asked = st.query_params.get("latent")
    if asked is not None and asked != st.session_state.get(SEEN):
        if asked.isascii() and asked.isdigit() and int(asked) < acts.m:
            st.session_state[KEY] = int(asked)
        else:
            st.error(f"There is no latent {plain(asked[:40])}: they go from 0 to {acts.m - 1}. Here is the strongest one.")
            st.session_state.pop(KEY, None)
    if not 0 <= st.session_state.get(KEY, -1) < acts.m:
        strongest = acts.strongest(1)
        st.session_state[KEY] = int(strongest[0]) if len(strongest) else 0
    line = st.container(horizontal=True, vertical_alignment="bottom")
    box = line.container(width=180)
    latent = int(box.number_input("Latent", 0, acts.m - 1, key=KEY, help="Its number in the dictionary"))
    alive = acts.alive()
    before, after = alive[alive < latent], alive[alive > latent]
    _step(line, "Previous", "chevron_left", before[-1:])
    _step(line, "Next", "chevron_right", after[:1])
    _step(line, "Surprise me", "casino", alive)
    st.session_state[SEEN] = st.query_params["latent"] = str(latent)
    return latent


def _step(place: Any, label: str, icon: str, candidates: NDArray[np.int64]) -> None:
    """A button to one of the candidates, all of them latents that fire."""
    dead_end = not len(candidates)
    place.button(label, icon=f":material/{icon}:", disabled=dead_end, on_click=_go, args=(candidates,))


def _go(candidates: NDArray[np.int64]) -> None:
    st.session_state[KEY] = int(np.random.default_rng().choice(candidates))


def heading(have: sc.pipeline.Run, latent: int) -> None:
    """Name, status, score, and how often it fires."""
    stats = load.activations(have).stats.iloc[latent]
    record = None
    if "interpret" in have.outcomes:
        found = load.names(have).table
        found = found[found["latent"] == latent]
        record = found.iloc[0] if len(found) else None
    name = record["label"] if record is not None and record["status"] == "ok" else None
    st.subheader(f"Latent {latent}" + (f": {plain(name)}" if name else ""), anchor=False)
    if record is not None:
        _name_line(record)
    strokes = one.line(have, latent)
    if strokes:
        st.markdown(strokes)
    acts = load.activations(have)
    line = st.container(horizontal=True, gap="medium")
    cells = [line.container(width="content") for _ in range(2 + len(acts.domains))]
    number(cells[0], "Fires on", f"{int(stats['count']):,} images", f"{100 * stats['rate']:.2f} % of {acts.n:,}")
    number(cells[1], "Largest activation", f"{stats['max']:.2f}", f"mean {stats['mean']:.2f} where it fires")
    for cell, domain in zip(cells[2:], acts.domains, strict=True):
        counted = int(stats[f"{domain}.count"])
        below = f"{counted:,} images, up to {stats[f'{domain}.max']:.2f}"
        number(cell, f"of {plain(domain)}", f"{100 * stats[f'{domain}.rate']:.2f} %", below)


def _name_line(record: pd.Series) -> None:
    if record["status"] == "ok":
        score = f"predicts held-out images with AUROC **{record['score']:.2f}** [{record['ci_low']:.2f}, {record['ci_high']:.2f}]"
        near = f", against near misses {record['near_miss_auroc']:.2f}" if pd.notna(record["near_miss_auroc"]) else ""
        n = f"n = {record['positives']} that fire it, {record['negatives']} that do not"
        st.markdown(f":green-badge[named] The name {score}{near}; permutation p = {record['p']:.2g}; {n}.")
        return
    words = {"uninterpretable": "no name", "insufficient_data": "too few images to test a name", "dead": "dead"}
    nearest = f" Nearest word: {plain(record['candidate'])}." if record["candidate"] else ""
    st.markdown(f":gray-badge[{words.get(record['status'], plain(record['status']))}] {plain(record['reason'])}.{nearest}")


def top_images(have: sc.pipeline.Run, latent: int) -> pd.DataFrame:
    """The strongest images, a column for each domain; what is shown, as a table."""
    acts = load.activations(have)
    found = []
    for column, domain in zip(st.columns(len(acts.domains)), acts.domains, strict=True):
        top = acts.top(latent, TOP, domain=domain)
        found.append(top)
        with column:
            st.markdown(f"**Strongest on {plain(domain)}**")
            if top.empty:
                st.caption(f"It fires on no image of {plain(domain)}.")
                continue
            thumbs = latents.of_rows(have, top["row"], top["value"], top["copies"])
            gallery(thumbs, key=f"top-{domain}", clickable=False, side=88, title=f"Strongest images of {domain}")
    st.caption("The number is the activation; ×n: n near-duplicates, shown once.")
    return pd.concat(found, ignore_index=True)


def bands(have: sc.pipeline.Run, latent: int) -> None:
    """A few images of each fifth of those it fires on, and images that leave it silent."""
    acts = load.activations(have)
    rng = np.random.default_rng(latent)  # the same examples whenever this card is opened
    st.markdown("**From every fifth of the images it fires on, strongest fifth first**")
    banded = acts.quantile_bands(latent, each=EACH, rng=rng)
    for column, (band, rows) in zip(st.columns(5), banded.groupby("band"), strict=False):
        with column:
            thumbs = latents.of_rows(have, rows["row"], rows["value"])
            gallery(thumbs, key=f"band-{band}", clickable=False, side=64, title=f"Fifth {rows['band'].iloc[0] + 1} of 5")
    st.markdown("**Random images that leave it silent**")
    silent = acts.silent(latent, SILENT, rng)
    if len(silent):
        gallery([latents.thumb(have, int(row)) for row in silent], key="silent", clickable=False, side=88, title="Silent images")
    else:
        st.caption("There are none: it fires on every image.")


def neighbours(have: sc.pipeline.Run, latent: int) -> None:
    """Latents that point the same way, and latents that fire on the same images; a click opens one."""
    close = latents.decoder_neighbours(have, latent, NEAR)
    together = load.activations(have).coactivation(latent, NEAR)
    named = latents.table(have)["name"]
    sides = (
        ("Nearest decoder directions (cosine)", "decoder", close["latent"], close["cosine"].map("{:.2f}".format)),
        ("Fire on the same images (Jaccard)", "together", together["latent"], together["jaccard"].map("{:.2f}".format)),
    )
    for column, (title, key, ids, values) in zip(st.columns(2), sides, strict=True):
        with column:
            st.markdown(f"**{title}**")
            texts = [
                f"{other} · {value}" + (f" · {latents.short(named[other])}" if isinstance(named[other], str) else "")
                for other, value in zip(ids, values, strict=True)
            ]
            thumbs = [thumb for thumb in (latents.best(have, int(i), text) for i, text in zip(ids, texts, strict=True)) if thumb]
            clicked = gallery(thumbs, key=f"near-{key}", side=88, title=title)
            if not thumbs:
                st.caption("None.")
            if clicked is not None:
                latents.open_latent(int(clicked))


def classes(have: sc.pipeline.Run, latent: int) -> None:
    """The classes it fires on most often."""
    rates = latents.class_rates(have, latent)
    if rates.empty:
        return
    st.markdown("**Classes it fires on most often**")
    formats = {
        "rate": st.column_config.ProgressColumn("fires on", format="percent", min_value=0, max_value=1),
        "lift": st.column_config.NumberColumn(format="%.1f ×"),
    }
    for column, (domain, rows) in zip(st.columns(rates["domain"].nunique()), rates.groupby("domain", sort=False), strict=True):
        best = rows[rows["fires"] > 0].sort_values(["rate", "n"], ascending=False).head(CLASSES).drop(columns="domain")
        column.caption(plain(domain))
        column.dataframe(best, hide_index=True, width="stretch", column_config=formats)
    st.caption("n: images of the class; lift: its rate over the domain's rate.")


def downloads(have: sc.pipeline.Run, latent: int, shown: pd.DataFrame) -> None:
    """The strongest images as a picture and as a table."""
    acts = load.activations(have)
    manifests = {domain: load.manifest(have, domain) for domain in acts.domains}
    name = latents.table(have)["name"].iloc[latent]
    label = name if isinstance(name, str) else None
    out = io.BytesIO()
    sc.latent_grid(acts, manifests, latent, label, acts.top(latent, 16), 4, 112).save(out, "PNG")
    files = [
        manifests[str(domain)].table["file"].iloc[image] for domain, image in zip(shown["domain"], shown["image"], strict=True)
    ]
    table = shown.assign(file=files, what=[latents.what(have, int(row)) for row in shown["row"]])
    first, second, _ = st.columns([1, 1, 2])
    download(first, "PNG of the strongest", out.getvalue(), f"latent_{latent:04d}.png")
    download(second, "CSV of the strongest", csv(table), f"latent_{latent:04d}.csv")


with page("Latent", QUESTION):
    chosen_run, made = guard.require("collect", "It would show one latent: what it fires on, how strongly, how often.")
    activations = load.activations(made)
    chosen = choose(activations)
    heading(made, chosen)
    if activations.stats["count"].iloc[chosen] == 0:
        st.info(
            f"Latent {chosen} is dead: it fires on none of the {activations.n:,} images. There is nothing to show or to steer."
        )
    else:
        on_top = top_images(made, chosen)
        histograms = {domain: activations.histogram(chosen, domain=domain) for domain in activations.domains}
        theme.show(sc.figures.histogram_by_domain(histograms, latents.colours(made), "How strongly it fires"), key="histogram")
        bands(made, chosen)
        classes(made, chosen)
        neighbours(made, chosen)
        downloads(made, chosen, on_top)
        st.page_link(
            "pages/steer.py",
            label="Steer an image along this latent",
            icon=":material/tune:",
            query_params=latents.link(chosen),
        )
    reproduce("collect", chosen_run)
