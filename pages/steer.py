"""Steer: turn latents of one image up or down and see, beside random directions of the same size, what that changes."""

from __future__ import annotations

import shlex
from typing import Any

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import guard, latents, load, steer_view, steering
from pages._ui.bits import download
from pages._ui.page import errors_shown, page
from pages._ui.reproduce import commands, reproduce
from pages._ui.session import cache_folder
from pages._ui.steering import STEP, Slider
from pages._ui.text import plain
from pages._ui.thumbs import gallery

QUESTION = (
    "What does a latent *do*? Move a slider: the image's embedding moves along the latent's direction. An effect counts only "
    "beyond what random directions of the same length do; only 10 to 15 % of CLIP features steer, so expect many that do not."
)
PER_PAGE, STRONGEST = 24, 6
KEEP = "On: the edit is added to the image's own embedding. Off: it starts from the dictionary's reconstruction."
OPS: dict[steering.Op, str] = {"clamp": "set to", "add": "add", "ablate": "switch off"}


def choose_image(have: sc.pipeline.Run) -> tuple[str, int, int]:
    """Domain, image and its row in the activation store."""
    acts = load.activations(have)
    domain = acts.domains[0]
    if len(acts.domains) > 1:
        kept = st.session_state.get("steer-domain", domain)
        if kept not in acts.domains:
            del st.session_state["steer-domain"]
        domain = (
            st.segmented_control(
                "Domain", acts.domains, default=domain, required=True, key="steer-domain", persist_state="session"
            )
            or domain
        )
    own = acts.images[acts.images["domain"] == domain]
    manifest = load.manifest(have, domain)
    remembered = ("_steer_image", have.keys["collect"], domain)
    image = st.session_state.get(str(remembered))
    if image is None or not (own["image"] == image).any():
        tests = own[own["split"] == "test"]
        image = int((tests if len(tests) else own)["image"].iloc[0])
    with st.expander("Choose an image", icon=":material/image_search:", key="steer-picker", on_change="rerun") as picker:
        if picker.open:
            clicked = _pick(have, own, domain, manifest, int(image))
            if clicked is not None:
                st.session_state[str(remembered)] = clicked
                st.rerun()
    return domain, int(image), int(own.loc[own["image"] == image, "row"].iloc[0])


def _pick(have: sc.pipeline.Run, own: pd.DataFrame, domain: str, manifest: sc.Manifest, image: int) -> int | None:
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


def added_latents(have: sc.pipeline.Run) -> list[int]:
    """Latents that the visitor asked for beside the image's own, by link or by the box."""
    added: list[int] = st.session_state.setdefault(f"_steer_added-{have.keys['collect']}", [])
    alive = set(load.activations(have).alive().tolist())
    asked = steering.latent_of(st.query_params.get("latent", ""), alive)
    if asked is not None and asked not in added:
        added.insert(0, asked)
    named = load.names(have).table
    options = [f"{row.latent} · {row.label}" for row in named[named["status"] == "ok"].itertuples()]
    box = st.selectbox(
        "Add a latent",
        options,
        index=None,
        key="steer-add",
        accept_new_options=True,
        placeholder="a name, or any latent's number",
    )
    if box:
        latent = steering.latent_of(box, alive)
        if latent is None:
            st.warning(plain(f"{box[:60]} is no latent that fires; type a latent's number."))
        elif latent not in added:
            added.insert(0, latent)
    return added


def controls(row: int, controlled: list[Slider], start: list[int]) -> list[sc.Edit]:
    """A slider for each latent, in units of its own maximum; the edits they mean. The latent in `start` begins at 2."""
    edits = []
    for one in controlled:
        key = f"steer-{row}-{one.latent}"
        said, what = st.columns([5, 3], vertical_alignment="bottom")
        said.markdown(f"**{plain(one.title)}**  \n:small[here {one.rest:.2f} × its maximum {one.maximum:.2f}]")
        op = what.selectbox("What to do", list(OPS), format_func=OPS.__getitem__, key=f"{key}-op", label_visibility="collapsed")
        low, rest = (-2.0, 0.0) if op == "add" else (0.0, one.rest)
        first = 2.0 if one.latent in start and op == "clamp" else rest
        high = max(4.0, rest)
        strength = st.slider(
            f"{one.title} × maximum",
            low,
            high,
            min(first, high),
            STEP,
            format="%.2f ×",
            key=f"{key}-{op}",
            disabled=op == "ablate",
            label_visibility="collapsed",
        )
        edit = one.edit(op, strength)
        if edit is not None:
            edits.append(edit)
    return edits


def reset(row: int, controlled: list[Slider]) -> None:
    """Every slider back to where the image stands."""
    for one in controlled:
        st.session_state[f"steer-{row}-{one.latent}-op"] = "clamp"
        st.session_state[f"steer-{row}-{one.latent}-clamp"] = one.rest
        st.session_state[f"steer-{row}-{one.latent}-add"] = 0.0


def take_away(run: sc.pipeline.Recorded, done: Any, domain: str, image: int) -> None:
    """The recipe, and the command that does the same."""
    download(st, "Download the recipe", done.recipe.to_json(), "recipe.json")
    shell, _ = commands("steer", run.id, cache_folder())
    pairs = " ".join(f"--set {shlex.quote(pair)}" for pair in steering.overrides(domain, image, done.recipe))
    with st.expander("This very edit from the command line", icon=":material/terminal:"):
        st.code(f"{shell} {pairs}", language="bash", wrap_lines=True)


@st.fragment
def bench(run: sc.pipeline.Recorded, have: sc.pipeline.Run, domain: str, image: int, row: int) -> None:
    """Sliders and what they do. A fragment: a move of a slider runs this part only."""
    with errors_shown():
        # In this order on a phone too, where columns stand below each other: the labels are seen right above the sliders.
        image_side, label_side = st.columns([2, 3], gap="large")
        slider_side, curve_side = st.columns([2, 3], gap="large")
        with image_side:
            picture = [latents.of_image(have, domain, image)]
            with st.container(width=200):
                gallery(picture, key="steer-image", clickable=False, side=160, title="The image that is steered")
            added = added_latents(have)
            start = added[:1] or [steering.default(have, row)]
            controlled = steering.sliders(have, row, STRONGEST, [*added, *start])
            keep_error = st.toggle("Keep the reconstruction error", True, key="steer-keep", help=KEEP)
            renormalise = st.toggle("Keep the embedding's length", False, key="steer-norm", help="Scale the result to its norm.")
            st.button("Reset the sliders", icon=":material/restart_alt:", on_click=reset, args=(row, controlled))
        with slider_side:
            edits = controls(row, controlled, start)
        done = steering.steered(have, row, steering.recipe(have, row, edits, keep_error, renormalise))
        with label_side:
            if not edits:
                st.info("No latent is edited. Move a slider.")
            steer_view.outcome(done)
        with curve_side:
            steer_view.curves(done, have.config.steer.random_directions)
        steer_view.nearest(have, done)
        steer_view.collateral(done)
        take_away(run, done, domain, image)


with page("Steer", QUESTION):
    chosen_run, made = guard.require("interpret", "It would turn the latents of an image up and down.")
    chosen_domain, chosen_image, chosen_row = choose_image(made)
    bench(chosen_run, made, chosen_domain, chosen_image, chosen_row)
    reproduce("steer", chosen_run)
