"""Whether another seed of a sweep's members has found the same latents."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import load
from pages._ui.sae_form import KINDS
from pages._ui.text import duration, plain

PAIR = 0.05
"""Seconds that matching two dictionaries of 1,024 latents takes; it grows with the cube of their number."""
PATIENCE = 20.0
"""Seconds that the page takes without being asked."""
_COLUMNS: dict[str, Any] = {
    "seeds": st.column_config.NumberColumn(help="Dictionaries compared, in all pairs."),
    "matched": st.column_config.NumberColumn(
        format="%.3f", help="Mean cosine of a latent and its one partner in the other dictionary; 1: the same latents."
    ),
    "lowest pair": st.column_config.NumberColumn(format="%.3f", help="The two seeds that agree least."),
    "highest pair": st.column_config.NumberColumn(format="%.3f", help="The two seeds that agree most."),
    "MMCS": st.column_config.NumberColumn(
        format="%.3f", help="Mean cosine of a latent and the nearest in the other dictionary, which several may share."
    ),
    "alive": st.column_config.NumberColumn(
        format="%.0f", help="Latents a dictionary that fire on an image; only they are compared."
    ),
    "lr": st.column_config.NumberColumn(format="%.2g", help="Learning rate; none where nothing is learned."),
    "l1": st.column_config.NumberColumn(format="%.3g"),
}


def show(have: sc.pipeline.Run, table: pd.DataFrame) -> None:
    """The table of seed stability; how to get one where no two members differ in the seed only."""
    st.subheader("Would another seed find the same latents?", anchor=False)
    groups = sc.seed_groups(table)
    if not groups:
        st.caption("This sweep cannot say: no two of its members differ in the seed only. Give the grid seeds such as 0, 1, 2.")
        return
    seconds = sum(math.comb(len(group), 2) * PAIR * (int(group["width"].iloc[0]) / 1024) ** 3 for group in groups)
    if seconds > PATIENCE and not st.button(f"Compare the seeds (about {duration(seconds)})", key="sweep-stability"):
        return
    try:
        found = load.stability(have)
    except sc.DamagedArtifact as error:
        st.caption(plain(error))
        return
    st.dataframe(shown(found), hide_index=True, width="stretch", column_config=_COLUMNS, placeholder="–")
    for note in dict.fromkeys(found["note"]):
        if note:
            st.caption(plain(note))
    st.caption(
        "Cosines of decoder directions, over all pairs of seeds. Chance is not 0, for what is matched is the best pairing: judge "
        "a value against the random dictionary's (architecture `random` in the grid)."
    )


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table as the page shows it, without the settings that no member has."""
    table = pd.DataFrame(
        {
            "architecture": [KINDS[kind].label if kind in KINDS else kind for kind in found["architecture"]],
            **{name: found[name] for name in ("k", "l1", "matched")},
            "lowest pair": found["least"],
            "highest pair": found["greatest"],
            "MMCS": found["mmcs"],
            **{name: found[name] for name in ("alive", "seeds", "width", "lr")},
        }
    )
    return table.drop(columns=[name for name in ("k", "l1", "lr") if table[name].isna().all()])
