"""The four states every page knows: empty (one button makes what is missing), running, failed, done."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

import sae_core as sc
from pages._ui import public, session, watch
from pages._ui.text import plain

DEMO = Path(__file__).resolve().parents[2] / "configs" / "demo.yaml"
_WANTED = {
    "manifest": ("the list of images", "Read the images"),
    "embed": ("the CLIP embeddings", "Embed the images"),
    "train": ("the dictionary", "Train the dictionary"),
    "evaluate": ("the evaluation", "Evaluate"),
    "collect": ("the activations", "Collect the activations"),
    "strokes": ("the stroke measures", "Measure the strokes"),
    "geometry": ("the verdicts on geometry and semantics", "Judge the latents"),
    "directions": ("the map of directions", "Make the map"),
    "interpret": ("the names of the latents", "Name the latents"),
    "visualize": ("the image grids", "Draw the grids"),
    "steer": ("the steering curves", "Steer"),
    "scan": ("the scan of which latents steer", "Rate the latents"),
}


def demo_config() -> sc.RunConfig:
    """The configuration that a fresh cache offers."""
    return sc.load_config(DEMO)


def require(stage: str, question: str = "") -> tuple[sc.pipeline.Recorded, sc.pipeline.Run]:
    """The chosen run and what is in the store of it, once `stage` and all it was made from are there; else stop the page.

    Jobs that concern the page are shown above; a result that is there stays visible while they work.

    Args:
        stage: a stage's name, such as `evaluate`.
        question: what the page would answer, said when there is nothing yet.
    Raises: DamagedArtifact, which the page's frame turns into an offer to rebuild.
    """
    run = session.current_run()
    if run is None:
        _fresh(question)
        st.stop()
    have = session.opened(run)
    missing = missing_nodes(stage, run, have)
    _jobs(stage, run, bool(missing))
    if missing:
        if not any(job.active for job in watch.jobs_of(run)):
            _offer(stage, run, missing, question)
        st.stop()
    return run, have


def _offer(stage: str, run: sc.pipeline.Recorded, missing: list[str], question: str) -> None:
    thing, action = _WANTED[stage]
    also = {name.partition(":")[0] for name in missing} - {stage}
    first = _list([_WANTED[name][0] for name in sc.pipeline.STAGES if name in also])
    needs = f" It takes {first}, which are made first." if also else ""
    public.limits()
    st.info(f"Run {plain(run.name)} has no {thing.removeprefix('the ')} yet.{needs} {question}", icon=":material/pending:")
    if st.button(action, type="primary", key=f"make-{stage}"):
        watch.launch(watch.command_of(stage), run.config)


def missing_nodes(stage: str, run: sc.pipeline.Recorded, have: sc.pipeline.Run) -> list[str]:
    """The nodes of a stage, and of everything it is made from, that are not in the store; parents first."""
    nodes = sc.pipeline.plan(run.config)
    wanted: set[str] = set()
    stack = [name for name, node in nodes.items() if node.stage.name == stage]
    while stack:
        name = stack.pop()
        wanted.add(name)
        stack += [parent for parent in nodes[name].parents.values() if parent not in wanted]
    return [name for name in nodes if name in wanted and name not in have.outcomes]


def _jobs(stage: str, run: sc.pipeline.Recorded, is_missing: bool) -> None:
    """Panels: this session's jobs for the page, and the run's latest one while what it makes is missing."""
    relevant = {job_id for job_id, command in watch.watched().items() if command in (watch.command_of(stage), "run")}
    mine = watch.jobs_of(run)
    shown = [job for job in sc.jobs.all_jobs(session.store()) if job.id in relevant and job.state != "done"]
    shown += [job for job in mine if job.active and job not in shown]
    if is_missing and not shown:
        shown = [job for job in mine[:1] if job.state != "done"]
    for job in shown:
        watch.show(job)


def _fresh(question: str) -> None:
    """A cache without a run: the job that is making one, or the offer of the demo."""
    jobs = [job for job in sc.jobs.all_jobs(session.store()) if job.state != "done"]
    for job in jobs[:1]:
        watch.show(job, dismissable=False)
    if jobs and (jobs[0].active or jobs[0].id == sc.jobs.job_id("run", demo_config())):
        return  # its panel has the button that goes on
    public.limits()
    st.info(f"Nothing has been made in this cache yet. {question}", icon=":material/rocket_launch:")
    st.markdown(
        "The **demo** draws sketches and photo-like pictures, embeds them with the bundled demo model (a small stand-in for "
        "CLIP, so that no download is needed), trains a dictionary, evaluates, names and steers it. It takes about a minute."
    )
    if st.button("Make the demo", type="primary", icon=":material/play_arrow:", key="make-demo"):
        watch.launch("run", demo_config())


def offer_demo() -> None:
    """What a page without a run shows, for pages that work without one too."""
    _fresh("")


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else "" if not words else ", ".join(words[:-1]) + " and " + words[-1]
