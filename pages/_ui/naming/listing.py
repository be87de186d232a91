"""The names as the page lists them: how many of each status, the best by picture, the table, the files."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import latents
from pages._ui.bits import download, number
from pages._ui.naming import said
from pages._ui.naming.form import VOCABULARIES
from pages._ui.text import count, plain
from pages._ui.thumbs import gallery

BEST = 24
ASKED = "latent"
"""The address's parameter: which latent is shown in full."""
_RARE = ("polysemantic", "failed")
FIRST = ("latent", "shown", "status", "score", "ci_low", "ci_high")
COLUMNS = {
    "clip": ("near_miss_auroc", "p", "swap_gap", "retrieval", "positives", "negatives"),
    "vision": (
        "detection_auroc",
        "coverage",
        "intruder",
        "intruder_ci_low",
        "intruder_ci_high",
        "clip_consistency",
        "clip_consistency_ci_low",
        "clip_consistency_ci_high",
        "confidence",
        "cost",
        "model_served",
        "prompt_version",
    ),
}
LAST = ("label", "candidate", "others", "reason", "manual_label", "manual_author")
OF_MANUAL = ("manual_detection", "manual_clip_consistency")


def counts(names: sc.Names) -> None:
    """How many latents have each status, and what was asked of whom."""
    table, about = names.table, names.about
    sizes = table["status"].value_counts()
    vision = sc.method_of(about) == "vision"
    shown = [one for one in sc.STATUS_WORDS if one not in _RARE or vision or one in sizes]
    with st.container(horizontal=True, gap="medium"):
        for status in shown:
            word, meaning = sc.STATUS_WORDS[status]
            of = f"of {count(len(table), 'latent')}"
            number(st.container(width=150), word.capitalize(), f"{int(sizes.get(status, 0)):,}", of, meaning)
    st.caption(plain(_by_vision(about) if vision else _by_clip(about)))


def _by_clip(about: Mapping[str, Any]) -> str:
    words = VOCABULARIES.get(about["vocabulary"], about["vocabulary"])
    return (
        f"Vocabulary: {words}, {count(about['words'], 'word')}. Of random directions {100 * about['random_abstention']:.1f} % "
        f"get no name. Words were chosen on {about['explain_images']:,} images and tested on {about['score_images']:,} others."
    )


def _by_vision(about: Mapping[str, Any]) -> str:
    served = ", ".join(about["models_served"]) or "nobody"
    cost = "unknown" if about["cost"] is None else f"${about['cost']:.4f}"
    return (
        f"Named by {about['model']} at {about['endpoint']} (served by {served}), prompts of version {about['prompt_version']}. "
        f"Cost {cost}. Names were made on pictures of {about['explain_images']:,} images and tested on pictures of "
        f"{about['score_images']:,} others; {about['passes']}."
    )


def pictures(have: sc.pipeline.Run, names: sc.Names) -> None:
    """The named latents with the best scores, by their strongest image."""
    table = names.table
    named = table[table["status"] == "ok"].sort_values("score", ascending=False).head(BEST)
    if named.empty:
        st.info("No latent got a name that holds. Other words, another model or more images may do better.")
        return
    st.subheader(f"The {len(named)} names that hold best" if len(named) > 1 else "The name that holds", anchor=False)
    texts = [f"{latents.short(str(row.label))} · {row.score:.2f} · {row.latent}" for row in named.itertuples()]
    thumbs = [latents.best(have, int(latent), text) for latent, text in zip(named["latent"], texts, strict=True)]
    shown = [thumb for thumb in thumbs if thumb is not None]
    clicked = gallery(shown, key="named", title="Named latents by their strongest image")
    st.caption(plain(f"Name · {sc.score_words(names.about)[0]} on held-out images · latent. Choose one to see its card."))
    if clicked is not None:
        latents.open_latent(int(clicked))


