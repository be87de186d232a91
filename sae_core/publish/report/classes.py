"""Class by class, and image by image: what changes its answer, and what moved it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from sae_core.figures import class_deltas, confusion
from sae_core.publish.report.html import (
    Markup,
    count,
    figure,
    folded,
    heading,
    number,
    paragraph,
    percent,
    points,
    section,
    table,
)
from sae_core.publish.report.material import Material

OPEN = 30
"""A table of more lines is folded on the screen."""
CHANGES = 12
FLIPS = 20
"""Images of a domain listed; the evaluation's own table has all."""


def by_class(material: Material) -> Markup:
    """What each class gains or loses."""
    if material.evaluation is None or material.evaluation.per_class.empty:
        return Markup("")
    frame = material.evaluation.per_class
    rows = []
    for line in frame.sort_values(["domain", "delta"], kind="stable").to_dict("records"):
        ends = [line.get(key) for key in ("delta", "delta_ci_low", "delta_ci_high")]
        accuracies = [percent(line["accuracy_clip"]), percent(line["accuracy_sae"])]
        rows.append([line["domain"], line["class"], count(line["n"]), *accuracies, points(*ends)])
    head = ["domain", "class", "n", "CLIP", "CLIP+SAE", "change, points"]
    whole = table("Accuracy of every class, the greatest loss first", head, rows, words=2)
    drawn = figure(class_deltas(frame, material.colours), "Change of accuracy by class, with 95 % intervals where known.")
    return section("classes", "Class by class", drawn, folded(f"All {len(rows):,} lines", whole, len(rows) <= OPEN))


def confusions(material: Material) -> Markup:
    """Which class is taken for which, before and after; very many classes have no matrix, only the flips below."""
    parts: list[str] = []
    for name, found in material.domains.items():
        z = found.get("zero_shot") or {}
        if not z.get("confusion_clip") or not z.get("confusion_sae"):
            continue
        before, after, classes = np.array(z["confusion_clip"]), np.array(z["confusion_sae"]), z["classes"]
        parts += [heading(name), _changes(name, before, after, classes)]
        changed = not np.array_equal(before, after)
        if changed:
            said = f"{name}: share of a class's images taken for another, CLIP+SAE less CLIP (violet: more with the dictionary)."
            parts.append(figure(confusion(before, after, classes), said))
        views = {"before": "CLIP", "after": "CLIP+SAE"} if changed else {"after": "CLIP and by CLIP+SAE"}
        for view, who in views.items():
            said = f"{name}: share of a class's images taken for another by {who}."
            parts.append(figure(confusion(before, after, classes, view), said))
    return section("confusion", "What is taken for what", *parts) if parts else Markup("")


def _changes(name: str, before: np.ndarray[Any, Any], after: np.ndarray[Any, Any], classes: Sequence[str]) -> Markup:
    change = after - before
    np.fill_diagonal(change, 0)
    order = np.argsort(-np.abs(change), axis=None, kind="stable")[:CHANGES]
    rows = []
    for place in order:
        i, j = np.unravel_index(place, change.shape)
        if change[i, j]:
            rows.append([classes[i], classes[j], *map(count, (int(before[i].sum()), int(before[i, j]), int(after[i, j])))])
    if not rows:
        return paragraph(f"{name}: no image is taken for another class than before.")
    return table(f"{name}: the confusions that change most", ["is", "taken for", "n", "by CLIP", "by CLIP+SAE"], rows, words=2)


def flips(material: Material) -> Markup:
    """Images whose answer changes, with the latents and the residual that changed it."""
    if material.evaluation is None or material.evaluation.flips.empty:
        return Markup("")
    parts: list[str] = []
    for name, table_ in material.evaluation.flips.groupby("domain", sort=False):
        classes = material.domains[str(name)]["zero_shot"]["classes"]
        parts.append(_flipped(material, str(name), table_, classes))
    said = (
        "With w the difference of the two classes' text directions (the answer through the dictionary less CLIP's), w·x̂ "
        "is the sum of a bias and one push a latent, and w·x is w·x̂ plus the push of the residual x - x̂. A negative "
        "residual is what held the image in CLIP's class and is lost; the latents named pushed most, either way."
    )
    return section("flips", "Images that flip", paragraph(said), *parts)


def _flipped(material: Material, name: str, frame: pd.DataFrame, classes: Sequence[str]) -> Markup:
    shown = frame.assign(swing=(frame["margin_sae"] - frame["margin_clip"]).abs())
    shown = shown.sort_values("swing", ascending=False, kind="stable").head(FLIPS)
    manifest = material.manifests.get(name)
    rows = []
    for line in shown.to_dict("records"):
        file = "" if manifest is None else str(manifest.table["file"].iat[int(line["image"])])
        pushes = ", ".join(f"{int(j)} ({push:+.2g})" for j, push in zip(line["latents"], line["pushes"], strict=True))
        named = [classes[int(line[key])] for key in ("label", "pred_clip", "pred_sae")]
        numbers = [number(line["margin_clip"], "+.3g"), number(line["margin_sae"], "+.3g"), number(line["residual"], "+.3g")]
        rows.append([f"{int(line['image'])} {file}".strip(), line["kind"], *named, pushes, *numbers])
    kinds = frame["kind"].value_counts()
    told = ", ".join(f"{count(int(kinds.get(kind, 0)))} {kind}" for kind in ("lost", "gained", "changed"))
    head = ["image", "kind", "is", "CLIP says", "CLIP+SAE says", "latents (push)", "w·x", "w·x̂", "residual"]
    caption = f"{name}: {told}; the {len(rows)} of {len(frame):,} that swing most"
    return folded(f"{name}: {told}", table(caption, head, rows, words=6))
