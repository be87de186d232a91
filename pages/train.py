"""Train: choose data and dictionary, see the cost, start, watch, stop, resume, compare."""

from __future__ import annotations

import streamlit as st

import sae_core as sc
from pages._ui import cost, curves, headline, session, train_form, watch
from pages._ui.page import page
from pages._ui.reproduce import reproduce
from pages._ui.text import plain

QUESTION = (
    "A sparse autoencoder learns a **dictionary**: directions of CLIP's embedding space, few of which are enough to rebuild any "
    "image. Training runs as a process of its own: you may leave this page, reload it or close the browser, and come back."
)


def at_work() -> sc.jobs.Job | None:
    """The training to show: the latest job that trains and is at work, or the one this session saw end badly."""
    jobs = [job for job in sc.jobs.all_jobs(session.store()) if job.command in ("train", "run")]
    active = [job for job in jobs if job.active]
    return next(iter(active or [job for job in jobs if job.id in watch.watched() and job.state != "done"]), None)


def stopped(run: sc.pipeline.Recorded | None) -> sc.jobs.Job | None:
    """The chosen run's latest job if it ended before the dictionary was there: it can be resumed."""
    if run is None or session.store().has(run.keys["train"]):
        return None
    return next((job for job in watch.jobs_of(run)[:1] if job.state != "done"), None)


def setup() -> None:
    """The controls, what is wrong with them or what they will cost, and the button."""
    raw, command = train_form.controls()
    problem = train_form.problem_of(raw)
    if problem is None:
        try:
            config = sc.config.validate(sc.RunConfig, raw, "settings")
        except sc.InputError as error:
            problem = str(error)
    if problem is not None:
        st.error(plain(problem), icon=":material/error:")
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
        st.download_button("Download train.log", log.read_bytes(), "train.log", "text/plain", icon=":material/download:")
    reproduce("train", run)


with page("Train a dictionary", QUESTION):
    chosen = session.current_run()
    job = at_work() or stopped(chosen)
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
