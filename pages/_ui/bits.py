"""Small things several pages draw the same way: a neutral number, a download, a table as CSV."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

_MIME = {
    "csv": "text/csv",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "gif": "image/gif",
    "zip": "application/zip",
    "md": "text/markdown",
    "html": "text/html",
}
PERCENT = st.column_config.NumberColumn(format="percent")


def number(place: Any, label: str, value: str, below: str | None = None, help: str | None = None) -> None:
    """A metric whose second line is grey: whether a change is good is for the reader, who sees its interval."""
    place.metric(label, value, below, delta_color="off", delta_arrow="off", help=help)


def download(
    place: Any, label: str, make: Callable[[], bytes | str], file: str, key: str | None = None, primary: bool = False
) -> None:
    """A download button that runs nothing on the page. `make` is called when it is pressed: a file given at once would be
    written on every run of the page, and gone with the next one, which a slow browser that still asks for it reports as an error.
    """
    kind = _MIME.get(file.rpartition(".")[2], "text/plain")
    style = "primary" if primary else "secondary"
    place.download_button(label, make, file, kind, key=key, icon=":material/download:", type=style, on_click="ignore")


def csv(table: pd.DataFrame) -> bytes:
    """A table as CSV for spreadsheets; a text that would be taken for a formula gets an apostrophe before it."""
    texts = table.select_dtypes(include=["object", "string", "category"]).columns
    return table.assign(**{name: table[name].map(_inert) for name in texts}).to_csv(index=False).encode()


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
