"""The names of latents as one flat table, whichever method gave them, with what people say beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from sae_core.interpret.labels import ManualLabel, with_labels
from sae_core.interpret.records import METHODS, Names, clean

PARTS = {"": "value", "_ci_low": "ci_low", "_ci_high": "ci_high"}
STATUS_WORDS: Mapping[str, tuple[str, str]] = {
    "ok": ("named", "The name predicts held-out images it was not made from."),
    "polysemantic": ("polysemantic", "The model sees two or more kinds of picture that have nothing in common."),
    "uninterpretable": ("abstained", "No name stands out, or the best one fails on held-out images."),
    "insufficient_data": ("too few images", "It fires on too few held-out images to test a name."),
    "dead": ("dead", "It fires on no image."),
    "failed": ("failed", "No reply could be used, so nothing is said of it; naming again asks for it anew."),
}
"""What each status is called, and what it means."""
SCORE_WORDS: Mapping[str, tuple[str, str]] = {
    "clip": (
        "AUROC",
        "CLIP consistency: does cos(image, name) tell held-out images that fire it from those that do not? 0.5 is chance.",
    ),
    "vision": (
        "balanced accuracy",
        "Detection: a model that reads the name picks the held-out images that fire it. 0.5 is chance.",
    ),
}
"""What `score` is called and means, by the method of the names."""


def method_of(about: Mapping[str, Any]) -> str:
    """`clip` or `vision`; artifacts of before there was a choice are `clip`."""
    return str(about.get("method", "clip"))


def score_words(about: Mapping[str, Any]) -> tuple[str, str]:
    """What the score of these names is called, and what it means."""
    return SCORE_WORDS[method_of(about)]


def names_table(names: Names, labels: Mapping[int, ManualLabel] | None = None) -> pd.DataFrame:
    """Every record flat, a row a latent, in the order of the records.

    Returns: latent, label, status, score, ci_low, ci_high, then by method
        clip: near_miss_auroc, p, swap_gap, retrieval, positives, negatives;
        vision: detection_auroc, coverage, `intruder` and `clip_consistency` with _ci_low and _ci_high, confidence, cost (USD),
            model_served, prompt_version, explanation, counterevidence;
        then candidate, others (next words or labels, joined), reason; manual_label, manual_author, manual_time and the manual
        label's `manual_detection`, `manual_clip_consistency` with their intervals. Absent numbers are NaN.
    """
    records = with_labels(names.records(), labels or {})
    rows = [_row(record, method_of(names.about)) for record in records]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["latent", "label", "status", "score"])


def _row(record: Mapping[str, Any], method: str) -> dict[str, Any]:
    first = ("latent", "label", "status", "score", "ci_low", "ci_high")
    row: dict[str, Any] = {name: record[name] for name in first}
    if method == "clip":
        more = ("near_miss_auroc", "p", "swap_gap", "retrieval", "positives", "negatives")
        row |= {name: record.get(name) for name in more}
    else:
        scores = {name: (record.get("scores") or {}).get(name) or {} for name in METHODS}
        row |= {"detection_auroc": scores["detection"].get("auroc"), "coverage": scores["detection"].get("coverage")}
        for name in ("intruder", "clip_consistency"):
            row |= {f"{name}{end}": scores[name].get(part) for end, part in PARTS.items()}
        said = ("confidence", "cost", "model_served", "prompt_version", "explanation", "counterevidence")
        row |= {name: record.get(name) for name in said}
    row |= {"candidate": record["candidate"], "others": _others(record.get("alternatives") or ()), "reason": record["reason"]}
    row |= {name: value for name, value in record.items() if name.startswith("manual_")}
    return {name: _number(name, value) for name, value in row.items()}


def _others(alternatives: Any) -> str:
    return clean(", ".join(str(one["word"] if isinstance(one, dict) else one) for one in alternatives[:3]), 200)


_TEXTS = ("label", "status", "model_served", "prompt_version", "explanation", "counterevidence", "candidate", "others", "reason")
_COUNTS = ("latent", "positives", "negatives")


def _number(name: str, value: Any) -> Any:
    # A column without any value must still be one of numbers, or tables sort it as text.
    if name in _TEXTS or name in _COUNTS or name in ("manual_label", "manual_author", "manual_time"):
        return value
    return float("nan") if value is None else float(value)
