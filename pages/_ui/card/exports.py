"""A latent's card to take away: a picture, a table, everything as JSON."""

from __future__ import annotations

import json

import streamlit as st

import sae_core as sc
from pages._ui import latents
from pages._ui.bits import csv, download


def downloads(have: sc.pipeline.Run, card: sc.Card) -> None:
    """Buttons; each file is made when its button is pressed."""
    manifests = latents.manifests(have)
    name = f"latent_{card.latent:04d}"
    line = st.container(horizontal=True)
    download(line, "PNG", lambda: sc.card_png(card, manifests), f"{name}.png")
    download(line, "CSV", lambda: csv(card.table(manifests)), f"{name}.csv")
    download(line, "JSON", lambda: json.dumps(card.to_json(manifests), indent=1).encode(), f"{name}.json")
