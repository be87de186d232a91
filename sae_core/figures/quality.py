"""How a dictionary uses its latents: how many an image, how often each, and how well a few of them tell a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from sae_core.figures.style import CONTROL, plain, styled, whisker

BINS = 40
_DASHES = {"latents": "solid", "dimensions": "dash"}


def l0_histogram(
    distributions: Mapping[str, Mapping[str, Sequence[float]]], colours: Mapping[str, str], title: str = "Latents an image"
) -> go.Figure:
    """Share of the images that use so many latents, for each domain (or run) on one axis.

    Args:
        distributions: what to call it -> `l0` (ascending numbers of latents) and `images` (how many images use exactly so many).
        colours: of each.
    """
    values = np.concatenate([np.asarray(one["l0"], dtype=float) for one in distributions.values()] or [np.zeros(0)])
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 1)
    step = -(-(high - low + 1) // BINS)
    edges = np.arange(low, high + step + 1, step) - 0.5
    figure = go.Figure()
    for nth, (name, one) in enumerate(distributions.items()):
        images = np.asarray(one["images"], dtype=float)
        found, _ = np.histogram(np.asarray(one["l0"], dtype=float), edges, weights=images)
        width = 0.9 * step / len(distributions)
        spans = [f"{int(a + 0.5)}" if step == 1 else f"{int(a + 0.5)} to {int(a + 0.5) + step - 1}" for a in edges[:-1]]
        figure.add_bar(
            x=edges[:-1] + 0.05 * step + (nth + 0.5) * width,
            y=found / max(images.sum(), 1),
            width=width,
            name=f"{plain(name)} (n = {int(images.sum()):,})",
            marker={"color": colours.get(name, CONTROL), "line": {"width": 0}},
            customdata=spans,
            hovertemplate="L0 %{customdata}: %{y:.1%} of " + plain(name) + "<extra></extra>",
        )
    figure.update_layout(barmode="overlay")
    figure.update_yaxes(tickformat=".0%", title_text="images", rangemode="tozero")
    # One value alone would be a bar as wide as the figure.
    figure.update_xaxes(title_text="L0 (latents that fire on an image)", range=[min(edges[0], low - 3), max(edges[-1], high + 3)])
    return styled(figure, title, 300, legend=bool(distributions))


def firing_spectrum(
    spectra: Mapping[str, Mapping[str, Sequence[float]]], colours: Mapping[str, str], title: str = "How often latents fire"
) -> go.Figure:
    """Number of latents by the share of images they fire on (log axis); those that never fire stand apart at the left.

    Args:
        spectra: what to call it -> `rate` (edges, ascending, the first 0: the first bin is the dead latents) and `latents`
            (counts, one fewer).
        colours: of each.
    """
    figure = go.Figure()
    lowest, dead = 0.0, []
    for nth, (name, one) in enumerate(spectra.items()):
        edges, counts = np.log10(np.asarray(one["rate"][1:], dtype=float)), np.asarray(one["latents"], dtype=float)
        step = float(np.mean(np.diff(edges)))
        # Dead latents stand two steps left of the rarest rate: they belong to no place on a log axis.
        at = np.concatenate([[edges[0] - 1.5 * step], (edges[:-1] + edges[1:]) / 2])
        width = step / len(spectra)
        lowest = min(lowest, edges[0] - 2.2 * step)
        dead.append(at[0])
        shares = [
            "never",
            *(f"on {a:.2g} to {b:.2g} %" for a, b in zip(100 * 10 ** edges[:-1], 100 * 10 ** edges[1:], strict=True)),
        ]
        figure.add_bar(
            x=at + (nth + 0.5) * width - step / 2,
            y=counts,
            width=0.94 * width,
            name=plain(name),
            marker={"color": colours.get(name, CONTROL), "line": {"width": 0}},
            customdata=shares,
            hovertemplate=plain(name) + ": %{y:,} latents fire %{customdata}<extra></extra>",
        )
    powers = list(range(int(np.ceil(max(lowest + 0.4, -12))), 1))
    never = [float(np.mean(dead))] if dead else []
    texts = ["never" for _ in never] + [f"{100 * 10.0**power:g} %" for power in powers]
    figure.update_xaxes(tickvals=[*never, *powers], ticktext=texts, range=[lowest, 0.1], title_text="images a latent fires on")
    figure.update_layout(barmode="overlay")
    figure.update_yaxes(title_text="latents", rangemode="tozero")
    return styled(figure, title, 320, legend=bool(spectra))


def sparse_probe_lines(
    probes: Mapping[str, Sequence[Mapping[str, Any]]], colours: Mapping[str, str], title: str = "A class from k features"
) -> go.Figure:
    """Mean AUROC of telling a class from its k best latents (solid) and from as many raw dimensions (dashed); chance dotted.

    Args:
        probes: what to call it -> lines with `k`, `features` ("latents" | "dimensions"), `auroc`, `auroc_ci_low`,
            `auroc_ci_high`, `auroc_null`, `classes`, `n`.
        colours: of each.
    """
    figure = go.Figure()
    ks: set[int] = set()
    for name, lines in probes.items():
        colour = colours.get(name, CONTROL)
        for features, dash in _DASHES.items():
            rows = sorted((line for line in lines if line["features"] == features), key=lambda line: int(line["k"]))
            if not rows:
                continue
            ks |= {int(row["k"]) for row in rows}
            value = np.array([row["auroc"] for row in rows], dtype=float)
            ends = [np.array([row[f"auroc_ci_{end}"] for row in rows], dtype=float) for end in ("low", "high")]
            figure.add_scatter(
                x=[row["k"] for row in rows],
                y=value,
                mode="lines+markers",
                name=f"{plain(name)}: {features}",
                line={"color": colour, "dash": dash, "width": 2},
                marker={"symbol": "circle" if features == "latents" else "square-open", "size": 8},
                error_y=whisker(value, ends[0], ends[1], colour=None, thickness=1, width=3),
                customdata=[[low, high, row["classes"], row["n"]] for low, high, row in zip(*ends, rows, strict=True)],
                hovertemplate="%{x} "
                + features
                + ", "
                + plain(name)
                + ": AUROC %{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]"
                "<br>%{customdata[2]} classes, n = %{customdata[3]:,}<extra></extra>",
            )
    nulls = [float(line["auroc_null"]) for lines in probes.values() for line in lines if line.get("auroc_null") is not None]
    figure.add_hline(y=float(np.mean(nulls)) if nulls else 0.5, line={"color": CONTROL, "width": 1, "dash": "dot"})
    figure.update_xaxes(type="log", tickvals=sorted(ks), ticktext=[str(k) for k in sorted(ks)], title_text="features a class (k)")
    figure.update_yaxes(title_text="AUROC, mean over classes")
    return styled(figure, title, 360)
