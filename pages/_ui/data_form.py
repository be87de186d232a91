"""The controls that say which images and which CLIP, and where a form begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import session

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SOURCES = {
    "preset": "As in the preset",
    "drawn": "The drawn world",
    "folder": "Folders of images",
    "arrays": "Embeddings (.npy)",
    "hub": "Hugging Face Hub",
}
LOCAL_SOURCES = ("folder", "arrays")
MODELS = ("bundled", "ViT-B-32/openai", "ViT-B-32/laion2b_s34b_b79k", "ViT-L-14/openai", "ViT-B-16-SigLIP/webli")


def presets() -> dict[str, Path]:
    """The configurations that come with the project, the demo first; in public those within its limits."""
    files = {file.stem: file for file in sorted(CONFIGS.glob("*.yaml"), key=lambda file: (file.stem != "demo", file.stem))}
    return {name: file for name, file in files.items() if may_begin(sc.load_config(file))} if session.public() else files


def may_begin(config: sc.RunConfig) -> bool:
    """Whether a visitor may begin from this configuration: a stranger not from one that this public app would refuse."""
    if not session.public():
        return True
    try:
        sc.config.public.check(config, session.shared_configs())
    except sc.InputError:
        return False
    return True


def controls(base: dict[str, Any], key: str, origin: str = "preset") -> None:
    """Draw the controls of images and CLIP, and put what they say into `base`.

    Args:
        base: a whole configuration as plain values, which the form begins from.
        key: begins the key of every control.
        origin: what `base` is, in one word.
    """
    with st.container(border=True):
        st.markdown("**Data and CLIP**")
        base["data"] = _data(base["data"], key, origin)
        _clip(base, key)
    _forget_other_domains(base)


def domains_trained_on(base: dict[str, Any], key: str) -> list[str] | None:
    """The control that says which domains a dictionary learns from; None for all of them."""
    domains = list(base["data"])
    on = st.pills(
        "Train on",
        domains,
        selection_mode="multi",
        default=[domain for domain in base["sae"]["domains"] or domains if domain in domains],
        key=f"{key}-{'-'.join(domains)}-on",
        persist_state="session",
        help="Train on one domain and evaluate on both to see what carries over.",
    )
    return list(on) if set(on) != set(domains) else None


def problem_of(raw: dict[str, Any]) -> str | None:
    """What is wrong with the data and cannot be said through validation, in one line."""
    if not raw["data"]:
        return "data: give at least one folder, data set or array to train on"
    if raw["sae"]["domains"] is not None and not raw["sae"]["domains"]:
        return "train on: choose at least one domain"
    return None


def _data(preset: dict[str, Any], key: str, origin: str) -> dict[str, Any]:
    kinds = [kind for kind in SOURCES if not (session.public() and kind in LOCAL_SOURCES)]
    kind = st.segmented_control(
        "Images",
        kinds,
        default="preset",
        format_func=lambda one: f"As in the {origin}" if one == "preset" else SOURCES[one],
        key=f"{key}-source",
        required=True,
        persist_state="session",
    )
    left, right = st.columns(2)

    def text(column: Any, label: str, default: str, what: str, about: str) -> str:
        return str(column.text_input(label, default, key=f"{key}-{kind}-{what}", help=about, persist_state="session")).strip()

    if kind == "drawn":
        most = sc.config.public.LIMITS.images // 2 if session.public() else 200_000
        n = left.number_input(
            "Scenes", 2, most, min(4000, most), 500, key=f"{key}-n", persist_state="session", help="Each drawn both ways."
        )
        seed = right.number_input("Data seed", 0, 999_999, 1, key=f"{key}-data-seed", persist_state="session")
        return {r: {"source": "drawn", "rendering": r, "n": int(n), "seed": int(seed)} for r in ("sketch", "photo")}
    if kind == "folder":
        about = "A folder with a subfolder for every class. Leave one of the two empty to work with one domain."
        paths = {
            "sketch": text(left, "Folder of sketches", "", "sketch", about),
            "photo": text(right, "Folder of photos", "", "photo", about),
        }
        return {r: {"source": "folder", "rendering": r, "path": path} for r, path in paths.items() if path}
    if kind == "arrays":
        path = text(
            left, "Folder of embeddings", "", "path", "Holds .npy arrays and a metadata.csv or .parquet with a caption or label."
        )
        encoder = text(right, "The CLIP that made them", "ViT-B-32/openai", "encoder", "open_clip model and weights, model/tag.")
        return {"sketch": {"source": "arrays", "path": path, "encoder": encoder}} if path else {}
    if kind == "hub":
        about = (
            "cifar10, imagenet_sketch, or owner/name of an image data set. Leave one of the two empty to work with one domain."
        )
        names = {
            "sketch": text(left, "Sketches", "imagenet_sketch", "sketch", about),
            "photo": text(right, "Photos", "cifar10", "photo", about),
        }
        limit = left.number_input(
            "At most this many images of each",
            2,
            sc.config.public.LIMITS.images // 2 if session.public() else None,
            sc.config.public.LIMITS.images // 4 if session.public() else None,
            1000,
            key=f"{key}-limit",
            placeholder="all",
            persist_state="session",
        )
        return {r: {"source": "hub", "rendering": r, "name": one, "limit": limit} for r, one in names.items() if one}
    st.caption(" · ".join(f"**{domain}**: {_source_words(source)}" for domain, source in preset.items()))
    if not any(source["source"] in LOCAL_SOURCES for source in preset.values()):
        return preset
    changed = {}
    for domain, source in preset.items():
        path = text(st, f"Path of {domain}", source.get("path", ""), f"path-{domain}", "On the machine this app runs on.")
        changed[domain] = {**source, "path": path} if "path" in source else source
    return changed


def _source_words(source: dict[str, Any]) -> str:
    if source["source"] == "drawn":
        return f"{source['n']:,} drawn scenes, as {'sketches' if source['rendering'] == 'sketch' else 'photo-like pictures'}"
    what = {"folder": "a folder of images", "arrays": "precomputed embeddings", "hub": "the Hub's " + str(source.get("name", ""))}
    return what[source["source"]]


def _clip(base: dict[str, Any], key: str) -> None:
    if base["data"] and all(source["source"] == "arrays" for source in base["data"].values()):
        st.caption("Embeddings bring their own CLIP; nothing is embedded.")
        return
    clip = base["clip"]
    preset = clip["model"] + (f"/{clip['pretrained']}" if clip["pretrained"] else "")
    chosen = st.selectbox(
        "CLIP",
        list(dict.fromkeys((preset, *(MODELS[:1] if session.public() else MODELS)))),
        key=f"{key}-clip",
        accept_new_options=not session.public(),
        format_func=lambda one: "bundled demo model (a stand-in, no download)" if one == "bundled" else one,
        persist_state="session",
        help="Any open_clip model and weights, written model/tag. All but the bundled demo model are fetched once.",
    )
    model, _, tag = (
        str(chosen).rpartition("/") if not str(chosen).startswith(("hf-hub:", "local-dir:")) else (str(chosen), "", "")
    )
    clip["model"], clip["pretrained"] = (model, tag) if model and tag else (str(chosen), None)


def _forget_other_domains(raw: dict[str, Any]) -> None:
    # Settings that name a domain which the chosen data does not have would only be in the way.
    domains = raw["data"]
    raw["evaluate"]["templates"] = {d: t for d, t in raw["evaluate"]["templates"].items() if d in domains}
    if raw["steer"]["domain"] not in domains:
        raw["steer"] |= {"domain": None, "image": None}
    if domains and all(source["source"] == "arrays" for source in domains.values()):
        raw["interpret"] |= {"vocabulary": "captions", "templates": ["{}"]}
