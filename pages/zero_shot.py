"""Zero-shot: what the dictionary costs CLIP on held-out images, two domains side by side on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import guard, latents, load, theme
from pages._ui.bits import PERCENT, csv, download, number
from pages._ui.page import page
from pages._ui.reproduce import reproduce
from pages._ui.text import count, plain
from pages._ui.thumbs import gallery

QUESTION = (
    "How much of what CLIP knows survives the dictionary? Each held-out image is classified by its embedding and again by the "
    "dictionary's reconstruction of it, with the same prompts. The floor replaces every embedding by their mean."
)
FLIPPED = 12


def choose(domains: list[str]) -> list[str]:
    """The domains shown: all there are, or two of many."""
    if len(domains) <= 2:
        return domains
    chosen = st.multiselect(
        "Two domains", domains, default=domains[:2], max_selections=2, key="zero-shot-domains", persist_state="session"
    )
    return [domain for domain in chosen if domain in domains] or domains[:2]


def bars(report: Mapping[str, Any], domains: list[str]) -> None:
    """Accuracy, or caption recall, of every condition on one scale."""
    accuracy: list[dict[str, object]] = []
    recall: list[dict[str, object]] = []
    for domain in domains:
        found = report["domains"][domain]
        if "zero_shot" in found:
            n = int(found["zero_shot"]["n"])
            keys = ("accuracy_clip", "accuracy_sae", "accuracy_floor")
            accuracy += [
                {"group": f"{domain} (n = {n:,})", "condition": condition, "value": found["zero_shot"][key]}
                for condition, key in zip(sc.figures.CONDITIONS, keys, strict=True)
            ]
        elif "recall" in found:
            where = f"{domain} " if len(domains) > 1 else ""
            recall += [
                {"group": f"{where}recall@{k}", "condition": condition, "value": found["recall"][f"recall_{k}_{kind}"]}
                for k in (1, 5, 10)
                for condition, kind in zip(sc.figures.CONDITIONS, ("clip", "sae", "floor"), strict=True)
            ]
    if accuracy:
        theme.show(sc.figures.accuracy_bars(pd.DataFrame(accuracy), "Zero-shot accuracy, held-out images"), key="accuracy")
    if recall:
        title, axis = "Caption recall, held-out images", "own caption among the first k"
        theme.show(sc.figures.accuracy_bars(pd.DataFrame(recall), title, axis), key="recall")


def numbers(name: str, found: Mapping[str, Any]) -> None:
    """A domain's numbers with n, interval and p."""
    st.subheader(plain(name), anchor=False)
    if "zero_shot" in found:
        _zero_shot(found["zero_shot"])
    elif "recall" in found:
        _recall(found["recall"])
    for note in found["notes"]:
        st.caption(plain(note))
    q = found["reconstruction"]
    st.markdown(
        f"Rebuilt from **{q['l0']:.1f}** latents an image (L0): R² **{q['r2']:.3f}** centred, {q['r2_uncentred']:.3f} uncentred; "
        f"cosine {q['cosine']:.3f}; n = {found['rows']:,} held-out images."
    )


def _zero_shot(z: Mapping[str, Any]) -> None:
    left, right = st.columns(2)
    n = count(z["n"], "image")
    number(left, "CLIP", f"{100 * z['accuracy_clip']:.1f} %", f"n = {n}")
    change = _points(z["delta"], z["delta_ci_low"], z["delta_ci_high"])
    number(right, "CLIP+SAE", f"{100 * z['accuracy_sae']:.1f} %", change)
    st.markdown(
        f"{count(z['lost'], 'image')} lost, {z['gained']:,} gained; McNemar p = {z['mcnemar_p']:.2g}. "
        f"Floor (mean ablation) {100 * z['accuracy_floor']:.1f} %."
    )
    with st.expander(f"Prompts: {count(len(z['templates']), 'template')} × {count(len(z['classes']), 'class', 'classes')}"):
        st.code("\n".join(z["templates"][:100]), language=None, wrap_lines=True)
        st.caption(plain(", ".join(z["classes"][:200]) + ("" if len(z["classes"]) <= 200 else " …")))


