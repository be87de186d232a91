"""The controls of a dictionary: its architecture, what that architecture has to be told, and how long it learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

import sae_core as sc


@dataclass(frozen=True)
class Kind:
    """An architecture as the pages name it; a control is what dictionaries are compared with."""

    label: str
    about: str
    control: bool = False


KINDS = {
    "topk": Kind("TopK", "The k largest pre-activations of an image fire."),
    "batch_topk": Kind("BatchTopK", "k latents an image on average: a rich image may use more, a plain one fewer."),
    "matryoshka": Kind("Matryoshka", "BatchTopK whose first latents must rebuild alone, so that they stay general."),
    "relu_l1": Kind("ReLU + L1", "Every positive pre-activation fires; a penalty on their sum keeps them few."),
    "gated": Kind("Gated", "A gate says which latents fire, a magnitude how much; the penalty follows the L0 asked for."),
    "jumprelu": Kind("JumpReLU", "A latent fires above a threshold that it learns; the penalty follows the L0 asked for."),
    "random": Kind(
        "Random directions", "TopK over directions that are never trained: what a dictionary gains by learning.", True
    ),
    "pca": Kind("PCA", "The first principal axes, computed: the best that few fixed directions can do.", True),
    "kmeans": Kind("k-means", "One latent an image, the nearest centre, computed; the width is the number of centres.", True),
    "splice": Kind("SpLiCE", "Sums of few words as CLIP's text tower knows them; nothing is learned.", True),
}
FITTED = ("pca", "kmeans", "splice")
"""Controls that are computed: no steps, no batch, no learning rate."""
LENGTHS = {"recipe": "As the recipe says", "epochs": "Epochs", "steps": "Steps", "seconds": "Time budget"}


def label_of(kind: str) -> str:
    """An architecture in a list where dictionaries and controls stand together."""
    return f"Control: {KINDS[kind].label}" if KINDS[kind].control else KINDS[kind].label


def level_of(architecture: dict[str, Any]) -> int:
    """About how many latents an architecture lets fire; 32 where it does not say."""
    found = architecture.get("k") or architecture.get("l0") or architecture.get("components")
    return max(1, round(found or 32))


def controls(sae: dict[str, Any], key: str) -> dict[str, Any]:
    """Draw the controls that the chosen architecture has; returns the settings of `sae` that they spell out."""
    places = iter(st.columns(4))
    kind = next(places).selectbox(
        "Architecture",
        list(KINDS),
        index=list(KINDS).index(sae["architecture"]["kind"]),
        key=f"{key}-kind",
        format_func=label_of,
        persist_state="session",
    )
    known = sae["architecture"] if sae["architecture"]["kind"] == kind else {"kind": kind}
    said: dict[str, Any] = {"architecture": {**known, **_sparsity(kind, known, level_of(sae["architecture"]), places, key)}}
    if kind not in ("pca", "splice"):
        about = "How many centres." if kind == "kmeans" else "How many latents the dictionary has."
        said["width"] = int(_number(next(places), "Width", sae["width"], f"{key}-width", min_value=2, step=256, help=about))
        said["seed"] = int(_number(next(places), "Seed", sae["seed"], f"{key}-seed", min_value=0))
    st.caption(KINDS[kind].about)
    if kind == "matryoshka":
        said["architecture"]["groups"] = _groups(known, said["width"], key)
    if kind not in FITTED:
        said |= length(sae, key)
    return said


def _sparsity(kind: str, known: dict[str, Any], level: int, places: Any, key: str) -> dict[str, Any]:
    if kind == "kmeans":
        return {}
    if kind == "relu_l1" or known.get("l1") is not None:  # a gate whose penalty is fixed has one too
        place = next(places)
        l1 = _number(
            place, "L1 coefficient", known.get("l1", 0.001), f"{key}-l1", min_value=0.0, format="%.5f", help="More is sparser."
        )
        return {"l1": float(l1)}
    if kind in ("gated", "jumprelu"):
        about = "Latents that shall fire on an image, on average."
        value = float(known.get("l0") or level)
        return {"l0": float(_number(next(places), "L0", value, f"{key}-l0", min_value=0.1, step=1.0, format="%.1f", help=about))}
    name, label = ("components", "Components") if kind == "pca" else ("k", "k")
    meanings = {"pca": "How many axes; each is two latents.", "splice": "Words that may make up an image."}
    help = meanings.get(kind, "Latents that may fire on an image.")
    return {name: int(_number(next(places), label, known.get(name) or level, f"{key}-{name}", min_value=1, help=help))}


def _groups(known: dict[str, Any], width: int, key: str) -> list[Any]:
    shares = known.get("groups") or sc.config.Matryoshka().groups
    text = st.text_input(
        "Groups",
        ", ".join(f"{share:g}" for share in shares),
        key=f"{key}-groups",
        persist_state="session",
        help="Shares of the dictionary, which sum to 1: each group and all before it must rebuild alone.",
    )
    found = [_share(part.strip()) for part in text.split(",") if part.strip()]
    try:
        sizes = sc.config.validate(sc.config.Matryoshka, {"groups": found}, "groups").sizes(width)
        st.caption(f"{' + '.join(f'{size:,}' for size in sizes)} latents")
    except sc.InputError:
        pass  # the form's own check says what is wrong, once
    return found


def _share(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def length(sae: dict[str, Any], key: str, of_sweep: bool = False) -> dict[str, Any]:
    """Draw how long it learns, in what batches and how fast. A sweep has no budget of time, and its grid says the rates."""
    first, second, third, fourth = st.columns(4)
    ways = [way for way in LENGTHS if not (of_sweep and way == "seconds")]
    way = first.selectbox(
        "How long",
        ways,
        index=ways.index(next((way for way in ways if sae.get(way) is not None), "recipe")),
        format_func=LENGTHS.__getitem__,
        key=f"{key}-length",
        persist_state="session",
    )
    said: dict[str, Any] = {"epochs": None, "steps": None, "seconds": None}
    if way == "epochs":
        said["epochs"] = float(_number(second, "Epochs", float(sae["epochs"] or 5.0), f"{key}-epochs", min_value=0.0, step=1.0))
    elif way == "steps":
        said["steps"] = int(_number(second, "Steps", sae["steps"] or 1000, f"{key}-steps", min_value=1, step=100))
    elif way == "seconds":
        about = "As many steps as this machine does in that time, measured before the first; another machine does another number."
        value = float(sae["seconds"] or 60.0)
        said["seconds"] = float(
            _number(second, "Seconds", value, f"{key}-seconds", min_value=1.0, step=10.0, format="%.0f", help=about)
        )
    else:
        second.text_input("Steps", "by rows and width", disabled=True, key=f"{key}-recipe-steps")
    said["batch_size"] = int(_number(third, "Batch", sae["batch_size"], f"{key}-batch", min_value=1, step=64))
    if not of_sweep:
        rate = _number(
            fourth,
            "Learning rate",
            sae["lr"],
            f"{key}-lr",
            min_value=0.0,
            max_value=1.0,
            format="%.5f",
            step=0.0005,
            placeholder="auto",
            help="Empty: the recipe's rate for this width and these steps.",
        )
        said["lr"] = None if rate is None else float(rate)
    return said


def _number(place: Any, label: str, value: Any, key: str, **more: Any) -> Any:
    return place.number_input(label, value=value, key=key, persist_state="session", **more)
