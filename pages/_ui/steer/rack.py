"""The sliders: of the image's strongest latents, of those that were asked for, of those that are known to steer."""

from __future__ import annotations

import streamlit as st

import sae_core as sc
from pages._ui import latents, load, watch
from pages._ui.steer import opened, state
from pages._ui.steer.chosen import Chosen
from pages._ui.steer.state import STEP, Op, Slider
from pages._ui.text import plain

STRONGEST = 6
MOST = 24
"""Sliders that are shown; more no page is usable with."""
OPS: dict[Op, str] = {"clamp": "set to", "add": "add", "ablate": "switch off"}
_LINKED = "_steer_latent_in_url"


def from_link(have: sc.pipeline.Run) -> None:
    """Turn up the latent of the address, and no other, once."""
    asked = st.query_params.get("latent")
    if asked is None or asked == st.session_state.get(_LINKED):
        return
    st.session_state[_LINKED] = asked
    latent = opened.latent_of(asked, set(load.activations(have).alive().tolist()))
    if latent is None:
        st.warning(f"The link names latent {plain(asked[:40])}, which fires on no image of this run or does not exist.")
        return
    moves = state.moves(have)
    moves.add(latent)
    moves.set, moves.loaded = {latent: ("clamp", state.START)}, None


def sliders(have: sc.pipeline.Run, chosen: Chosen, first: int | None) -> list[Slider]:
    """A control for each latent that was asked for or moved, for `first`, and for the image's strongest."""
    scene = opened.scene(have)
    ids, values = scene.code(chosen.subject)
    z = dict(zip(ids.tolist(), values.tolist(), strict=True))
    moves = state.moves(have)
    wanted = [*moves.added, *(moves.set or {}), *([] if first is None else [first]), *ids[:STRONGEST].tolist()]
    wanted = list(dict.fromkeys(wanted))[:MOST]
    maxima = sc.train_maxima(scene.activations, wanted)
    return [
        Slider(j, latents.label(have, j), maxima[j], round(z.get(j, 0.0) / maxima[j] / STEP) * STEP)
        for j in wanted
        if maxima[j] > 0
    ]


def add(have: sc.pipeline.Run) -> None:
    """Boxes that give a latent a slider: any, by its number or its name; or one that is known to steer."""
    alive = set(load.activations(have).alive().tolist())
    named = latents.table(have)
    named = named[named["name"].notna()]
    options = [f"{row.latent} · {row.name}" for row in named[["latent", "name"]].itertuples(index=False)]
    box = st.selectbox(
        "Add a latent",
        options,
        index=None,
        key="steer-add",
        accept_new_options=True,
        placeholder="a name, or any latent's number",
    )
    if box:
        latent = opened.latent_of(box, alive)
        if latent is None:
            st.warning(plain(f"{box[:60]} is no latent that fires; type a latent's number."))
        else:
            state.moves(have).add(latent)


def add_steering(run: sc.pipeline.Recorded, have: sc.pipeline.Run) -> None:
    """The latents that the scan calls steerable, the most effective first; without a scan the button that makes it."""
    if "scan" not in have.outcomes:
        job = watch.at_work("scan")
        if job is not None and job.active:
            st.caption(":material/hourglass_top: Which latents steer is being rated; it is said here when that is done.")
            return
        st.caption("Which latents steer has not been rated for this run.")
        st.button("Rate the latents", icon=":material/speed:", key="make-scan", on_click=_rate, args=(run,))
        return
    scan: sc.Scan = load.result(have, "scan")
    steers = scan.table[scan.table["verdict"] == "steerable"].sort_values("beyond", ascending=False, kind="stable")
    count = f"{len(steers):,} of {len(scan.table):,} are steerable; {scan.about['by_chance']:g} would look so by chance"
    if steers.empty:
        st.caption(plain(f"Of {len(scan.table):,} latents that were rated, none is steerable."))
        return
    options = [f"{r.latent} · raises {r.label} by {r.gain:.2f}" for r in steers.itertuples()]
    box = st.selectbox(
        "Latents that steer", options, index=None, key="steer-scan", placeholder="most effective first", help=count
    )
    if box:
        latent = opened.latent_of(box, set(steers["latent"].tolist()))
        if latent is not None:
            state.moves(have).add(latent)


def _rate(run: sc.pipeline.Recorded) -> None:
    try:
        watch.launch("scan", run.config, rerun=False)
    except sc.SaeLabError as error:  # a button's callback runs outside of the page's frame
        st.toast(plain(error), icon=":material/error:", duration="long")


def controls(have: sc.pipeline.Run, controlled: list[Slider], first: int | None) -> None:
    """Draw the sliders where the moves are. `first` is the latent that is turned up while nobody has moved any."""
    moves = state.moves(have)
    for one in controlled:
        key = f"steer-{have.keys['collect'][-6:]}-{one.latent}"
        op, strength = _at(moves, one, first)
        said, what = st.columns([5, 3], vertical_alignment="bottom")
        said.markdown(f"**{plain(one.title)}**  \n:small[here {one.rest:.2f} × its maximum {one.maximum:.2f}]")
        state.view(f"{key}-op", op)
        what.selectbox(
            "What to do",
            list(OPS),
            format_func=OPS.__getitem__,
            key=f"{key}-op",
            label_visibility="collapsed",
            on_change=_operation,
            args=(have, one, f"{key}-op"),
        )
        low, high = (-4.0 if op == "add" else 0.0), 4.0
        state.view(f"{key}-{op}", strength)
        st.slider(
            f"{one.title} × maximum",
            float(min(low, strength)),
            float(max(high, strength, one.rest)),
            step=STEP,
            format="%.2f ×",
            key=f"{key}-{op}",
            disabled=op == "ablate",
            label_visibility="collapsed",
            on_change=_slid,
            args=(have, one.latent, op, f"{key}-{op}"),
        )


def _at(moves: state.Moves, one: Slider, first: int | None) -> tuple[Op, float]:
    if moves.set is None:
        return ("clamp", state.START) if one.latent == first else ("clamp", one.rest)
    op, strength = moves.set.get(one.latent, ("clamp", one.rest))
    return op, one.rest if op == "ablate" else strength


def _slid(have: sc.pipeline.Run, latent: int, op: Op, key: str) -> None:
    _begin(have)
    state.moves(have).move(latent, op, float(st.session_state[key]))


def _operation(have: sc.pipeline.Run, one: Slider, key: str) -> None:
    _begin(have)
    op: Op = st.session_state[key]
    state.moves(have).move(one.latent, op, 0.0 if op == "add" else one.rest)


def _begin(have: sc.pipeline.Run) -> None:
    """What stood there while nobody had moved anything is a move like any other from now on."""
    moves, first = state.moves(have), st.session_state.get(state.FIRST)
    if moves.set is None and first is not None:
        moves.add(int(first))  # its slider stays when all are reset
        moves.move(int(first), "clamp", state.START)


def reset(have: sc.pipeline.Run) -> None:
    """Every slider back to where the image stands; what was added stays."""
    _begin(have)
    moves = state.moves(have)
    moves.set, moves.loaded = {}, None


def edits(have: sc.pipeline.Run, controlled: list[Slider], first: int | None) -> list[sc.Edit]:
    """The edits that the moves mean on this image."""
    moves = state.moves(have)
    by_latent = {one.latent: one for one in controlled}
    order = [first] if moves.set is None and first is not None else list(moves.set or {})
    found = [by_latent[j].edit(*_at(moves, by_latent[j], first)) for j in order if j in by_latent]
    return [edit for edit in found if edit is not None]