def _points(delta: float, low: float, high: float) -> str:
    return f"{100 * delta:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"


def _recall(r: Mapping[str, Any]) -> None:
    rows = [
        {
            "": f"recall@{k}",
            "CLIP": r[f"recall_{k}_clip"],
            "CLIP+SAE": r[f"recall_{k}_sae"],
            "change": _points(r[f"recall_{k}_delta"], r[f"recall_{k}_delta_ci_low"], r[f"recall_{k}_delta_ci_high"]),
            "floor": r[f"recall_{k}_floor"],
            "McNemar p": f"{r[f'recall_{k}_mcnemar_p']:.2g}",
        }
        for k in (1, 5, 10)
    ]
    formats = dict.fromkeys(("CLIP", "CLIP+SAE", "floor"), PERCENT)
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", column_config=formats)
    st.caption(f"n = {count(r['n'], 'image')}, each looking for its own among {count(r['captions'], 'distinct caption')}.")


def by_class(have: sc.pipeline.Run, per_class: pd.DataFrame, domains: list[str]) -> None:
    """What each class gains or loses: picture, then table."""
    shown = per_class[per_class["domain"].isin(domains)]
    if shown.empty:
        return
    theme.show(sc.figures.delta_by_class(shown, latents.colours(have)), key="by-class")
    sets = [set(rows["class"]) for _, rows in shown.groupby("domain")]
    if len(sets) == 2 and sets[0] != sets[1]:
        common = len(sets[0] & sets[1])
        st.warning(f"The two domains have different classes ({common} in common): their accuracies do not compare directly.")
    with st.expander("Every class as a table"):
        formats = dict.fromkeys(("accuracy_clip", "accuracy_sae", "delta"), PERCENT)
        st.dataframe(shown.sort_values("delta"), hide_index=True, width="stretch", column_config=formats)
        download(st, "Download as CSV", csv(shown), "per_class.csv")


def flipped(have: sc.pipeline.Run, per_image: pd.DataFrame, domains: list[str]) -> None:
    """Images that CLIP got right and CLIP+SAE gets wrong, with what they are taken for."""
    lost = per_image[(per_image["pred_clip"] == per_image["label"]) & (per_image["pred_sae"] != per_image["label"])]
    lost = lost[lost["domain"].isin(domains)]
    if lost.empty:
        return
    st.subheader("Images the dictionary loses", anchor=False)
    for column, domain in zip(st.columns(len(domains)), domains, strict=True):
        own = lost[lost["domain"] == domain].head(FLIPPED)
        names = load.manifest(have, domain).classes
        thumbs = [
            latents.of_image(have, domain, int(image), f"{latents.short(names[label])} → {latents.short(names[wrong])}")
            for image, label, wrong in zip(own["image"], own["label"], own["pred_sae"], strict=True)
        ]
        with column:
            whole = int((lost["domain"] == domain).sum())
            if not thumbs:
                st.caption(plain(f"{domain}: none"))
            else:
                st.caption(plain(f"{domain}: {len(own)} of {whole:,}; what it is → what CLIP+SAE takes it for"))
                gallery(thumbs, key=f"lost-{domain}", clickable=False, side=96, title=f"Images of {domain} lost")


with page("Zero-shot", QUESTION):
    chosen_run, made = guard.require("evaluate", "It would compare CLIP with CLIP+SAE on held-out images.")
    evaluation = load.evaluation(made)
    names = choose(list(evaluation.report["domains"]))
    bars(evaluation.report, names)
    for place, name in zip(st.columns(len(names), gap="large"), names, strict=True):
        with place:
            numbers(name, evaluation.report["domains"][name])
    by_class(made, evaluation.per_class, names)
    flipped(made, evaluation.per_image, names)
    st.caption(f"Intervals: {plain(evaluation.report['interval'])}, {evaluation.report['bootstrap']:,} resamples.")
    download(st, "Download eval.log", evaluation.log, "eval.log")
    reproduce("evaluate", chosen_run)
