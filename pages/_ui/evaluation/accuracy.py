"""What the dictionary costs CLIP: accuracy or caption recall with its controls, with n, interval and p."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import theme
from pages._ui.bits import PERCENT, number
from pages._ui.evaluation import compare
from pages._ui.evaluation.compare import points
from pages._ui.evaluation.sides import Entry, Side, by_run, entries, label
from pages._ui.text import count, plain


def show(sides: Sequence[Side]) -> None:
    """Bars of all on one scale, the table of all, each side's numbers, the view of the classes that domains share."""
    bars(sides)
    compare.show(sides)
    compare.details(sides, numbers)
    common(sides)


def bars(sides: Sequence[Side]) -> None:
    """Accuracy, or caption recall, of every condition on one scale."""
    shown = {label(one, sides): one.found for one in by_run(sides)}
    classified = {name: found for name, found in shown.items() if "zero_shot" in found}
    if classified:
        theme.show(sc.figures.controls_bars(classified), key="accuracy")
    recall = [
        {"group": (f"{name} " if len(shown) > 1 else "") + f"recall@{k}", "condition": condition, "value": value}
        for name, found in shown.items()
        if "recall" in found
        for k in (1, 5, 10)
        for condition, value in _recalled(found, k).items()
    ]
    if recall:
        title, axis = "Caption recall, held-out images", "own caption among the first k"
        theme.show(sc.figures.accuracy_bars(pd.DataFrame(recall), title, axis), key="recall")


def _recalled(found: Mapping[str, Any], k: int) -> dict[str, float]:
    conditions = (("CLIP", "clip"), ("CLIP+SAE", "sae"), ("mean ablation", "floor"))
    values = {name: found["recall"][f"recall_{k}_{kind}"] for name, kind in conditions}
    others = {one["name"]: one.get(f"recall_{k}") for one in found.get("controls", []) if one["name"] != "mean ablation"}
    return {**values, **{name: value for name, value in others.items() if value is not None}}


def numbers(one: Entry) -> None:
    """An entry's numbers with n, interval and p."""
    found = one.found
    if found.get("zero_shot"):
        _zero_shot(found["zero_shot"])
    if found.get("recall"):
        _recall(found["recall"])
    q = found["reconstruction"]
    st.markdown(
        f"Rebuilt from **{q['l0']:.1f}** latents an image (L0): R² **{q['r2']:.3f}** {_interval(q, 'r2')}"
        f"centred, {q['r2_uncentred']:.3f} uncentred; cosine {q['cosine']:.3f}; "
        f"n = {found['rows']:,} held-out images."
    )
    _controls(found.get("controls") or [])
    if not found.get("zero_shot"):  # else they are on the probes, in the section on quality
        for note in found["notes"]:
            st.caption(plain(note))


def _interval(q: Mapping[str, Any], name: str) -> str:
    low, high = q.get(f"{name}_ci_low"), q.get(f"{name}_ci_high")
    return "" if low is None or high is None else f"[{low:.3f}, {high:.3f}] "


def _zero_shot(z: Mapping[str, Any]) -> None:
    left, right = st.columns(2)
    n = count(z["n"], "image")
    number(left, "CLIP", compare.percent(z["accuracy_clip"]), f"n = {n}")
    change = points(z["delta"], z["delta_ci_low"], z["delta_ci_high"])
    number(right, "CLIP+SAE", compare.percent(z["accuracy_sae"]), change)
    kept = "" if z["retained"] is None else f" {compare.percent(z['retained'])} of CLIP's accuracy is retained."
    st.markdown(f"{count(z['lost'], 'image')} lost, {z['gained']:,} gained; McNemar p = {z['mcnemar_p']:.2g}.{kept}")


def _recall(r: Mapping[str, Any]) -> None:
    rows = [
        {
            "": f"recall@{k}",
            "CLIP": r[f"recall_{k}_clip"],
            "CLIP+SAE": r[f"recall_{k}_sae"],
            "change": points(r[f"recall_{k}_delta"], r[f"recall_{k}_delta_ci_low"], r[f"recall_{k}_delta_ci_high"]),
            "floor": r[f"recall_{k}_floor"],
            "McNemar p": f"{r[f'recall_{k}_mcnemar_p']:.2g}",
        }
        for k in (1, 5, 10)
    ]
    formats = dict.fromkeys(("CLIP", "CLIP+SAE", "floor"), PERCENT)
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", column_config=formats)
    st.caption(f"n = {count(r['n'], 'image')}, each looking for its own among {count(r['captions'], 'distinct caption')}.")


def _controls(controls: Sequence[Mapping[str, Any]]) -> None:
    if not controls:
        return
    rows = []
    for one in controls:
        line: dict[str, object] = {"control": one["name"], "L0": one.get("l0"), "R²": one.get("r2")}
        if one.get("accuracy") is not None:
            line |= {
                "accuracy": one["accuracy"],
                "change": points(one.get("delta"), one.get("delta_ci_low"), one.get("delta_ci_high")),
                "McNemar p": "–" if one.get("mcnemar_p") is None else f"{one['mcnemar_p']:.2g}",
                "CLIP+SAE ahead by": points(one.get("sae_ahead"), one.get("sae_ahead_ci_low"), one.get("sae_ahead_ci_high")),
            }
        if one.get("recall_10") is not None:
            line["recall@10"] = one["recall_10"]
        rows.append(line)
    formats = {
        "L0": st.column_config.NumberColumn(format="%.1f"),
        "R²": st.column_config.NumberColumn(format="%.3f"),
        "accuracy": PERCENT,
        "recall@10": PERCENT,
    }
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", column_config=formats, placeholder="–")
    st.caption(
        "Controls on the same images: every embedding replaced by the mean; rebuilt from as many principal components as the "
        "dictionary fires latents; rebuilt by random directions at the same sparsity, of which only the encoder was "
        "trained. Change: against CLIP."
    )


def common(sides: Sequence[Side]) -> None:
    """Where class sets differ: a warning, and every domain classified among the classes they share."""
    sets = {one.domain: set(one.found["zero_shot"]["classes"]) for one in entries(sides) if one.found.get("zero_shot")}
    if len(sets) < 2 or len(set(map(frozenset, sets.values()))) == 1:
        return
    shared = set.intersection(*sets.values())
    st.warning(
        f"The domains have **different classes** ({', '.join(f'{plain(name)}: {len(one)}' for name, one in sets.items())}; "
        f"{len(shared)} in common): the accuracies above do not compare directly.",
        icon=":material/warning:",
    )
    lines = []
    for one in entries(sides):
        view = one.evaluation.report.get("common")
        if view and one.domain in view["domains"]:
            z = view["domains"][one.domain]
            lines.append(
                {
                    "": label(one, sides),
                    "classes": len(view["classes"]),
                    "n": z["n"],
                    "CLIP": z["accuracy_clip"],
                    "CLIP+SAE": z["accuracy_sae"],
                    "change": points(z["delta"], z["delta_ci_low"], z["delta_ci_high"]),
                    "McNemar p": f"{z['mcnemar_p']:.2g}",
                }
            )
    if not lines:
        return
    st.markdown("**The same among the classes that all of them share**: only images of these classes, only these prompts")
    formats = {"CLIP": PERCENT, "CLIP+SAE": PERCENT}
    st.dataframe(pd.DataFrame(lines), hide_index=True, width="stretch", column_config=formats)
    names = next(one.evaluation.report["common"]["classes"] for one in entries(sides) if one.evaluation.report.get("common"))
    with st.expander(f"The {count(len(names), 'shared class', 'shared classes')}"):
        st.markdown(plain(", ".join(names)))
