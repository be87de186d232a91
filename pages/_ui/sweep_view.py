"""A finished sweep: the Pareto plot, the table, and a member to go on with."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import bits, load, member, sae_form, session, stability_view, theme
from pages._ui.reproduce import commands
from pages._ui.text import count, duration, plain

LABELS = {name: kind.label for name, kind in sae_form.KINDS.items()}
_COLUMNS: dict[str, Any] = {
    "front": st.column_config.TextColumn("front", help="★: no other member has as few latents and explains more."),
    "L0": st.column_config.NumberColumn(format="%.1f", help="Latents that fire on an image, on average."),
    "R²": st.column_config.NumberColumn(format="%.4f", help="Explained variance of held-out embeddings; 1 is perfect."),
    "cosine": st.column_config.NumberColumn(format="%.4f", help="Of an embedding and its reconstruction, on average."),
    "dead": st.column_config.NumberColumn(format="percent", help="Latents that fire on no image, trained on or tested on."),
    "lr": st.column_config.NumberColumn(format="%.2g", help="Learning rate; none where nothing is learned."),
}


def show(run: sc.pipeline.Recorded, have: sc.pipeline.Run) -> None:
    """The plot, the table with its download, and the choice of a member."""
    outcome = have.outcomes["sweep"]
    table = load.sweep(have).table
    front = table[table["pareto"]]
    seconds = float(session.store().open(outcome.key).manifest["seconds"])
    st.caption(
        plain(
            f"{count(len(table), 'dictionary', 'dictionaries')}, {len(front)} of them on the front; made in {duration(seconds)}. "
            f"L0 and R² on held-out images of {' and '.join(run.config.train_domains)}."
        )
    )
    theme.show(sc.figures.pareto(table, LABELS), key=f"pareto-{outcome.key}")
    st.dataframe(shown(table), hide_index=True, width="stretch", column_config=_COLUMNS, placeholder="–")
    bits.download(st, "Download the table (CSV)", lambda: bits.csv(table), f"{run.name}-sweep.csv", key="sweep-csv")
    stability_view.show(have, table)
    _choice(run, table)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table as the page shows it: the front first, the sparsest of it on top, then the others by R²."""
    order = pd.concat([table[table["pareto"]].sort_values("l0"), table[~table["pareto"]].sort_values("r2", ascending=False)])
    return pd.DataFrame(
        {
            "front": ["★" if one else "" for one in order["pareto"]],
            "member": order["name"],
            "L0": order["l0"],
            "R²": order["r2"],
            "architecture": [LABELS.get(kind, kind) for kind in order["architecture"]],
            "cosine": order["cosine"],
            "dead": order["dead_fraction"],
            "width": order["width"],
            "lr": order["lr"],
            "seed": order["seed"],
        }
    )


def _choice(run: sc.pipeline.Recorded, table: pd.DataFrame) -> None:
    st.subheader("Go on with one of them", anchor=False)
    rows = shown(table).set_index("member")
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    name = left.selectbox(
        "Member",
        list(rows.index),
        index=_best(rows),
        key=f"sweep-member-{run.id}",
        persist_state="session",
        format_func=lambda one: f"{rows.front[one]} {one} · L0 {rows.L0[one]:.1f}, R² {rows['R²'][one]:.3f}".strip(),
        help="★: on the front.",
    )
    if right.button("Use this one", type="primary", icon=":material/model_training:", key="sweep-use", width="stretch"):
        member.open_in_train(run, str(name))
    st.caption("Opens the Train page with its settings, to train it as a run of its own that can be browsed, named and steered.")
    with st.expander("This very dictionary in Python", icon=":material/code:", key="sweep-python", on_change="rerun") as place:
        if place.open:
            _, python = commands("sweep", run.id, session.cache_folder())
            lines = python.splitlines()
            st.code("\n".join([*lines[:2], f"sae = run.load('sweep').sae({name!r})"]), language="python", wrap_lines=True)


def _best(rows: pd.DataFrame) -> int:
    """Where the choice begins: in the middle of the front, neither its sparsest nor its densest end."""
    return max(0, (int((rows["front"] == "★").sum()) - 1) // 2)
