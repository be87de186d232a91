"""The head of a latent's card: which latent, the way to others, its name and verdict, how often it fires."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

import sae_core as sc
from pages._ui import latents, load
from pages._ui.bits import number
from pages._ui.card.copy_link import copy_link
from pages._ui.geometry import one
from pages._ui.naming import said
from pages._ui.text import plain

KEY, SEEN = "latent-id", "_latent_in_url"
WORDS = {"uninterpretable": "no name", "insufficient_data": "too few images to test a name", "dead": "dead"}


def choose(acts: sc.Activations) -> tuple[int, Any]:
    """The latent of the link, or the one stepped to, and the line of buttons, for more; a bad link gets one line."""
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
    box = line.container(width=150)
    latent = int(box.number_input("Latent", 0, acts.m - 1, key=KEY, help="Its number in the dictionary"))
    alive = acts.alive()
    before, after = alive[alive < latent], alive[alive > latent]
    _step(line, "Previous", "chevron_left", before[-1:])
    _step(line, "Next", "chevron_right", after[:1])
    _step(line, "Surprise me", "casino", alive)
    st.session_state[SEEN] = st.query_params["latent"] = str(latent)
    with line.container(width="content"):
        copy_link(latents.link(latent))
    if latent in alive:
        line.page_link("pages/steer.py", label="Open in Steer", icon=":material/tune:", query_params=latents.link(latent))
    return latent, line


def _step(place: Any, label: str, icon: str, candidates: NDArray[np.int64]) -> None:
    """A button to one of the candidates, all of them latents that fire."""
    dead_end = not len(candidates)
    place.button(label, icon=f":material/{icon}:", disabled=dead_end, on_click=_go, args=(candidates,))


def _go(candidates: NDArray[np.int64]) -> None:
    st.session_state[KEY] = int(np.random.default_rng().choice(candidates))


def heading(have: sc.pipeline.Run, card: sc.Card) -> None:
    """Name, score, verdict, and how often it fires."""
    label = latents.label(have, card.latent)
    st.subheader(f"Latent {card.latent}" + (f": {plain(label)}" if label else ""), anchor=False)
    _manual_line(have, card)
    if card.name is not None:
        _name_line(card.name, load.names(have).about)
    strokes = one.line(have, card.latent)
    if strokes:
        st.markdown(strokes)
    stats = card.stats
    line = st.container(horizontal=True, gap="medium")
    domains = load.activations(have).domains
    cells = [line.container(width="content") for _ in range(2 + len(domains))]
    number(cells[0], "Fires on", f"{int(stats['count']):,} images", f"{100 * stats['rate']:.2f} % of {card.rows:,}")
    number(cells[1], "Largest activation", f"{stats['max']:.2f}", f"mean {stats['mean']:.2f} where it fires")
    for cell, domain in zip(cells[2:], domains, strict=True):
        counted = int(stats[f"{domain}.count"])
        below = f"{counted:,} images, up to {stats[f'{domain}.max']:.2f}"
        number(cell, f"of {plain(domain)}", f"{100 * stats[f'{domain}.rate']:.2f} %", below)


def _manual_line(have: sc.pipeline.Run, card: sc.Card) -> None:
    own = said.legible(have.id).get(card.latent)
    if own is not None:
        machine = f" The machine's name: {plain(card.label)}." if card.label else ""
        st.markdown(f":violet-badge[by hand] Called so by {plain(own.author)}, {plain(own.time[:10])}.{machine}")


def _name_line(record: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    if record["status"] == "ok":
        what = sc.score_words(about)[0]
        score = (
            f"predicts held-out images with {what} **{record['score']:.2f}** [{record['ci_low']:.2f}, {record['ci_high']:.2f}]"
        )
        if sc.method_of(about) == "vision":
            st.markdown(f":green-badge[named] The name, given by {plain(record['model_served'])}, {score}.")
            return
        near = f", against near misses {record['near_miss_auroc']:.2f}" if pd.notna(record["near_miss_auroc"]) else ""
        n = f"n = {record['positives']} that fire it, {record['negatives']} that do not"
        st.markdown(f":green-badge[named] The name {score}{near}; permutation p = {record['p']:.2g}; {n}.")
        return
    nearest = f" Nearest word: {plain(record['candidate'])}." if record["candidate"] else ""
    st.markdown(f":gray-badge[{WORDS.get(record['status'], plain(record['status']))}] {plain(record['reason'])}.{nearest}")
