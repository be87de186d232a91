"""One latent's name and its test: what the model said, and the held-out pictures it found, missed and wrongly took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import latents
from pages._ui.naming import said, start
from pages._ui.page import errors_shown
from pages._ui.text import plain
from pages._ui.thumbs import gallery

MOST = 12
PARTS = {
    "tp": ("Fire, and the name fits", "true positives"),
    "fn": ("Fire, and the name does not fit", "false negatives"),
    "fp": ("Silent, and the name fits", "false positives"),
    "tn": ("Silent, and the name does not fit", "true negatives"),
    "unanswered": ("Not answered", "unanswered"),
}


def show(have: sc.pipeline.Run, names: sc.Names, latent: int) -> None:
    """The record of a latent in words and pictures."""
    record = next(one for one in names.records() if one["latent"] == latent)
    own = said.legible(have.id).get(latent)
    title = f": {plain(record['label'])}" if record["label"] else ""
    if own is not None:
        title = f": {said.MARK} {plain(own.label)}"
    st.subheader(f"Latent {latent}{title}", anchor=False)
    word, _ = sc.STATUS_WORDS[record["status"]]
    st.markdown(f":gray-badge[{word}] {plain(record['reason'])}")
    if own is not None:
        machine = f" The machine's name: {plain(record['label'])}." if record["label"] else " The machine gave no name."
        st.markdown(f"{said.MARK} **{plain(own.label)}** by {plain(own.author)}, {plain(own.time[:10])}.{machine}")
    _said(record)
    for line in scores_in_words(record, names.about):
        st.markdown(f"- {plain(line)}")
    if st.button(f"Open latent {latent}", icon=":material/filter_center_focus:", key="interpret-open"):
        latents.open_latent(latent)
    tests(have, names, record, own)


def _said(record: Mapping[str, Any]) -> None:
    """What a vision model said beside the name; offline the next words."""
    said_of = {
        "Proposed": record["candidate"] if not record["label"] else None,
        "Explanation": record.get("explanation"),
        "Counterevidence": record.get("counterevidence"),
        "Its own confidence": None if record.get("confidence") is None else f"{record['confidence']:.0f} of 100",
        "Next words": ", ".join(
            f"{one['word']} ({one['cosine']:.3f})" for one in record["alternatives"] if isinstance(one, dict)
        ),
        "Served by": record.get("model_served"),
    }
    for name, text in said_of.items():
        if text:
            st.markdown(f"**{name}**: {plain(text)}")


def scores_in_words(record: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    """Every score of a record with its interval, n and meaning; why one is missing where the record says so."""
    found = []
    if sc.method_of(about) == "clip":
        if record["score"] is not None:
            n = f"n = {record['positives']} that fire it, {record['negatives']} that do not"
            found.append(f"CLIP consistency: AUROC {_between(record, 'score')}; {n}; permutation p = {record['p']:.2g}")
        return found
    scores = record["scores"]
    return found + [
        line for name in ("detection", "intruder", "clip_consistency") if (line := score_line(name, scores.get(name)))
    ]


def score_line(name: str, score: Mapping[str, Any] | None) -> str:
    """One score in words, empty where it was not asked for."""
    if not score:
        return ""
    words = {
        "detection": "Detection: balanced accuracy",
        "intruder": "Intruder test: share found (chance 0.20)",
        "clip_consistency": "CLIP consistency: AUROC",
    }
    if score.get("value") is None:
        return f"{words[name]}: no score, {score.get('why') or 'it could not be measured'}"
    line = f"{words[name]} {_between(score, 'value')}"
    if name == "intruder":
        return f"{line}; {score['trials']} trials"
    n = f"; n = {score['n_pos']} that fire it, {score['n_neg']} that do not"
    if name == "detection":
        agreement = "" if score.get("agreement") is None else f", the two orders agree on {100 * score['agreement']:.0f} %"
        return f"{line}, AUROC {score['auroc']:.2f}{n}; {100 * score['coverage']:.0f} % answered{agreement}"
    return line + n


def _between(score: Mapping[str, Any], name: str) -> str:
    return f"{score[name]:.2f} [{score['ci_low']:.2f}, {score['ci_high']:.2f}]"


# ---------------------------------------------------------------- pictures


def tests(have: sc.pipeline.Run, names: sc.Names, record: Mapping[str, Any], own: sc.ManualLabel | None) -> None:
    """The held-out pictures by what each score's test said of them."""
    machine = record["label"] or record["candidate"]
    options: dict[str, tuple[str, Any]] = {}
    tested = (record.get("scores") or {}).get("detection")
    if tested:
        options[f"Detection of “{machine}”"] = ("detection", tested["confusion"])
    if own is not None and (own.scores.get("detection") or {}).get("confusion"):
        options[f"Detection of {said.MARK} “{own.label}”"] = ("detection", own.scores["detection"]["confusion"])
    consistent = (
        record["score"] if sc.method_of(names.about) == "clip" else (record["scores"].get("clip_consistency") or {}).get("value")
    )
    if machine and consistent is not None:
        options[f"CLIP consistency of “{machine}”"] = ("clip", machine)
    if own is not None and own.scores.get("clip_consistency"):
        options[f"CLIP consistency of {said.MARK} “{own.label}”"] = ("clip", own.label)
    intruders = ((record.get("scores") or {}).get("intruder") or {}).get("shown")
    if intruders:
        options["Intruder test, no name shown"] = ("intruder", intruders)
    if not options:
        return
    st.markdown("**The held-out pictures, as the test saw them**")
    chosen = st.selectbox("Test", list(options), key=f"interpret-test-{record['latent']}", label_visibility="collapsed")
    kind, what = options[chosen]
    with errors_shown():
        if kind == "intruder":
            _trials(have, what, f"intruder-{record['latent']}")
            return
        if kind == "detection":
            st.caption("What the model said of each picture with this name before it; it did not see how the latent fires.")
            _four(have, {name: what.get(name, []) for name in PARTS}, f"{kind}-{record['latent']}")
            return
        found = confusion(have, str(what), int(record["latent"]))
        st.caption(
            plain(
                f"The score itself needs no threshold. The pictures are cut at cosine {found.threshold:.3f}, where the images "
                f"that were not held out are told apart best; here it gives a balanced accuracy of {found.balanced_accuracy:.2f}."
            )
        )
        _four(have, {name: getattr(found, name) for name in ("tp", "fn", "fp", "tn")}, f"{kind}-{record['latent']}")


