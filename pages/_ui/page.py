"""The frame around every page: its title and question, and a plain line in place of any error."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

import sae_core as sc
from pages._ui import public, session, watch
from pages._ui.text import plain

_LOG = logging.getLogger("sketch_sae_lab")
_KEY = re.compile(r"\b[a-z]+-[0-9a-f]{16}\b")


@contextmanager
def page(title: str, question: str) -> Iterator[None]:
    """The title and the question (markdown, a sentence or two), then the body; whatever it raises becomes one plain line."""
    _run_through_app()
    st.title(title, anchor=False)
    st.markdown(question)
    with errors_shown():
        yield


def _run_through_app() -> None:
    """Have app.py run around the page.

    Streamlit takes a folder called `pages` for its own discovery until `st.navigation` was called once: the first visitor of a
    server who comes by a deep link would get the page's file alone, without navigation and without the run of the address.
    """
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show an error of the block as one line. Fragments need it for themselves: they rerun outside of their page.

    Streamlit's own stop and rerun are no `Exception` and pass.
    """
    try:
        yield
    except sc.DamagedArtifact as error:
        _damaged(error)
    except sc.SaeLabError as error:
        if session.public():
            sc.config.public.refused("an input", error)
        st.error(plain(error), icon=":material/error:")
    except Exception as error:
        if session.public():
            _hidden()
            return
        where = _write_log()
        st.error(
            f"Something went wrong in this page ({plain(type(error).__name__)}). {plain(where)} Reload the page to try again.",
            icon=":material/error:",
        )


def _hidden() -> None:
    """What strangers see of a fault: a number that leads its owner to the traceback in the server's log."""
    number = public.log_id()
    _LOG.exception("a page failed (%s)", number)
    st.error(f"Something went wrong in this page ({number}). Reload the page to try again.", icon=":material/error:")


def _damaged(error: sc.DamagedArtifact) -> None:
    st.error(plain(error), icon=":material/broken_image:")
    found = _KEY.search(str(error))
    if found is None:
        return
    key = found.group()
    current = session.current_run()
    # The chosen run first: of several that share the artifact it is the one whose job the visitor expects to see.
    for run in ([current] if current is not None else []) + session.all_sweeps():
        node = next((name for name, one in run.keys.items() if one == key), None)
        if node is not None:
            if st.button("Remove it and rebuild", type="primary", key=f"rebuild-{key}"):
                session.own_store().remove(key)
                watch.launch(watch.command_of(node.partition(":")[0]), run.config)
            return


def _write_log() -> str:
    """Keep the traceback where the app's owner finds it; a sentence that says where that is."""
    _LOG.exception("a page failed")
    file = session.cache_folder() / "app.log"
    try:
        with file.open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now():%Y-%m-%d %H:%M:%S}\n{traceback.format_exc()}\n")
    except OSError:
        return "The server's log says what."
    return f"The log {file} says what."
