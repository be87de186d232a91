"""What a visitor has set: moves of latents by number. They stay from image to image, and on the way to another page and back.

Sliders are views of the moves: each run writes into a slider only what it does not hold already, so that a run never pulls back
a slider that is being dragged. A recipe that was loaded counts as it is, to the last digit, until something is moved.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import streamlit as st

import sae_core as sc

Op = Literal["clamp", "add", "ablate"]
STEP = 0.05
START = 2.0
"""Where the latent that is turned up first begins."""
KEEP, NORM, CONTROL = "steer-keep", "steer-norm", "steer-control"
FIRST = "_steer_first"
"""The latent that stands turned up while nobody has moved any."""


@dataclass(frozen=True)
class Slider:
    """One latent's control. Strengths are multiples of `maximum`, its largest activation on training images.

    `rest` is where the image itself stands: a slider that sets the latent edits nothing there.
    """

    latent: int
    name: str | None
    maximum: float
    rest: float

    @property
    def title(self) -> str:
        """`latent 12: spiral`."""
        return f"latent {self.latent}" + (f": {self.name}" if self.name else "")

    def edit(self, op: Op, strength: float) -> sc.Edit | None:
        """The edit that a position means; None where it changes nothing."""
        if op == "ablate":
            return sc.Edit(latent=self.latent, op="ablate") if self.rest > 0 else None
        if op == "add":
            return sc.Edit(latent=self.latent, op="add", value=strength * self.maximum) if strength else None
        moved = abs(strength - self.rest) > STEP / 2
        return sc.Edit(latent=self.latent, op="clamp", value=strength) if moved else None


@dataclass
class Moves:
    """What is set of one run's latents.

    Attributes:
        set: operation and strength by latent, in the order they were first touched; None while nobody has touched anything.
        added: latents that were asked for beside the image's own, the last one first.
        loaded: a recipe that counts as it is, until something is moved.
    """

    set: dict[int, tuple[Op, float]] | None = None
    added: list[int] = field(default_factory=list)
    loaded: sc.Recipe | None = None

    def move(self, latent: int, op: Op, strength: float) -> None:
        """Set a latent."""
        self.set = {**(self.set or {}), latent: (op, strength)}
        self.loaded = None

    def add(self, latent: int) -> None:
        """Give a latent a slider, above the others."""
        if latent not in self.added:
            self.added.insert(0, latent)


def moves(have: sc.pipeline.Run) -> Moves:
    """What is set of this run's dictionary in this visit."""
    found: Moves = st.session_state.setdefault(f"_steer_moves-{have.keys['collect']}", Moves())
    return found


def view(key: str, value: object) -> None:
    """Have a widget show a value; a widget that shows it already is left alone."""
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value


def take(have: sc.pipeline.Run, recipe: sc.Recipe, maxima: dict[int, float]) -> None:
    """Load a recipe: it counts as it is, and the sliders stand where it says (strengths in units of each latent's maximum)."""
    state = moves(have)
    state.set = {}
    for edit in recipe.edits:  # of several on one latent the last one stands, in the place of the first
        unit = recipe.maxima.get(edit.latent, maxima[edit.latent])
        match edit.op:
            case "ablate":
                state.set[edit.latent] = ("ablate", 0.0)
            case "clamp":
                state.set[edit.latent] = ("clamp", edit.value)
            case "set":
                state.set[edit.latent] = ("clamp", edit.value / unit)
            case "add":
                state.set[edit.latent] = ("add", edit.value / unit)
        state.add(edit.latent)
    state.loaded = recipe
    st.session_state[KEEP], st.session_state[NORM] = recipe.keep_error, recipe.renormalise


def generation() -> int:
    """The number of this run of the page's results, growing: a result carries the one it was made in."""
    st.session_state["_steer_generation"] = st.session_state.get("_steer_generation", 0) + 1
    return int(st.session_state["_steer_generation"])
