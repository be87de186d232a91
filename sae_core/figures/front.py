"""How sparse a dictionary is against how much it explains: every member of a sweep, and the front that none of them beats."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pandas as pd
import plotly.graph_objects as go

from sae_core.figures.style import ARCHITECTURES, CLIP, CONTROL, plain, styled

LEAST_L0, LEAST_UNEXPLAINED = 0.5, 1e-6
"""Where a dictionary that never fires, and one that explains everything, are drawn: 0 has no logarithm."""
_L0 = (0.2, 0.5, *(step * 10**power for power in range(7) for step in (1, 2, 5)))
_R2 = (-1e6, -1e4, -1000, -100, -10, -3, -1, 0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
_NEAR_1 = (0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 0.99999, 0.999999, 0.9999999)
_FEW, _PARTS = 4, 4
"""With fewer marks than that on the axis of R², the steps between them are parted."""


def pareto(frame: pd.DataFrame, names: Mapping[str, str] | None = None, title: str = "Sparsity against fidelity") -> go.Figure:
    """L0 (log axis) against R², a colour and a shape for each architecture, and the Pareto front as a line.

    The vertical axis is logarithmic in 1 - R², what is left unexplained, and labelled with R²: halving what is left is one step,
    near 0.5 as near 0.99. Linear, one bad control would press all dictionaries into one line.

    Args:
        frame: a row for each member: `name`, `architecture` (kind), `l0` >= 0, `r2` <= 1, `pareto` (whether no other member has
            as few latents and explains more). A row without a finite r2 is left out.
        names: what an architecture is called in the legend; its kind where that is not said.
    """
    figure = go.Figure()
    frame = frame[frame["r2"].notna()]
    frame = frame.assign(x=frame["l0"].clip(lower=LEAST_L0), y=(1 - frame["r2"]).clip(lower=LEAST_UNEXPLAINED))
    front = frame[frame["pareto"].astype(bool)].sort_values(["x", "y"], ascending=[True, False])
    # A step, not a slope: between two members nothing has been measured, and the sparser one is what can be had.
    line = {"color": CLIP, "width": 1.5, "shape": "hv"}
    figure.add_scatter(x=front.x, y=front.y, mode="lines", name="Pareto front", line=line, hoverinfo="skip")
    for kind, rows in frame.groupby("architecture", sort=False):
        colour, symbol = ARCHITECTURES.get(str(kind), (CONTROL, "circle"))
        best = rows["pareto"].astype(bool)
        figure.add_scatter(
            x=rows.x,
            y=rows.y,
            mode="markers",
            name=plain((names or {}).get(str(kind), kind)),
            marker={
                "color": colour,
                "symbol": symbol,
                "opacity": 1,
                "size": [13 if one else 8 for one in best],
                "line": {"width": 1.5 if symbol.endswith("-open") else 0, "color": colour},
            },
            customdata=[
                [plain(name, 60), l0, r2, " · on the front" if one else ""]
                for name, l0, r2, one in zip(rows["name"], rows["l0"], rows["r2"], best, strict=True)
            ],
            hovertemplate="%{customdata[0]}<br>L0 %{customdata[1]:.1f}, R² %{customdata[2]:.4f}%{customdata[3]}<extra></extra>",
        )
    marks = _around(_L0, frame.x)
    figure.update_xaxes(
        type="log",
        title_text="L0 (latents an image)",
        range=[math.log10(marks[0]), math.log10(marks[-1])],
        tickvals=marks,
        ticktext=[f"{mark:,g}" for mark in marks],
    )
    marks = _around([1 - r2 for r2 in (*_NEAR_1[::-1], *_R2[::-1])], frame.y)
    if len(marks) < _FEW:
        marks = _around([a + (b - a) * part / _PARTS for a, b in pairwise(marks) for part in range(_PARTS)] + marks[-1:], frame.y)
    figure.update_yaxes(
        type="log",
        title_text="R²",
        range=[math.log10(marks[-1]), math.log10(marks[0])],
        tickvals=marks,
        ticktext=[f"{1 - mark:.7g}" for mark in marks],
    )
    return styled(figure, title, 480)


def _around(marks: Sequence[float], values: pd.Series) -> list[float]:
    """Of ascending marks those from the last below all values (> 0) to the first above, with a little room for symbols."""
    low, high = (0.97 * values.min(), 1.03 * values.max()) if len(values) else (marks[0], marks[-1])
    first = max(bisect_right(marks, low) - 1, 0)
    return list(marks[first : bisect_left(marks, high) + 1])
