"""The controls of the sweep page: a grid of settings, every combination of which is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import data_form, guard, public, sae_form, session

DICTIONARIES = tuple(name for name, kind in sae_form.KINDS.items() if not kind.control)
CONTROLS = tuple(name for name, kind in sae_form.KINDS.items() if kind.control and name != "splice")
DEMO_GRID: dict[str, Any] = {"architecture": ["topk", "batch_topk", "pca"], "k": [4, 8, 16, 32]}
_HERE = "as the run shown in the sidebar"


def demo() -> sc.RunConfig:
    """The sweep that an empty page offers: the demo's data, and its dictionary at four levels of sparsity in two ways and PCA."""
    raw = guard.demo_config().model_dump(mode="json")
    return sc.config.validate(sc.RunConfig, {**raw, "sweep": DEMO_GRID}, "demo sweep")


def bases() -> dict[str, Path | sc.RunConfig]:
    """What a sweep can begin from: the run in the sidebar, and the presets."""
    run = session.current_run()
    here: dict[str, Path | sc.RunConfig] = {}
    if run is not None and data_form.may_begin(run.config):
        here[_HERE] = run.config
    return {**here, **data_form.presets()}


def controls() -> dict[str, Any]:
    """Draw every control; returns the configuration with its sweep as plain values, not validated yet."""
    public.limits()
    files = bases()
    left, right = st.columns(2)
    name = left.selectbox(
        "Data, CLIP and training",
        list(files),
        key="sweep-base",
        persist_state="session",
        help="Where every setting below starts. What the grid does not list stays as it is there.",
    )
    start = files[name]
    base = (start if isinstance(start, sc.RunConfig) else sc.load_config(start)).model_dump(mode="json")
    run = session.current_run()
    key = f"sweep-{run.id if name == _HERE and run is not None else name}"
    base["name"] = right.text_input("Name of the sweep", base["name"], key=f"{key}-name", persist_state="session")
    data_form.controls(base, key, "run" if name == _HERE else "preset")
    base["sae"]["domains"] = data_form.domains_trained_on(base, key)
    with st.container(border=True):
        st.markdown("**Grid**: every combination of these is trained")
        base["sweep"] = _grid(base["sae"], key)
        st.markdown("**All of them**")
        base["sae"] |= sae_form.length(base["sae"], key, of_sweep=True)
    return base


def _grid(sae: dict[str, Any], key: str) -> dict[str, Any]:
    kind, level = sae["architecture"]["kind"], sae_form.level_of(sae["architecture"])
    known = kind if kind in DICTIONARIES else "topk"
    kinds = [
        *_kinds("Dictionaries", DICTIONARIES, list(dict.fromkeys((known, "batch_topk"))), f"{key}-dictionaries"),
        *_kinds("Controls", CONTROLS, ["pca"], f"{key}-controls"),
    ]
    left, right = st.columns(2)
    grid: dict[str, Any] = {"architecture": kinds}
    if set(kinds) - {"relu_l1", "kmeans"}:
        levels = [max(1, level // 4), max(1, level // 2), level, 2 * level]
        about = "Latents that fire on an image: k, or the L0 that Gated and JumpReLU are steered to, or PCA's components."
        grid["k"] = _values(left, "k", levels, (4, 8, 16, 32, 64, 128), f"{key}-k", about)
    if "relu_l1" in kinds:
        about = "ReLU + L1 only: the weight of the penalty; more is sparser."
        first = sae["architecture"].get("l1") or 0.001
        grid["l1"] = _values(right, "L1 coefficient", [first], (0.0003, 0.001, 0.003, 0.01), f"{key}-l1", about)
    first, second, third = st.columns(3)
    grid["width"] = _values(
        first, "Width", [sae["width"]], (256, 512, 1024, 2048, 4096, 8192), f"{key}-width", "Latents of the dictionary."
    )
    grid["seed"] = _values(
        second, "Seed", [sae["seed"]], (0, 1, 2, 3, 4), f"{key}-seed", "Of the first weights; several show how far chance goes."
    )
    rates = [] if sae["lr"] is None else [sae["lr"]]
    about = "Empty: the recipe's rate for each width."
    grid["lr"] = _values(third, "Learning rate", rates, (0.0005, 0.001, 0.002, 0.004), f"{key}-lr", about, empty="auto")
    # A list that says no more than the base does is none: the same sweep is then the same work.
    same = {"width": [sae["width"]], "seed": [sae["seed"]], "lr": rates}
    return {name: values for name, values in grid.items() if values != same.get(name)}


def _kinds(label: str, kinds: tuple[str, ...], default: list[str], key: str) -> list[str]:
    chosen = st.pills(
        label,
        kinds,
        selection_mode="multi",
        default=default,
        format_func=lambda kind: sae_form.KINDS[kind].label,
        key=key,
        persist_state="session",
    )
    return [kind for kind in kinds if kind in chosen]


def _values(
    place: Any, label: str, default: list[Any], offered: tuple[Any, ...], key: str, help: str, empty: str = "type a number"
) -> list[Any]:
    """A list of numbers, offered ones or typed ones, in ascending order; what is no number stays as it was typed."""
    options = [f"{value:g}" if isinstance(value, float) else str(value) for value in sorted({*default, *offered})]
    chosen = place.multiselect(
        label,
        options,
        default=[f"{value:g}" if isinstance(value, float) else str(value) for value in default],
        key=key,
        accept_new_options=True,
        persist_state="session",
        placeholder=empty,
        help=help,
    )
    found = [_number(str(text)) for text in chosen]
    return sorted(found) if all(not isinstance(value, str) for value in found) else found


def _number(text: str) -> int | float | str:
    """The number that a text is, an int where it is one."""
    for kind in (int, float):
        try:
            return kind(text.strip().replace(",", ""))
        except ValueError:
            continue
    return text
