"""What a dictionary costs CLIP: accuracies beside their controls, class by class, and which class is taken for which."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots
from scipy.stats import binomtest

from sae_core.figures.style import CLIP, CONDITIONS, CONTROL, CONTROLS, SAE, named_rows, plain, styled, whisker

CLASSES = 24
"""A confusion with more classes shows those whose row changes most."""
_LONG = 0.25
_PATTERNS = {"PCA": "", "random dictionary": "x", "mean ablation": "/"}
# Open ones after the first, so that equal values of two domains are both seen.
_SYMBOLS = ("circle", "diamond-open", "square-open", "triangle-up-open")


def conditions_table(domains: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Accuracy of CLIP, CLIP+SAE and every control on each domain, each with its 95 % Wilson interval.

    Args:
        domains: what to call it -> a domain of an evaluation's report (keys `zero_shot` and, where they were made, `controls`);
            one without classes has no line.

    Returns: DataFrame group, condition, value, low, high, n, and against CLIP, paired: delta, delta_ci_low, delta_ci_high,
        mcnemar_p (NaN for CLIP itself, and where they were not measured).
    Source: Wilson 1927. It takes images as independent: near-duplicates make it too short, the paired interval knows them.
    """
    lines = []
    for group, found in domains.items():
        z = found.get("zero_shot")
        if not z:
            continue
        n = int(z["n"])
        made = {str(control["name"]): control for control in found.get("controls") or []}
        rows: dict[str, tuple[Any, Mapping[str, Any]]] = {"CLIP": (z["accuracy_clip"], {}), "CLIP+SAE": (z["accuracy_sae"], z)}
        rows |= {name: (made[name].get("accuracy"), made[name]) for name in (*CONTROLS, *made) if name in made}
        if "mean ablation" not in rows:
            rows["mean ablation"] = (z.get("accuracy_floor"), {})
        for condition, (accuracy, against) in rows.items():
            if accuracy is None:
                continue
            interval = binomtest(round(accuracy * n), n).proportion_ci(method="wilson") if n else (math.nan, math.nan)
            paired = [_number(against.get(key)) for key in ("delta", "delta_ci_low", "delta_ci_high", "mcnemar_p")]
            lines.append((group, condition, float(accuracy), float(interval[0]), float(interval[1]), n, *paired))
    paired_names = ("delta", "delta_ci_low", "delta_ci_high", "mcnemar_p")
    return pd.DataFrame(lines, columns=["group", "condition", "value", "low", "high", "n", *paired_names])


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def controls_bars(domains: Mapping[str, Mapping[str, Any]], title: str = "Zero-shot accuracy and controls") -> go.Figure:
    """CLIP, CLIP+SAE and the controls of each domain (or of each run and domain) side by side on one scale from 0 to 1.

    Whiskers are 95 % Wilson intervals; the paired difference from CLIP is in the hover text.

    Args:
        domains: as for `conditions_table`.
    """
    frame = conditions_table(domains)
    groups = list(dict.fromkeys(frame["group"]))
    columns = min(2, max(1, len(groups)))
    lines = max(1, -(-len(groups) // columns))
    names = list(dict.fromkeys(frame["condition"]))
    heads = [f"{plain(group, 22)}<br>n = {rows.n.iloc[0]:,}" for group, rows in frame.groupby("group", sort=False)]
    space = {"horizontal_spacing": 0.08, "vertical_spacing": 0.3 / lines}
    figure = make_subplots(rows=lines, cols=columns, shared_xaxes="all", shared_yaxes=True, subplot_titles=heads, **space)
    for nth, (_, rows) in enumerate(frame.groupby("group", sort=False)):
        delta = rows[["delta", "delta_ci_low", "delta_ci_high", "mcnemar_p"]].to_numpy(float).tolist()
        figure.add_bar(
            y=[names.index(condition) for condition in rows.condition],
            x=rows.value,
            orientation="h",
            marker_color=[CONDITIONS.get(condition, CONTROL) for condition in rows.condition],
            marker_pattern={
                "shape": [_PATTERNS.get(condition, "") for condition in rows.condition],
                "fillmode": "overlay",
                "solidity": 0.2,
                "fgcolor": "white",
                "bgcolor": CONTROL,  # only controls have a pattern
            },
            text=[f"{100 * value:.1f}" if value > _LONG else "" for value in rows.value],
            textposition="inside",
            insidetextanchor="start",
            insidetextfont={"color": "white", "size": 12},
            textangle=0,
            constraintext="none",
            error_x=whisker(rows.value, rows.low, rows.high),
            customdata=[[plain(c), _against(d)] for c, d in zip(rows.condition, delta, strict=True)],
            hovertemplate="%{customdata[0]}: %{x:.2%}%{customdata[1]}<extra></extra>",
            row=nth // columns + 1,
            col=nth % columns + 1,
        )
        # In a short bar the number would stand on the whisker.
        short = rows[rows.value <= _LONG]
        figure.add_scatter(
            y=[names.index(condition) for condition in short.condition],
            x=short.high,
            text=[f" {100 * value:.1f}" for value in short.value],
            mode="text",
            textposition="middle right",
            hoverinfo="skip",
            row=nth // columns + 1,
            col=nth % columns + 1,
        )
    figure.update_annotations(font_size=12)
    named_rows(figure, names, 20)
    for place in range(2, columns + 1):
        figure.update_yaxes(showticklabels=False, col=place)
    figure.update_layout(bargap=0.25)
    figure.update_xaxes(range=[0, 1.0], tickvals=[0, 0.5, 1], ticktext=["0", "50", "100"], title_text="% right")
    figure = styled(figure, title, 124 + lines * (60 + 30 * max(1, len(names))), legend=False)
    # The names of the panels are two lines, below the title.
    return figure.update_layout(margin_t=72)


def _against(paired: Sequence[float]) -> str:
    delta, low, high, p = paired
    if not math.isfinite(delta):
        return ""
    return f"<br>{100 * delta:+.1f} points against CLIP [{100 * low:+.1f}, {100 * high:+.1f}]<br>McNemar p = {p:.2g}"


def class_deltas(
    frame: pd.DataFrame, colours: Mapping[str, str], limit: int = 12, title: str = "Change of accuracy by class"
) -> go.Figure:
    """What the dictionary costs or gains each class, worst first; with more than 2 x `limit` classes only both ends are drawn.

    Args:
        frame: columns `domain`, `class`, `n`, `delta` (accuracy CLIP+SAE minus CLIP, in [-1, 1]); optional `delta_ci_low` and
            `delta_ci_high`, drawn as whiskers.
        colours: colour of each domain (see `domain_colours`).
    """
    order = frame.groupby("class")["delta"].mean().sort_values()
    kept = list(order.index) if len(order) <= 2 * limit else [*order.index[:limit], *order.index[-limit:]]
    if len(kept) < len(order):
        title = f"{title} ({limit} worst, {limit} best)"
    whiskers = {"delta_ci_low", "delta_ci_high"} <= set(frame.columns)
    domains = list(dict.fromkeys(frame["domain"]))
    figure = go.Figure()
    for nth, (domain, rows) in enumerate(frame[frame["class"].isin(kept)].groupby("domain", sort=False)):
        rows = rows.set_index("class").reindex(kept).reset_index().dropna(subset=["delta"])
        colour, said = colours.get(str(domain), CONTROL), ["" for _ in rows.index]
        error = None
        if whiskers:
            said = [f" [{100 * a:+.1f}, {100 * b:+.1f}]" for a, b in zip(rows.delta_ci_low, rows.delta_ci_high, strict=True)]
            error = whisker(rows.delta, rows.delta_ci_low, rows.delta_ci_high, colour, thickness=1, width=0)
        # The domains of one class stand a little apart, or one would hide the other's interval.
        figure.add_scatter(
            x=rows.delta,
            y=rows.index + (0.3 * (nth / max(1, len(domains) - 1) - 0.5) if whiskers and len(domains) > 1 else 0),
            mode="markers",
            name=plain(domain),
            marker={
                "color": colour,
                "size": 9,
                "symbol": _SYMBOLS[nth % len(_SYMBOLS)],
                "line": {"width": 2 if nth else 0},
            },
            error_x=error,
            customdata=[[plain(name), int(n), ci] for name, n, ci in zip(rows["class"], rows["n"], said, strict=True)],
            hovertemplate="%{customdata[0]}, "
            + plain(domain)
            + ": %{x:+.1%}%{customdata[2]}, n = %{customdata[1]}<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": CONTROL, "width": 1})
    figure.update_xaxes(tickformat="+.0%", title_text="CLIP+SAE minus CLIP")
    named_rows(figure, kept, 24)
    return styled(figure, title, 130 + 18 * len(kept))


def confusion(
    before: ArrayLike, after: ArrayLike, classes: Sequence[str], view: str = "difference", limit: int = CLASSES
) -> go.Figure:
    """Which class is taken for which: by CLIP, by CLIP+SAE, or what the dictionary changes, in percent of a class's images.

    In the difference violet is taken so more often with the dictionary, grey less often; off the diagonal violet is harm, on it
    gain. With more than `limit` classes the rows and columns of those that change most are drawn, and the title says so.

    Args:
        before, after: int [C, C], images of class row taken for class column, by CLIP and by CLIP+SAE.
        classes: the C names.
        view: "difference" | "before" | "after".
    """
    counts = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    whole = counts[0].sum(axis=1, keepdims=True)
    shares = [np.divide(one, whole, out=np.zeros_like(one), where=whole > 0) for one in counts]
    change = shares[1] - shares[0]
    kept = np.sort(np.argsort(-np.abs(change).sum(axis=1), kind="stable")[:limit])
    z = {"difference": change, "before": shares[0], "after": shares[1]}[view][np.ix_(kept, kept)]
    names = [plain(classes[one], 14) for one in kept]
    told = [
        [[plain(classes[i]), plain(classes[j]), int(counts[0][i, j]), int(counts[1][i, j]), int(whole[i, 0])] for j in kept]
        for i in kept
    ]
    title = {"difference": "What the dictionary changes", "before": "CLIP's confusions", "after": "CLIP+SAE's confusions"}[view]
    if len(kept) < len(classes):
        title = f"{title} ({len(kept)} of {len(classes)})"
    most = float(np.abs(z).max()) if z.size else 0.0
    figure = go.Figure()
    figure.add_heatmap(
        z=z,
        customdata=told,
        zmin=-(most or 1) if view == "difference" else 0,
        zmax=(most or 1) if view == "difference" else 1,
        colorscale=_DIFFERENCE if view == "difference" else [[0, _NOTHING], [1, SAE if view == "after" else CLIP]],
        colorbar={"tickformat": "+.0%" if view == "difference" else ".0%", "thickness": 10, "outlinewidth": 0, "x": 1.01},
        xgap=1,
        ygap=1,
        hovertemplate="%{customdata[0]} taken for %{customdata[1]}<br>CLIP %{customdata[2]}, CLIP+SAE %{customdata[3]}"
        " of %{customdata[4]} images<extra></extra>",
    )
    places = list(range(len(names)))
    figure.update_xaxes(tickvals=places, ticktext=names, tickangle=-60, title_text="taken for", showgrid=False, zeroline=False)
    figure = styled(figure, title, 210 + max(160, 17 * len(names)), legend=False)
    figure.update_yaxes(tickvals=places, ticktext=names, autorange="reversed", title_text="is", showgrid=False, zeroline=False)
    return figure


_NOTHING = "rgba(128,128,128,0.08)"
_DIFFERENCE = [[0, CLIP], [0.5, _NOTHING], [1, SAE]]
