"""Where the parts of the page stand: two columns of a wide window, one below the other on a phone."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

_PARTS = {"image": "1 / 1", "labels": "1 / 2 / 3", "sliders": "2 / 1 / 4", "others": "3 / 2"}
"""Each part and its area: row / column / the row before which it ends."""
_WIDE = 1100
"""Window from which there are two columns, in pixels."""


def four() -> tuple[DeltaGenerator, DeltaGenerator, DeltaGenerator, DeltaGenerator]:
    """Containers for the image, the labels, the sliders and the rest.

    Wide, the sliders follow the image on the left while the labels stand beside both. On a phone they come in this order, so that
    the labels are seen right above the sliders: Streamlit's columns cannot do both.
    """
    areas = "".join(
        f".st-key-steer-bench > :has(> .st-key-steer-part-{name}) {{ grid-area: {area}; }}" for name, area in _PARTS.items()
    )
    st.html(
        f"<style>@media (min-width: {_WIDE}px) {{ .st-key-steer-bench {{ display: grid; column-gap: 4rem;"
        f" grid-template: auto 1fr auto / minmax(0, 2fr) minmax(0, 3fr); }} {areas} }}</style>"
    )
    with st.container(key="steer-bench"):
        image, labels, sliders, others = (st.container(key=f"steer-part-{name}") for name in _PARTS)
    return image, labels, sliders, others