def _trials(have: sc.pipeline.Run, trials: Sequence[Mapping[str, Any]], key: str) -> None:
    """The intruder test, trial by trial, in the order the pictures were sent."""
    st.caption("Four of the five pictures fire the latent; the model was asked, without a name, which one does not belong.")
    for nth, trial in enumerate(trials, 1):
        intruder, answer = int(trial["intruder"]), trial["answer"]
        said_ = "not answered" if answer is None else f"the model said {answer}"
        found = ":green-badge[found]" if answer == intruder else ":gray-badge[not found]"
        st.markdown(f"Trial {nth}: picture {intruder} is the intruder, {said_} {found}")
        words = ["intruder" if place == intruder else "fires" for place in range(1, len(trial["rows"]) + 1)]
        thumbs = [latents.thumb(have, int(row), word) for row, word in zip(trial["rows"], words, strict=True)]
        gallery(thumbs, key=f"test-{key}-{nth}", clickable=False, side=72, title=f"Trial {nth}")


def confusion(have: sc.pipeline.Run, label: str, latent: int) -> sc.Confusion:
    """The pictures that CLIP takes a label to fit. Raises InputError, Unavailable."""
    settings = have.config.interpret
    material = start.material(have, settings.seed)
    return _confusion(have.outcomes["interpret"].key, label, latent, material, settings)  # type: ignore[no-any-return]


@st.cache_data(max_entries=64, show_spinner="Comparing the pictures with the label …")
def _confusion(key: str, label: str, latent: int, _material: sc.Material, _settings: sc.config.InterpretConfig) -> Any:
    return sc.clip_confusion(label, latent, _material, _settings)


def _four(have: sc.pipeline.Run, parts: Mapping[str, Sequence[int]], key: str) -> None:
    """The four cells, each with its number and its first pictures."""
    present = [name for name in PARTS if name != "unanswered" or len(parts.get(name, ()))]
    for start_at in range(0, len(present), 2):
        for column, name in zip(st.columns(2), present[start_at : start_at + 2], strict=False):
            rows = [int(row) for row in parts.get(name, ())]
            words, short = PARTS[name]
            with column:
                st.markdown(f"**{words}**: {len(rows):,} {short}")
                thumbs = [latents.thumb(have, row, "") for row in rows[:MOST]]
                if thumbs:
                    gallery(thumbs, key=f"test-{key}-{name}", clickable=False, side=72, title=words)
                if len(rows) > MOST:
                    st.caption(f"The first {MOST} of {len(rows):,}.")
