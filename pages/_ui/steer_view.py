"""What steering one image did, as the steer page shows it: labels, curves, nearest images, what else changed."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import latents, theme
from pages._ui.text import plain
from pages._ui.thumbs import gallery

CURVES = 5
VERDICTS = {
    "steerable": ":green-badge[steerable]",
    "weak": ":orange-badge[weak]",
    "no effect beyond random": ":gray-badge[no effect beyond random]",
}


def outcome(done: Any) -> None:
    """Labels before and after, the verdict, the curves."""
    for note in done.result["notes"]:
        st.warning(plain(note))
    verdict = done.result["verdict"]
    if verdict:
        st.markdown(f"{VERDICTS.get(verdict, plain(verdict))} {plain(done.result['reason'])}.")
    shown = done.result["labels"]["shown"]
    if shown:
        theme.show(sc.figures.probability_bars(pd.DataFrame(shown[:6]), "Labels before and after"), key="steer-bars")
        st.caption(
            plain(f"{done.result['labels']['note']}; cosine of the embedding before and after {done.result['cosine']:.3f}.")
        )
    else:
        st.info(plain(done.result["labels"]["note"]))


def curves(done: Any, random: int) -> None:
    """The labels that move most along the sweep, with the band of random directions for the one that rises."""
    if done.curves.empty:
        return
    frame = done.curves
    order = list(dict.fromkeys([done.result["raised"], *frame["label"]]))[:CURVES]
    frame = frame[frame["label"].isin(order)].sort_values("label", key=lambda labels: labels.map(order.index), kind="stable")
    leading = frame[frame["label"] == order[0]].rename(columns={"random_low": "low", "random_high": "high"})
    theme.show(
        sc.figures.label_curves(frame, leading[["strength", "low", "high"]], title="All edited latents, from 0 to 4 × maximum"),
        key="steer-curves",
    )
    st.caption(plain(f"The band: {order[0]} under {random} random directions as long as the edit, 5th to 95th percentile."))


def nearest(have: sc.pipeline.Run, done: Any) -> None:
    """Nearest images of the embedding as it was and as it is now."""
    for column, side in zip(st.columns(2), ("before", "after"), strict=True):
        rows = done.neighbours[done.neighbours["side"] == side]
        with column:
            st.markdown(f"**Nearest images {side}**")
            thumbs = latents.of_rows(have, rows["row"], rows["cosine"])
            gallery(thumbs, key=f"steer-near-{side}", clickable=False, side=72, title=f"Nearest images {side}")
    means = done.result["neighbour_activation"]
    st.caption(
        "Cosine and what it is; near-duplicates once, the image itself left out. Shared by both: Jaccard "
        f"{done.result['steer_jaccard']:.2f}. The first edited latent fires on them at {means['before']:.2f} on average before, "
        f"{means['after']:.2f} after."
    )


def collateral(done: Any) -> None:
    """Latents that changed without being asked to."""
    st.markdown("**What else changed** when the steered embedding is encoded again")
    counts = done.result["active_count"]
    change = "change (× its maximum)"
    rows = [{"latent": one["latent"], "name": one["name"], change: one["value"]} for one in done.result["collateral"]]
    if rows:
        formats = {change: st.column_config.NumberColumn(format="%+.2f")}
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", column_config=formats)
    share = 100 * done.result["steer_specificity"]
    st.caption(
        f"{counts['before']} latents active before, {counts['after']} after; {share:.0f} % of all change is in the edited "
        "latents (specificity)."
    )
