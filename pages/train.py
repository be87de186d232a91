"""Train: choose data and dictionary, see the cost, start, watch, stop, resume, compare."""

from __future__ import annotations

import streamlit as st

import sae_core as sc
from pages._ui import checked, cost, curves, headline, session, train_form, watch
from pages._ui.bits import download
from pages._ui.page import page
from pages._ui.reproduce import reproduce
from pages._ui.text import plain

QUESTION = (
    "A sparse autoencoder learns a **dictionary**: directions of CLIP's embedding space, few of which are enough to rebuild any "
    "image. Training runs as a process of its own: you may leave this page, reload it or close the browser, and come back."
)


def setup() -> None:
    """The controls, what is wrong with them or what they will cost, and the button."""
    raw, command = train_form.controls()
    config = checked.config(raw)
    if config is None:
        st.button("Train", type="primary", disabled=True, key="train-start")
        return
    cost.show(config)
    if st.button("Train", type="primary", icon=":material/play_arrow:", key="train-start"):
        watch.launch(command, config)


def results(run: sc.pipeline.Recorded, overlay: bool) -> None:
    """The chosen run's dictionary: curves, held-out numbers, its log."""
    have = session.opened(run)
    st.subheader(f"Trained: {plain(run.name)}", anchor=False)
    numbers = headline.of_dictionary(have.outcomes["train"].metrics)
    for column, one in zip(st.columns(max(1, len(numbers))), numbers, strict=False):
        column.metric(one.label, one.value, help=plain(one.help))
    st.caption("On held-out images of the domains it was trained on.")
    others = curves.overlay_picker(run.id) if overlay else {}
    curves.show({run.name: curves.finished(have), **others}, key=f"curves-{run.id}")
    log = have.outcomes["train"].path / "train.log"
    if log.is_file():
        download(st, "Download train.log", log.read_bytes, "train.log")
    reproduce("train", run)


with page("Train a dictionary", QUESTION):
    chosen = session.current_run()
    job = watch.at_work("train", "run") or watch.stopped(chosen, "train")
    if job is not None:
        watch.show(job)
        curves.follow(job, curves.overlay_picker(job.run_id))
    if job is not None and job.active:
        with st.expander("Train another one meanwhile"):
            setup()
    else:
        setup()
    if chosen is not None and session.store().has(chosen.keys["train"]):
        results(chosen, overlay=job is None)
