"""Class by class: what each gains or loses, and which classes are taken for which, before and after."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import latents, theme
from pages._ui.bits import PERCENT, csv, download
from pages._ui.evaluation.sides import Entry, Side, entries, label, one_each
from pages._ui.text import count, plain

MOST = 14
"""Classes of a confusion matrix, so that their names can be read in a column."""
VIEWS = {"difference": "What changes", "before": "CLIP", "after": "CLIP+SAE"}


def colours(sides: Sequence[Side]) -> dict[str, str]:
    """A colour for each entry as figures call it: of its domain, or of its run where several runs are shown."""
    shown = entries(sides)
    if len({one.run.id for one in shown}) == 1:
        return latents.colours(shown[0].have)
    several = ("#7c3aed", "#0d9488", "#b45309", "#be185d")
    order = list(dict.fromkeys(one.run.id for one in shown))
    return {label(one, sides): several[order.index(one.run.id) % len(several)] for one in shown}


def deltas(sides: Sequence[Side]) -> None:
    """Change of accuracy by class, all entries on one scale, then as a table."""
    parts = [one.rows(one.evaluation.per_class).assign(domain=label(one, sides)) for one in entries(sides)]
    shown = pd.concat(parts, ignore_index=True)
    if shown.empty:
        st.info("There are no classes here: this data has captions, or neither. See the accuracy section.")
        return
    theme.show(sc.figures.class_deltas(shown, colours(sides)), key="by-class")
    names = {
        "accuracy_clip": "CLIP",
        "accuracy_sae": "CLIP+SAE",
        "delta": "change",
        "delta_ci_low": "from",
        "delta_ci_high": "to",
    }
    table = shown.sort_values("delta").rename(columns=names)
    formats = dict.fromkeys(names.values(), PERCENT)
    st.dataframe(table, hide_index=True, width="stretch", column_config=formats, height=min(320, 38 + 35 * len(table)))
    download(st, "Download as CSV", lambda: csv(shown), "per_class.csv")


def confusion(sides: Sequence[Side]) -> None:
    """What is taken for what by CLIP and by CLIP+SAE, and the difference, a column for each side."""
    chosen = one_each(sides, "confusion")
    view = st.segmented_control(
        "What is drawn",
        list(VIEWS),
        default="difference",
        required=True,
        format_func=VIEWS.__getitem__,
        key="confusion-view",
        wrap=True,
        persist_state="session",
        label_visibility="collapsed",
    )
    for place, side in zip(st.columns(len(chosen), gap="large"), chosen, strict=True):
        with place:
            st.subheader(plain(side.title), anchor=False)
            _confusion(side.entries[0], str(view))


def _confusion(one: Entry, view: str) -> None:
    z = one.found.get("zero_shot")
    if not z:
        st.caption("There are no classes here, so none is taken for another.")
        return
    if "confusion_clip" not in z:
        st.caption(plain(f"{count(len(z['classes']), 'class', 'classes')}: too many for a matrix; the classes section has them."))
        return
    moved = _moved(one)
    if moved.empty and view == "difference":
        st.caption("Nothing: every held-out image is taken for the same class with the dictionary as without.")
        return
    figure = sc.figures.confusion(z["confusion_clip"], z["confusion_sae"], z["classes"], view, MOST)
    theme.show(figure, key=f"confusion-{one.key}")
    if len(moved):
        st.markdown("**What changes most**")
        st.dataframe(moved, hide_index=True, width="stretch")


def _moved(one: Entry, most: int = 8) -> pd.DataFrame:
    z = one.found["zero_shot"]
    names = z["classes"]
    lines = [
        {"is": names[i], "taken for": names[j], "CLIP": before, "CLIP+SAE": after, "change": after - before}
        for i, (clip, sae) in enumerate(zip(z["confusion_clip"], z["confusion_sae"], strict=True))
        for j, (before, after) in enumerate(zip(clip, sae, strict=True))
        if i != j and before != after
    ]
    lines.sort(key=lambda line: -abs(line["change"]))
    return pd.DataFrame(lines[:most])
