"""What stands beside the one dictionary: the sweep it came from, and the names of its latents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from sae_core.browse.names import method_of, score_words
from sae_core.evaluate.stability import stability_of
from sae_core.figures import pareto
from sae_core.publish.report.html import (
    Markup,
    absent,
    between,
    count,
    figure,
    number,
    p_value,
    paragraph,
    percent,
    section,
    table,
)
from sae_core.publish.report.material import Material

NAMED = 25


def sweep(material: Material) -> Markup:
    """Every member of the sweep, its front and its seeds; nothing for a run without one in its configuration."""
    if material.run.config.sweep is None:
        return Markup("")
    if material.swept is None:
        return section("sweep", "Sweep", absent("Not swept yet.", "sweep", material.refused.get("sweep", "")))
    members = material.swept.table
    rows = []
    for line in members.to_dict("records"):
        front = "yes" if line["pareto"] else ""
        numbers = [number(line["l0"], ".1f"), number(line["r2"], ".4f"), percent(line.get("dead_fraction"))]
        rows.append([line["name"], line["architecture"], front, count(line.get("width")), count(line.get("seed")), *numbers])
    head = ["member", "architecture", "on the front", "width", "seed", "L0", "R²", "dead"]
    drawn = figure(pareto(members), "Sparsity against fidelity of every member, and the front that none beats.")
    return section("sweep", "Sweep", drawn, table("Members, on the held-out rows", head, rows, words=3), _seeds(material))


def _seeds(material: Material) -> Markup:
    found = pd.DataFrame() if material.swept is None else stability_of(material.swept)
    if found.empty:
        return paragraph("No two members differ in nothing but the seed, so there is no seed stability.", "lead")
    rows = []
    for line in found.to_dict("records"):
        setting = ", ".join(f"{key} {line[key]:g}" for key in ("k", "l1", "width", "lr") if pd.notna(line[key]))
        spread = between(line["matched"], line["least"], line["greatest"], ".3f", 1)
        rows.append(
            [
                line["architecture"],
                setting,
                line["note"],
                count(line["seeds"]),
                number(line["alive"], ".0f"),
                spread,
                number(line["mmcs"]),
            ]
        )
    head = ["architecture", "setting", "note", "seeds", "alive latents", "matched cosine [least, greatest pair]", "MMCS"]
    return table("Seed stability: members that differ in nothing but the seed", head, rows, words=3)


def names(material: Material) -> Markup:
    """How many latents have a name that holds, and the best."""
    title = "Names of latents"
    if material.names is None:
        return section("names", title, absent("No names yet.", "interpret", material.refused.get("interpret", "")))
    frame, about = material.names.table, material.names.about
    states = frame["status"].value_counts()
    rows = [[status, count(int(n)), percent(n / len(frame))] for status, n in states.items()]
    parts: list[str] = [table(f"Of {len(frame):,} latents", ["status", "latents", "share"], rows)]
    kept = frame[(frame["status"] == "ok") & frame["score"].notna()].sort_values("score", ascending=False, kind="stable")
    if len(kept):
        best = kept.head(NAMED).to_dict("records")
        head = ["latent", "n fires", "n others", f"score ({score_words(about)[0]})"]
        if method_of(about) == "vision":
            head += ["AUROC", "intruder (chance 0.20)"]
            lines = [_by_vision(line) for line in best]
        else:
            head += ["against near misses", "p"]
            lines = [
                _tested(line, line["positives"], line["negatives"], number(line["near_miss_auroc"]), p_value(line["p"]))
                for line in best
            ]
        parts.append(table(f"The {len(lines)} best scored of {len(kept):,} names", head, lines))
    parts.append(paragraph(about.get("circularity", ""), "lead"))
    return section("names", title, *parts)


def _by_vision(line: Mapping[Any, Any]) -> list[str]:
    detection, intruder = line["scores"]["detection"], line["scores"].get("intruder") or {}
    found = between(intruder.get("value"), intruder.get("ci_low"), intruder.get("ci_high"), ".2f", 1)
    return _tested(line, detection["n_pos"], detection["n_neg"], number(detection["auroc"]), found)


def _tested(line: Mapping[Any, Any], n_pos: object, n_neg: object, *more: str) -> list[str]:
    score = between(line["score"], line["ci_low"], line["ci_high"], ".3f", 1)
    return [f"{int(line['latent'])} {line['label']}", count(n_pos), count(n_neg), score, *more]
