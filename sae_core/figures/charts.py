"""Plotly figures from arrays and frames alone; none reads an artifact or knows a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from sae_core.figures.style import CLIP, CONDITIONS, CONTROL, SAE, named_rows, plain, styled, whisker


def accuracy_bars(frame: pd.DataFrame, title: str = "Zero-shot accuracy", axis: str = "images classified rightly") -> go.Figure:
    """Bars of every condition for each group (a domain, or recall@k) on one scale from 0 to 1.

    Args:
        frame: columns `group`, `condition` (a name of `CONDITIONS`), `value` in [0, 1]; optional `low` and `high`, the ends of a
            95 % confidence interval, drawn as whiskers.
        axis: what the shared scale counts.
    """
    figure = go.Figure()
    whiskers = {"low", "high"} <= set(frame.columns)
    for condition, rows in frame.groupby("condition", sort=False):
        error = None
        if whiskers:
            error = whisker(rows.value, rows.low, rows.high)
        figure.add_bar(
            x=[plain(group) for group in rows.group],
            y=rows.value,
            name=str(condition),
            marker_color=CONDITIONS.get(str(condition), CONTROL),
            marker_pattern_shape="/" if condition == "mean ablation" else "",
            text=[f"{100 * value:.1f}" for value in rows.value],
            # Inside at the foot of the bar, where no whisker crosses it; a bar too short to hold it has it above.
            textposition=["inside" if value > 0.12 else "outside" for value in rows.value],
            insidetextanchor="start",
            insidetextfont={"color": "white", "size": 12},
            outsidetextfont={"size": 12},
            textangle=0,
            constraintext="none",
            error_y=error,
            hovertemplate="%{x}<br>" + str(condition) + ": %{y:.2%}<extra></extra>",
        )
    figure.update_layout(barmode="group", bargap=0.25, bargroupgap=0.06)
    figure.update_yaxes(range=[0, 1.0], tickformat=".0%", title_text=axis)
    return styled(figure, title, 360)


def histogram_by_domain(
    histograms: Mapping[str, tuple[NDArray[np.floating], NDArray[np.integer]]],
    colours: Mapping[str, str],
    title: str = "Activations",
) -> go.Figure:
    """How strongly a latent fires on each domain: number of images (log axis) by activation, where it fires at all.

    Args:
        histograms: domain -> (edges float [b+1] in activation units, counts int [b]); empty bins are left out (log of 0).
        colours: colour of each domain.
    """
    figure = go.Figure()
    for nth, (domain, (edges, counts)) in enumerate(histograms.items()):
        edges, counts = np.asarray(edges, dtype=float), np.asarray(counts, dtype=float)
        # Side by side within the bin: laid over each other two colours would mix to a third that means nothing.
        width = np.diff(edges) / len(histograms)
        figure.add_bar(
            x=edges[:-1] + (nth + 0.5) * width,
            y=np.where(counts > 0, counts, np.nan),
            width=width,
            name=str(domain),
            marker={"color": colours.get(domain, CONTROL), "line": {"width": 0}},
            hovertemplate=str(domain) + ": %{y} images at about %{x:.3g}<extra></extra>",
        )
    top = max((int(np.max(counts, initial=0)) for _, counts in histograms.values()), default=0)
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_yaxes(type="log", title_text="images", range=[np.log10(0.7), np.log10(max(top, 1) * 1.6)], dtick=1)
    figure.update_xaxes(title_text="activation", rangemode="tozero")
    return styled(figure, title, 300)


def training_curves(
    frames: Mapping[str, pd.DataFrame],
    metrics: Sequence[str] = ("loss", "r2", "l0", "dead_fraction"),
    columns: int = 2,
    title: str = "",
) -> go.Figure:
    """Small multiples of training metrics by step; the first run is violet, runs laid over it are grey and dashed.

    Args:
        frames: run name -> frame with a column `step` and any of `metrics`; a metric no frame has is left out.
    """
    shown = [metric for metric in metrics if any(metric in frame for frame in frames.values())]
    rows = max(1, -(-len(shown) // columns))
    names = [_METRIC_TITLES.get(metric, metric.replace("_", " ")) for metric in shown]
    figure = make_subplots(rows=rows, cols=columns, subplot_titles=names, horizontal_spacing=0.14, vertical_spacing=0.26 / rows)
    dashes = ("solid", "dash", "dot", "dashdot")
    for nth, (run, frame) in enumerate(frames.items()):
        for place, metric in enumerate(shown):
            if metric not in frame:
                continue
            points = frame[["step", metric]].dropna()
            figure.add_scatter(
                x=points.step,
                y=points[metric],
                mode="lines" if len(points) > 1 else "markers",
                name=plain(run),
                legendgroup=str(nth),
                showlegend=place == 0,
                line={"color": SAE if nth == 0 else CLIP, "dash": dashes[nth % 4], "width": 2},
                hovertemplate="step %{x}: %{y:.4g}<extra></extra>",
                row=place // columns + 1,
                col=place % columns + 1,
            )
    figure.update_annotations(font_size=13)
    figure = styled(figure, title, 70 + 190 * rows, legend=len(frames) > 1)
    figure.update_yaxes(nticks=5)
    figure.update_xaxes(nticks=5)
    return figure


_METRIC_TITLES = {
    "loss": "loss",
    "mse": "squared error",
    "l0": "L0 (latents an image)",
    "r2": "R² (centred)",
    "dead_fraction": "dead latents (share)",
    "embeddings_per_second": "embeddings a second",
    "best_held_out_r2": "best R² so far (held-out rows)",
}


def label_curves(
    frame: pd.DataFrame, band: pd.DataFrame | None = None, at: float | None = None, title: str = "Labels"
) -> go.Figure:
    """Probability of each label along a sweep; the band is what random edits of equal norm do to the leading label.

    Args:
        frame: columns `strength` (multiples of the latent's own maximum), `label`, `probability` in [0, 1]; labels in order of
            importance, the first one is violet.
        band: columns `strength`, `low`, `high`: the range of random directions, or None.
        at: strength that is set now, drawn as a line.
    """
    figure = go.Figure()
    if band is not None and len(band):
        band = band.sort_values("strength")
        figure.add_scatter(
            x=[*band.strength, *band.strength[::-1]],
            y=[*band.high, *band.low[::-1]],
            fill="toself",
            mode="lines",
            line={"width": 0, "color": CONTROL},
            fillcolor="rgba(156,163,175,0.35)",
            name="random directions",
            hoverinfo="skip",
        )
    palette = (SAE, "#0f766e", "#b45309", "#be185d", "#4d7c0f", CLIP)
    for nth, (label, rows) in enumerate(frame.groupby("label", sort=False)):
        rows = rows.sort_values("strength")
        figure.add_scatter(
            x=rows.strength,
            y=rows.probability,
            mode="lines+markers",
            name=plain(label, 28),
            line={"color": palette[min(nth, len(palette) - 1)], "width": 3 if nth == 0 else 1.5},
            marker={"size": 6 if nth == 0 else 4},
            hovertemplate=plain(label, 28) + ": %{y:.1%} at %{x:g}×<extra></extra>",
        )
    if at is not None:
        figure.add_vline(x=at, line={"color": CONTROL, "width": 1, "dash": "dot"})
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%", title_text="probability")
    figure.update_xaxes(title_text="strength (× the latent's maximum)")
    return styled(figure, title, 400)


def probability_bars(frame: pd.DataFrame, title: str = "Labels before and after") -> go.Figure:
    """Label probabilities of the image as it is (grey) and after the edits (violet), the most probable first.

    Args:
        frame: columns `label`, `before`, `after` in [0, 1], in the order to draw.
    """
    figure = go.Figure()
    for name, colour in (("before", CLIP), ("after", SAE)):
        figure.add_bar(
            y=list(range(len(frame))),
            x=frame[name],
            customdata=[plain(label) for label in frame["label"]],
            name=name,
            orientation="h",
            marker_color=colour,
            hovertemplate="%{customdata}, " + name + ": %{x:.1%}<extra></extra>",
        )
    figure.update_layout(barmode="group", bargap=0.3)
    figure.update_xaxes(range=[0, 1], tickformat=".0%", title_text="probability")
    named_rows(figure, list(frame["label"]), 26)
    return styled(figure, title, 120 + 40 * len(frame))
