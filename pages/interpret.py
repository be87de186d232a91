"""Interpret: the names of latents, each tested on images it was not made from, and the latents that got none."""

from __future__ import annotations

import streamlit as st

import sae_core as sc
from pages._ui import guard, load, session, watch
from pages._ui.naming import edit, listing, one, start
from pages._ui.page import page
from pages._ui.reproduce import reproduce
from pages._ui.text import plain

QUESTION = (
    "What would one call what a latent sees? A word, or what a vision model says of its images, becomes a name only if it "
    "predicts images it was **not** made from. “No name” is an answer."
)


def jobs(run: sc.pipeline.Recorded) -> None:
    """The naming jobs that nobody else shows while the run has no names: this visit's, and the run's latest."""
    mine = watch.jobs_of(run)
    for job in sc.jobs.all_jobs(session.store()):
        shown = job.active and job in mine  # by the guard
        if job.command == "interpret" and job.state != "done" and not shown and (job.id in watch.watched() or job in mine[:1]):
            watch.show(job)


with page("Interpret", QUESTION):
    current = session.current_run()
    named = current is not None and session.store().has(current.keys["interpret"])
    chosen_run, made = guard.require(
        "interpret" if named else "collect", "It would show which latents have a name, and how well each name holds."
    )
    if named:
        found = load.names(made)
        listing.counts(found)
        st.info(plain(str(found.about["circularity"])), icon=":material/cached:")
        listing.pictures(made, found)
        latent = listing.listing(chosen_run.id, found)
        if latent is not None:
            one.show(made, found, latent)
            edit.section(chosen_run, made, latent)
    else:
        jobs(chosen_run)
    start.section(chosen_run, made, first=not named)
    reproduce("interpret", chosen_run)
