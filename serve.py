"""The app for strangers: `streamlit run serve.py`. The same pages in public mode, behind a guard of headers and bounds."""

import os
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from pages._ui.guarding import Guard

os.environ["SAE_LAB_PUBLIC"] = "1"
app = st.App(Path(__file__).with_name("app.py"), middleware=[Middleware(Guard)])
