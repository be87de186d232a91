"""The headline numbers of everything chosen, beside each other: the best of a domain starred, what differs said in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui.evaluation.sides import Entry, Side, entries, label
from pages._ui.text import plain

STAR = " ★"


@dataclass(frozen=True)
class Metric:
    """A column: its name, where its number is, how it is written, and which end is good (+1, -1; 0: neither)."""

    name: str
    of: Callable[[Mapping[str, Any]], float | None]
    form: Callable[[float], str]
    good: int = 1


def at(*path: str) -> Callable[[Mapping[str, Any]], float | None]:
    """The number at a path of the report; None where a step of it is missing."""

    def read(found: Mapping[str, Any]) -> float | None:
        value: Any = found
        for step in path:
            value = value.get(step) if isinstance(value, Mapping) else None
        return None if value is None else float(value)

    return read


def percent(value: float) -> str:
    """A share in percent, one decimal."""
    return f"{100 * value:.1f} %"


def points(delta: float | None, low: float | None = None, high: float | None = None) -> str:
    """A difference of shares in points, with its interval where there is one."""
    if delta is None:
        return "–"
    return f"{100 * delta:+.1f} points" + ("" if low is None or high is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]")


METRICS = (
    Metric("n", at("rows"), "{:,.0f}".format, 0),
    Metric("CLIP", at("zero_shot", "accuracy_clip"), percent, 0),
    Metric("CLIP+SAE", at("zero_shot", "accuracy_sae"), percent),
    Metric("change", at("zero_shot", "delta"), points),
    Metric("retained", at("zero_shot", "retained"), percent),
    Metric("recall@10, CLIP", at("recall", "recall_10_clip"), percent, 0),
    Metric("recall@10, CLIP+SAE", at("recall", "recall_10_sae"), percent),
    Metric("L0", at("reconstruction", "l0"), "{:.1f}".format, 0),
    Metric("R²", at("reconstruction", "r2"), "{:.3f}".format),
    Metric("dead", at("quality", "dead_fraction"), percent, -1),
    Metric("MS", at("quality", "ms", "mean"), "{:.3f}".format),
    Metric("CKNNA", at("quality", "cknna", "value"), "{:.3f}".format),
)


def table(shown: Sequence[Entry]) -> pd.DataFrame:
    """A line an entry, a column a metric that any of them has; ★: the best of several runs on a domain."""
    lines = [
        {"domain": one.domain, "run": one.label, "trained on it": "yes" if one.found.get("trained_on", True) else "no"}
        for one in shown
    ]
    for metric in METRICS:
        values = [metric.of(one.found) for one in shown]
        if all(value is None for value in values):
            continue
        best = _best(metric, [one.domain for one in shown], values)
        for line, domain, value in zip(lines, [one.domain for one in shown], values, strict=True):
            star = STAR if value is not None and value == best.get(domain) else ""
            line[metric.name] = "–" if value is None else metric.form(value) + star
    return pd.DataFrame(lines)


def _best(metric: Metric, domains: Sequence[str], values: Sequence[float | None]) -> dict[str, float]:
    """The best value of each domain on which runs differ; a domain with one run, or with all alike, has no best."""
    found = {}
    for domain in set(domains):
        own = [value for one, value in zip(domains, values, strict=True) if one == domain and value is not None]
        if metric.good and len(set(own)) > 1:
            found[domain] = max(own, key=lambda value: metric.good * value)
    return found


def show(sides: Sequence[Side]) -> None:
    """The table and the sentence, where there is more than one entry."""
    shown = entries(sides)
    if len(shown) < 2:
        return
    st.subheader("Beside each other", anchor=False)
    whole = table(shown)
    st.dataframe(whole, hide_index=True, width="stretch")
    runs = len({one.run.id for one in shown}) > 1
    if runs:
        groups = [[one for one in shown if one.domain == domain] for domain in dict.fromkeys(one.domain for one in shown)]
    else:
        groups = [shown]
    for group in groups:
        st.markdown(verdict({label(one, sides): one.found for one in group}))
    st.caption(
        ("★: the best of the runs on this domain; a small lead can be chance, see its interval. " if runs else "")
        + "“Change” is CLIP+SAE minus CLIP on the same images; R² is centred; held-out images throughout."
    )


def details(sides: Sequence[Side], numbers: Callable[[Entry], None]) -> None:
    """Each entry's own numbers in its side's column; folded away where runs share a column."""
    for place, side in zip(st.columns(len(sides), gap="large"), sides, strict=True):
        with place:
            st.subheader(plain(side.title), anchor=False)
            for one in side.entries:
                if len(side.entries) == 1:
                    numbers(one)
                else:
                    with st.expander(plain(one.label)):
                        numbers(one)


def verdict(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Which of these change clearly more than another, by name: those whose 95 % intervals lie apart; markdown, or nothing."""
    spans = [
        (name, z["delta_ci_low"], z["delta"], z["delta_ci_high"]) for name, one in found.items() if (z := one.get("zero_shot"))
    ]
    spans.sort(key=lambda span: span[2])
    apart = [(first, last) for i, first in enumerate(spans) for last in spans[i + 1 :] if first[3] < last[1]]
    if len(spans) < 2:
        return ""
    if not apart:
        names = ", ".join(plain(span[0]) for span in spans)
        return f"{names}: the 95 % intervals of the change overlap, no difference between them is clear."
    (name, _, low, _), (other, _, high, _) = max(apart, key=lambda pair: pair[1][2] - pair[0][2])
    return (
        f"**Clearly different**: {plain(name)} changes by {points(low)}, {plain(other)} by {points(high)}, "
        "and their 95 % intervals do not overlap."
    )
