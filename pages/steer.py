"""Steer: turn latents of one image up or down and see, beside random directions of the same size, what that changes."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import sae_core as sc
from pages._ui import guard, load
from pages._ui.page import errors_shown, page
from pages._ui.reproduce import reproduce
from pages._ui.steer import chosen, generators, layout, opened, outcome, rack, recipes, state, strip
from pages._ui.steer.chosen import Chosen
from pages._ui.text import plain

QUESTION = (
    "What does a latent *do*? Move a slider: the image's embedding moves along the latent's direction. An effect counts only "
    "beyond what random directions of the same length do; only 10 to 15 % of CLIP features steer, so expect many that do not."
)
KEEP = "On: the edit is added to the image's own embedding. Off: it starts from the dictionary's reconstruction."
NORM = "Scale the result to the length of the image's embedding."
CONTROL = "What labels, nearest images and changed latents are of. Without an edit nothing may change; a random direction "
CONTROL += "as long as the edit shows what any push would do."


def settings(have: sc.pipeline.Run) -> str:
    """The switches: what is shown, and how the edit is made. Returns the control that is shown."""
    picked = st.segmented_control(
        "Shown",
        list(outcome.CONTROLS),
        default="edited",
        required=True,
        format_func=outcome.CONTROLS.__getitem__,
        key=state.CONTROL,
        help=CONTROL,
        wrap=True,  # else the last choice is cut off in a narrow column
    )
    st.session_state.setdefault(state.KEEP, True)  # not as a default of the toggle: a recipe that is loaded sets it too
    st.session_state.setdefault(state.NORM, False)
    st.toggle("Keep the reconstruction error", key=state.KEEP, help=KEEP, on_change=_own, args=(have,))
    st.toggle("Keep the embedding's length", key=state.NORM, help=NORM, on_change=_own, args=(have,))
    return picked or "edited"


def _own(have: sc.pipeline.Run) -> None:
    """A recipe that was loaded is one's own from the first change on."""
    state.moves(have).loaded = None


def wanted(have: sc.pipeline.Run, image: Chosen, controlled: list[state.Slider], first: int | None) -> sc.Recipe:
    """The recipe that the page's controls mean; a loaded one is taken as it is."""
    loaded = state.moves(have).loaded
    if loaded is not None:
        return loaded
    edits = rack.edits(have, controlled, first)
    return opened.recipe(have, image.sha256, edits, bool(st.session_state[state.KEEP]), bool(st.session_state[state.NORM]))


@st.fragment
def bench(run: sc.pipeline.Recorded, have: sc.pipeline.Run) -> None:
    """What is steered, the sliders and what they do. A fragment: a move of a slider runs this part only."""
    with errors_shown():
        seq = state.generation()
        recipes.from_link(have)
        rack.from_link(have)
        image_side, label_side, slider_side, other_side = layout.four()
        with image_side:
            source, paper = st.container(), st.container()
        with errors_shown():  # whatever is wrong with a picture, the paper stays
            image = chosen.choose(have, source)
            if image is not None:
                _steer(run, have, image, (image_side, label_side, slider_side, other_side), seq)
        chosen.paper(have, paper)


def _steer(
    run: sc.pipeline.Recorded,
    have: sc.pipeline.Run,
    image: Chosen,
    places: tuple[DeltaGenerator, DeltaGenerator, DeltaGenerator, DeltaGenerator],
    seq: int,
) -> None:
    """The image, its sliders, and what they do to it, in the places for image, labels, sliders and the rest."""
    first, why = (None, "") if state.moves(have).set is not None else opened.default(have, image.subject)
    st.session_state[state.FIRST] = first
    with places[0]:
        chosen.show(image)
    with places[2]:
        rows, more = st.container(), st.container()
        with more:  # read first, for what is added gets a row
            rack.add(have)
            rack.add_steering(run, have)
            control = settings(have)
        controlled = rack.sliders(have, image, first)
        with rows:
            rack.controls(have, controlled, first)
        line = st.container(horizontal=True)
        line.button("Reset the sliders", icon=":material/restart_alt:", on_click=rack.reset, args=(have,))
        with line:
            recipes.box(run, have)
        recipes.said()
    recipe = wanted(have, image, controlled, first)
    results(run, have, image, recipe, control, (places[1], places[3]), why, seq)


def results(
    run: sc.pipeline.Recorded,
    have: sc.pipeline.Run,
    image: Chosen,
    recipe: sc.Recipe,
    control: str,
    places: tuple[DeltaGenerator, DeltaGenerator],
    why: str,
    seq: int,
) -> None:
    """Everything the recipe does to the image, each part with the values it is of."""
    done = opened.steered(have, image.subject, recipe, control)
    about = outcome.said(recipe, load.names(have), control)
    labels_place, others_place = places
    with labels_place:
        if why:
            st.caption(plain(f"Nobody has moved a slider yet: turned up is {why}."))
        elif not recipe.edits:
            st.info("No latent is edited. Move a slider.")
        outcome.verdict(done)
        drawn = generators.before_and_after(have, image, recipe, control, about)
        outcome.show([*drawn, *outcome.labels(done, about)], "steer-labels", seq)
    with others_place:
        outcome.show(outcome.nearest(have, done, about), "steer-others", seq)
        outcome.curves(done, have.config.steer.random_directions)
    strip.show(have, image, recipe, state.moves(have).added[0] if state.moves(have).added else None)
    generators.panel(have, image, recipe, about)
    recipes.take_away(run, image, recipe)
    recipes.reproduce(run, have, image, recipe)


with page("Steer", QUESTION):
    chosen_run, made = guard.require("interpret", "It would turn the latents of an image up and down.")
    bench(chosen_run, made)
    reproduce("steer", chosen_run)
