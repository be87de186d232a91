"""Under each result: the command line and the three lines of Python that make it again."""

from __future__ import annotations

import shlex
from pathlib import Path

import streamlit as st

import sae_core as sc
from pages._ui import session
from pages._ui.page import errors_shown


def commands(stage: str, run_id: str, cache: str | Path) -> tuple[str, str]:
    """The shell command and the Python that make a stage of a recorded run; `stage` "run" makes all of it.

    In a public app they name the folder `cache`, wherever the server's lies.
    """
    if session.public():
        cache = session.shown_cache()
    config = (Path(cache) / "runs" / run_id / "config.yaml").as_posix()
    folder = Path(cache).as_posix()
    command = "embed" if stage == "manifest" else stage
    shell = f"python -m sae_core {command} --config {shlex.quote(config)} --cache {shlex.quote(folder)}"
    only = "" if stage == "run" else f", stage={stage!r}"
    python = f"import sae_core as sc\nrun = sc.run({config!r}, cache={folder!r}{only})\nprint(run.metrics)"
    return shell, python


@st.fragment
def reproduce(stage: str, run: sc.pipeline.Recorded) -> None:
    """Show how to make `stage` of `run` without the app, copyable. Written when it is opened: what colours code is one of the
    largest scripts of Streamlit's, and every page would wait for it.
    """
    title = "Reproduce: command line and Python"
    with errors_shown(), st.expander(title, icon=":material/terminal:", key="reproduce", on_change="rerun") as place:
        if not place.open:
            return
        shell, python = commands(stage, run.id, session.shown_cache())
        st.code(shell, language="bash", wrap_lines=True)
        st.code(python, language="python", wrap_lines=True)
        st.caption(
            f"Run {run.id}; artifacts: "
            + ", ".join(f"`{key}`" for name, key in run.keys.items() if name.partition(":")[0] == stage)
        )