def listing(run_id: str, names: sc.Names) -> int | None:
    """Every record, filtered by status; returns the latent of the chosen line, or of the link."""
    st.subheader("Every latent", anchor=False)
    manual = said.legible(run_id)
    table = sc.names_table(names, manual)
    words = {status: word for status, (word, _) in sc.STATUS_WORDS.items()}
    present = [status for status in words if (table["status"] == status).any()]
    alive = [status for status in present if status != "dead"]
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    wanted = left.pills(
        "Status", present, selection_mode="multi", default=alive, format_func=words.__getitem__, key="interpret-status"
    )
    text = right.text_input("Name or nearest word contains", key="interpret-text", placeholder="curve, house …")
    shown = table[table["status"].isin(wanted)]
    if text:
        holds = [
            shown[name].fillna("").astype(str).str.contains(text, case=False, regex=False)
            for name in ("candidate", "manual_label")
        ]
        shown = shown[holds[0] | holds[1]]
    rank = shown["status"].map(list(words).index)
    shown = shown.assign(rank=rank).sort_values(["rank", "score", "latent"], ascending=[True, False, True], na_position="last")
    shown = shown.reset_index(drop=True)
    method = sc.method_of(names.about)
    of_manual = [f"{one}{end}" for one in OF_MANUAL for end in ("", "_ci_low", "_ci_high") if shown[one].notna().any()]
    last = [name for name in LAST if not name.startswith("manual") or shown["manual_label"].notna().any()]
    chosen = st.dataframe(
        shown.assign(status=shown["status"].map(words), shown=_shown(shown))[[*FIRST, *COLUMNS[method], *last, *of_manual]],
        hide_index=True,
        width="stretch",
        height=min(420, 38 + 35 * max(1, len(shown))),
        key="interpret-table",
        on_select="rerun",
        selection_mode="single-row",
        column_config=_formats(names),
        placeholder="–",
    )
    st.caption("Select a line, by the box at its left, to see how its name was tested and to give it a label of your own.")
    picked = [row for row in chosen["selection"]["rows"] if row < len(shown)]
    _files(names, manual)
    if picked:
        st.query_params[ASKED] = str(shown["latent"].iloc[picked[0]])
    asked = st.query_params.get(ASKED, "")
    return int(asked) if asked in set(table["latent"].astype(str)) else None


def _shown(table: pd.DataFrame) -> pd.Series[Any]:
    """A person's label first, marked; else the machine's name."""
    pairs = zip(table["manual_label"], table["label"], strict=True)
    shown = [f"{said.MARK} {own}" if isinstance(own, str) else (name if isinstance(name, str) else None) for own, name in pairs]
    return pd.Series(shown, index=table.index, dtype=object)


def _files(names: sc.Names, manual: Mapping[int, sc.ManualLabel]) -> None:
    line = st.container(horizontal=True, gap="small")
    for place, ending in enumerate(("csv", "json")):
        file = f"sae_latents.{ending}"
        download(line, f"Download {file}", partial(_exported, names, manual, place), file)


def _exported(names: sc.Names, manual: Mapping[int, sc.ManualLabel], place: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return sc.export_names(names, manual, Path(folder))[place].read_bytes()


def _formats(names: sc.Names) -> Any:
    column, text = st.column_config.NumberColumn, st.column_config.TextColumn
    head, meaning = sc.score_words(names.about)
    three: Any = {"format": "%.3f"}
    low, high = "Lower end of the 95 % interval.", "Upper end of the 95 % interval."
    clip = "CLIP consistency (AUROC) of the name: circular, for the same CLIP made the features. 0.5 is chance."
    formats: dict[str, Any] = {
        "shown": text("name", width="medium", help=f"{said.MARK}: a label that a person gave stands before the machine's name."),
        "label": text("machine's name"),
        "score": column(head, help=meaning, **three),
        "ci_low": column("from", help=low, **three),
        "ci_high": column("to", help=high, **three),
        "near_miss_auroc": column("near misses", help="The same against the silent images that look most alike.", **three),
        "p": column("p", format="%.2g", help="Permutation test."),
        "swap_gap": column("swap gap", help="AUROC of this name minus the mean of 50 other words.", **three),
        "retrieval": column(
            "of nearest 10", format="%.2f", help="Share of the 10 held-out images nearest to the name that fire it."
        ),
        "positives": column("n fire", help="Distinct held-out images that fire it."),
        "negatives": column("n silent", help="Distinct held-out images that do not."),
        "detection_auroc": column("AUROC", help="Of the model's confidence that the name fits a held-out image.", **three),
        "coverage": column("answered", format="percent", help="Share of the test images the model answered."),
        "intruder": column("intruder", format="%.2f", help="Share of intruders found, no name shown. Chance is 0.20."),
        "clip_consistency": column("CLIP", help=clip, **three),
        "confidence": column("confidence", format="%.0f", help="The model's own, 0 to 100; no score."),
        "cost": column("cost", format="$%.4f", help="USD; empty where nobody says."),
        "model_served": text("model served"),
        "prompt_version": text("prompts", help="Version of the prompts."),
        "candidate": text(
            "nearest word" if sc.method_of(names.about) == "clip" else "proposed", help="Whether or not it became the name."
        ),
        "others": text("next words"),
        "manual_label": text("label by hand"),
        "manual_author": text("author"),
        "manual_detection": column("by hand: balanced accuracy", **three),
        "manual_clip_consistency": column("by hand: CLIP", **three),
    }
    for name in ("intruder", "clip_consistency", *OF_MANUAL):
        formats |= {f"{name}_ci_low": column("from", help=low, **three), f"{name}_ci_high": column("to", help=high, **three)}
    return formats
