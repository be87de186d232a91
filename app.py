"""Sketch SAE Lab: `streamlit run app.py`. Navigation only; every page is a file under pages/."""

from pathlib import Path

import streamlit as st

from pages._ui import frame, latents

st.set_page_config(
    page_title="Sketch SAE Lab", page_icon=str(Path(__file__).parent / "pages" / "_ui" / "icon.svg"), layout="wide"
)
PAGES = {
    "": [st.Page("pages/overview.py", title="Overview", icon=":material/home:", default=True)],
    "Make": [
        st.Page("pages/train.py", title="Train", icon=":material/model_training:"),
        st.Page("pages/sweep.py", title="Sweep", icon=":material/grid_on:"),
    ],
    "Look": [
        st.Page("pages/zero_shot.py", title="Zero-shot", icon=":material/balance:"),
        st.Page("pages/geometry.py", title="Geometry", icon=":material/shape_line:"),
        st.Page("pages/gallery.py", title="Gallery", icon=":material/grid_view:"),
        st.Page("pages/latent.py", title="Latent", icon=":material/filter_center_focus:"),
        st.Page("pages/draw.py", title="Draw", icon=":material/draw:"),
        st.Page("pages/interpret.py", title="Interpret", icon=":material/label:"),
    ],
    "Use": [
        st.Page("pages/steer.py", title="Steer", icon=":material/tune:"),
        st.Page("pages/publish.py", title="Publish", icon=":material/upload:"),
    ],
}
# Hidden, because its links drop the query parameters; the sidebar's own keep the run in the address.
page = st.navigation(PAGES, position="hidden")
latents.go()  # a click on one leaves this page before it is drawn once more
frame.sidebar(PAGES)
page.run()
