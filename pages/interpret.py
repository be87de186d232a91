"""Interpret: the names of latents, each tested on images it was not made from, and the latents that got none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import guard, latents, load, session, watch
from pages._ui.bits import download, number
from pages._ui.page import page
from pages._ui.reproduce import reproduce
from pages._ui.text import count, plain
from pages._ui.thumbs import gallery

QUESTION = (
    "What would one call what a latent sees? Words are compared with its direction through CLIP's text tower; the best word "
    "becomes a name only if it beats random directions **and** predicts images it was not chosen from. “No name” is an answer."
)
VOCABULARIES = {
    "builtin": "our own list of strokes, shapes and things",
    "classes": "the class names of this run's data",
    "captions": "the captions of this run's data",
    "imagenet": "the 1,000 class names of ImageNet",
}
STATUSES = {
    "ok": ("named", "The best word beats random directions and predicts held-out images."),
    "uninterpretable": ("abstained", "No word beats random directions, or the best one fails on held-out images."),
    "insufficient_data": ("too few images", "It fires on too few held-out images to test a name."),
    "dead": ("dead", "It fires on no image."),
}
BEST = 24
COLUMNS = [
    "latent",
    "label",
    "status",
    "score",
    "ci_low",
    "ci_high",
    "near_miss_auroc",
    "p",
    "swap_gap",
    "positives",
    "negatives",
]
COLUMNS += ["candidate", "others", "reason"]


def counts(table: pd.DataFrame, about: Mapping[str, Any]) -> None:
    """How many latents got a name, and how often a random direction would."""
    sizes = table["status"].value_counts()
    for column, (status, (word, meaning)) in zip(st.columns(4), STATUSES.items(), strict=True):
        number(column, word.capitalize(), f"{int(sizes.get(status, 0)):,}", f"of {count(len(table), 'latent')}", meaning)
    st.caption(
        plain(
            f"Vocabulary: {VOCABULARIES.get(about['vocabulary'], about['vocabulary'])}, {count(about['words'], 'word')}. "
            f"Of random directions {100 * about['random_abstention']:.1f} % get no name. Words were chosen on "
            f"{about['explain_images']:,} images and tested on {about['score_images']:,} others."
        )
    )


def pictures(have: sc.pipeline.Run, table: pd.DataFrame) -> None:
    """The named latents with the best scores, by their strongest image."""
    named = table[table["status"] == "ok"].sort_values("score", ascending=False).head(BEST)
    if named.empty:
        st.info("No latent got a name that holds. Another vocabulary may do better; so may more images.")
        return
    st.subheader(f"The {len(named)} names that hold best" if len(named) > 1 else "The name that holds", anchor=False)
    texts = [f"{latents.short(str(row.label))} · {row.score:.2f} · {row.latent}" for row in named.itertuples()]
    thumbs = [latents.best(have, int(latent), text) for latent, text in zip(named["latent"], texts, strict=True)]
    shown = [thumb for thumb in thumbs if thumb is not None]
    clicked = gallery(shown, key="named", title="Named latents by their strongest image")
    st.caption("Name · AUROC on held-out images · latent. Choose one to see its card.")
    if clicked is not None:
        latents.open_latent(int(clicked))


def listing(have: sc.pipeline.Run, table: pd.DataFrame) -> None:
    """Every record, filtered by status; choosing a line offers its card."""
    st.subheader("Every latent", anchor=False)
    words = {status: word for status, (word, _) in STATUSES.items()}
    present = [status for status in STATUSES if (table["status"] == status).any()]
    alive = [status for status in present if status != "dead"]
    wanted = st.pills(
        "Status", present, selection_mode="multi", default=alive, format_func=words.__getitem__, key="interpret-status"
    )
    text = st.text_input("Name or nearest word contains", key="interpret-text", placeholder="curve, house …")
    shown = table[table["status"].isin(wanted)]
    if text:
        shown = shown[shown["candidate"].fillna("").astype(str).str.contains(text, case=False, regex=False)]
    rank = shown["status"].map(list(STATUSES).index)
    shown = shown.assign(rank=rank).sort_values(["rank", "score", "latent"], ascending=[True, False, True], na_position="last")
    shown = shown.reset_index(drop=True)
    view = shown.assign(
        status=shown["status"].map(words),
        others=[", ".join(one["word"] for one in others[:3]) for others in shown["alternatives"]],
    )
    chosen = st.dataframe(
        view[COLUMNS],
        hide_index=True,
        width="stretch",
        height=420,
        key="interpret-table",
        on_select="rerun",
        selection_mode="single-row",
        column_config=_formats(),
    )
    picked = [row for row in chosen["selection"]["rows"] if row < len(shown)]
    if picked:
        latent = int(shown["latent"].iloc[picked[0]])
        if st.button(f"Open latent {latent}", type="primary", icon=":material/filter_center_focus:"):
            latents.open_latent(latent)
    path = have.outcomes["interpret"].path / "sae_latents.csv"
    download(st, "Download sae_latents.csv", path.read_bytes(), "sae_latents.csv")


def _formats() -> Any:
    column = st.column_config.NumberColumn
    auroc = "Does cos(image, name) tell held-out images that fire the latent from those that do not? 0.5 is chance."
    return {
        "label": st.column_config.TextColumn("name"),
        "score": column("AUROC", format="%.3f", help=auroc),
        "ci_low": column("from", format="%.3f", help="Lower end of the 95 % bootstrap interval."),
        "ci_high": column("to", format="%.3f", help="Upper end of the 95 % bootstrap interval."),
        "near_miss_auroc": column("near misses", format="%.3f", help="The same against the silent images that look most alike."),
        "p": column("p", format="%.2g", help="Permutation test."),
        "swap_gap": column("swap gap", format="%.3f", help="AUROC of this name minus the mean of 50 other words."),
        "positives": column("n fire", help="Distinct held-out images that fire it."),
        "negatives": column("n silent", help="Distinct held-out images that do not."),
        "candidate": st.column_config.TextColumn("nearest word", help="Whether or not it became the name."),
        "others": st.column_config.TextColumn("next words"),
    }


def again(run: sc.pipeline.Recorded) -> None:
    """Name with other words: a job that makes a new run of the same dictionary."""
    st.subheader("Name them with other words", anchor=False)
    current = run.config.interpret
    options = list(VOCABULARIES)
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    at = options.index(current.vocabulary) if current.vocabulary in options else 0
    vocabulary = left.selectbox("Vocabulary", options, index=at, format_func=VOCABULARIES.__getitem__, key="interpret-vocabulary")
    same = vocabulary == current.vocabulary
    if right.button("Name again", width="stretch", icon=":material/label:", disabled=same, help="Choose other words than these."):
        settings = current.model_copy(update={"vocabulary": vocabulary, "vocabulary_file": None})
        watch.launch("interpret", run.config.model_copy(update={"interpret": settings}))
    if not session.public():
        st.caption(
            "Words of your own: `--set interpret.vocabulary=file --set interpret.vocabulary_file=words.txt`, one word a line."
        )


with page("Interpret", QUESTION):
    chosen_run, made = guard.require("interpret", "It would show which latents have a name, and how well each name holds.")
    found = load.names(made)
    counts(found.table, found.about)
    st.info(plain(str(found.about["circularity"])), icon=":material/cached:")
    pictures(made, found.table)
    listing(made, found.table)
    again(chosen_run)
    reproduce("interpret", chosen_run)
