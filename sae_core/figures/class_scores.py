"""On which classes a latent fires more often than chance would have it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sae_core.figures.style import CONTROL, GRID, SAE, named_rows, plain, styled

ALPHA = 0.05


def class_dots(scores: pd.DataFrame, colour: str = SAE, title: str = "Classes it fires on") -> go.Figure:
    """Each class by its lift (how many times as often as on the average image), beside the reach of chance.

    A grey bar ends where p = 0.05 stands among labels dealt out anew, the best of all classes each time.
    A filled dot lies beyond it.

    Args:
        scores: columns `class`, `n`, `fires`, `rate`, `lift`, `null_high` (NaN: chance allows no difference), `p`;
            one domain's, in the order to draw.
        colour: of the domain.
    """
    places = np.arange(len(scores))
    lifts, null = scores["lift"].to_numpy(float), scores["null_high"].to_numpy(float)
    figure = go.Figure()
    figure.add_bar(
        x=null,
        y=places,
        orientation="h",
        width=0.55,
        name="chance: 95 % of permuted labels stay below",
        marker={"color": CONTROL, "opacity": 0.35, "line": {"width": 0}},
        hovertemplate="chance reaches %{x:.2f} ×<extra></extra>",
    )
    figure.add_scatter(
        x=lifts,
        y=places,
        mode="markers",
        name="lift (filled: p ≤ 0.05)",
        marker={
            "size": 11,
            "color": colour,
            "symbol": ["circle" if p <= ALPHA else "circle-open" for p in scores["p"]],
            "line": {"width": 2, "color": colour},
        },
        customdata=[
            [plain(one["class"]), int(one["fires"]), int(one["n"]), one["rate"], one["p"]] for one in scores.to_dict("records")
        ],
        hovertemplate="%{customdata[0]}: %{x:.2f} ×<br>fires on %{customdata[1]:,} of %{customdata[2]:,} (%{customdata[3]:.1%})"
        "<br>p = %{customdata[4]:.2g}<extra></extra>",
    )
    top = max(float(np.nanmax(np.concatenate([lifts, null]), initial=1.0)), 1.0)
    figure.add_vline(x=1, line={"color": GRID, "dash": "dot"})
    figure.update_xaxes(title_text="times as often as on average", range=[0, 1.08 * top])
    named_rows(figure, list(scores["class"]), 22)
    return styled(figure, title, 130 + 26 * max(len(scores), 1))
