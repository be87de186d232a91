"""Jobs as the pages show them: start, watch, stop, resume. The work itself is a detached process (`sc.jobs`)."""

from __future__ import annotations

import time
from collections.abc import Mapping

import streamlit as st

import sae_core as sc
from pages._ui import session
from pages._ui.naming import keys
from pages._ui.text import duration, plain

_WATCHED = "_watched_jobs"
_PACE = "_job_pace"
STAGE_WORDS = {
    "manifest": "reading the images",
    "embed": "embedding with CLIP",
    "train": "training the dictionary",
    "sweep": "training the grid",
    "evaluate": "evaluating",
    "collect": "collecting activations",
    "strokes": "measuring strokes",
    "geometry": "judging latents by their strokes",
    "directions": "laying out the map of directions",
    "interpret": "naming latents",
    "visualize": "drawing grids",
    "steer": "steering",
    "scan": "rating which latents steer",
}
_ENDED = {
    "cancelled": "Stopped. What was finished is kept; resuming goes on from there.",
    "interrupted": "The worker was interrupted (its process is gone). What was finished is kept; resuming goes on from there.",
}


def command_of(stage: str) -> str:
    """The command that makes a stage: its own name, and `embed` for the manifests."""
    return "embed" if stage == "manifest" else stage


def launch(command: str, config: sc.RunConfig, rerun: bool = True) -> sc.jobs.Job:
    """Start (or attach to) a job, watch it in this session, and by default rerun the page, which then shows it.

    Raises: InputError where it would ask a vision model and the visitor has not agreed to that; in a public app also above its
        limits and while another visitor's job is at work.
    """
    job = sc.jobs.start(command, config, session.own_store(), key=keys.for_new_job(command, config))
    watched().setdefault(job.id, command)
    if rerun:
        st.rerun()
    return job


def watched() -> dict[str, str]:
    """The jobs this session started and has not dismissed: command by job id."""
    found: dict[str, str] = st.session_state.setdefault(_WATCHED, {})
    return found


def find(job_id: str) -> sc.jobs.Job | None:
    """The job of an id; None when its folder was removed."""
    try:
        return sc.jobs.read(session.store(), job_id)
    except sc.InputError:
        return None


def config_of(job: sc.jobs.Job) -> sc.RunConfig:
    """The configuration a job was started with."""
    return sc.config.validate(sc.RunConfig, sc.jobs.job_config(session.store(), job.id), "job")


def jobs_of(run: sc.pipeline.Recorded) -> list[sc.jobs.Job]:
    """The jobs that make artifacts of a run, the latest first."""
    own = {sc.jobs.job_id(command, run.config) for command in ("run", *sc.pipeline.STAGES)}
    return [job for job in sc.jobs.all_jobs(session.store()) if job.run_id == run.id or job.id in own]


def at_work(*commands: str) -> sc.jobs.Job | None:
    """The job to show: the latest of these commands that is at work, or the one this session saw end badly."""
    jobs = [job for job in sc.jobs.all_jobs(session.store()) if job.command in commands]
    active = [job for job in jobs if job.active]
    return next(iter(active or [job for job in jobs if job.id in watched() and job.state != "done"]), None)


def stopped(run: sc.pipeline.Recorded | None, node: str) -> sc.jobs.Job | None:
    """A run's latest job if it ended before the artifact of `node` was there: it can be resumed."""
    if run is None or session.store().has(run.keys[node]):
        return None
    return next((job for job in jobs_of(run)[:1] if job.state != "done"), None)


def words(stage: str) -> str:
    """A node's name as an activity: `embed:photo` is `embedding with CLIP (photo)`."""
    name, _, domain = stage.partition(":")
    return STAGE_WORDS.get(name, name or "starting") + (f" ({domain})" if domain else "")


def show(job: sc.jobs.Job, dismissable: bool = True) -> None:
    """The job's panel. While it works it renews itself every second; when it ends, the whole page is run once more."""
    st.fragment(run_every=1.0 if job.active else None)(_panel)(job.id, job.active, dismissable)


def _panel(job_id: str, was_active: bool, dismissable: bool) -> None:
    job = find(job_id)
    if job is None:
        return
    if was_active and not job.active:
        _ended(job)
        st.rerun()
    with st.container(border=True):
        if job.active:
            _running(job)
        elif job.state != "done":
            _ended_badly(job, dismissable)


def _ended(job: sc.jobs.Job) -> None:
    if job.state == "done":
        if watched().pop(job.id, None) is not None and job.run_id:
            session.go_to(job.run_id, session.SWEEP if job.command == "sweep" else session.RUN)
        st.toast(f"{plain(_title(job))}: done in {duration(job.elapsed)}", icon=":material/check_circle:")


def _title(job: sc.jobs.Job) -> str:
    return "The whole run" if job.command == "run" else words(job.command).capitalize()


def _running(job: sc.jobs.Job) -> None:
    config = config_of(job)
    plan = sc.pipeline.plan(config)
    nodes = [name for name, node in plan.items() if node.stage.name not in sc.pipeline.ON_REQUEST]
    at = nodes.index(job.stage) if job.stage in nodes else 0
    part = job.step / job.total if job.total else 0.0
    left, button = st.columns([5, 1], vertical_alignment="center")
    with left:
        st.markdown(f"**{plain(_title(job))}** · {plain(config.name)}")
        doing = "starting" if job.state == "queued" or not job.stage else words(job.stage)
        step = f" {job.step:,} of {job.total:,}" if job.total else ""
        st.progress(min(1.0, part), text=plain(f"{doing}{step}"))
        remaining = _remaining(job)
        facts = [
            f"stage {at + 1} of {len(nodes)}" if job.command == "run" else "",
            f"{duration(time.time() - job.started)} so far",
        ]
        facts += [f"about {duration(remaining)} left for this step" if remaining is not None else ""]
        facts += naming_facts(job.metrics)
        st.caption(plain(" · ".join(fact for fact in facts if fact)))
    if (job.folder / "stop").exists():
        button.button("Stopping…", key=f"stop-{job.id}", disabled=True, width="stretch")
    else:
        button.button(
            "Stop",
            key=f"stop-{job.id}",
            icon=":material/stop_circle:",
            width="stretch",
            on_click=_stop,
            args=(job.id,),
            help="What is finished is kept; it can be resumed.",
        )


def _stop(job_id: str) -> None:
    if find(job_id) is not None:
        sc.jobs.stop(session.store(), job_id)


def _remaining(job: sc.jobs.Job) -> float | None:
    """Seconds left of the job's current stage, from the pace this session has seen; None until there is one."""
    pace: dict[str, tuple[str, float, int]] = st.session_state.setdefault(_PACE, {})
    stage, began, first = pace.get(job.id, ("", 0.0, 0))
    if stage != job.stage or job.step < first:
        pace[job.id] = (job.stage, time.time(), job.step)
        return None
    spent, done = time.time() - began, job.step - first
    return spent / done * (job.total - job.step) if job.total and done > 0 and spent > 2.0 else None


def naming_facts(metrics: Mapping[str, float]) -> list[str]:
    """What a job that asks a vision model has spent and found so far; nothing for any other job."""
    if "cost_high" in metrics:
        return [f"${metrics['cost_low']:.2f} to ${metrics['cost_high']:.2f} expected"]
    if "spent" not in metrics:
        return []
    states = [f"{int(metrics[name]):,} {word}" for name, (word, _) in sc.STATUS_WORDS.items() if metrics.get(name)]
    return [f"${metrics['spent']:.4f} spent", f"${metrics['reserved']:.4f} reserved for questions under way", *states]


def _ended_badly(job: sc.jobs.Job, dismissable: bool) -> None:
    resumable = job.state in _ENDED
    text = _ENDED.get(job.state) or f"It failed: {job.error or 'the log says why'}"
    (st.warning if resumable else st.error)(f"**{plain(_title(job))}**: {plain(text)}")
    facts = naming_facts(job.metrics)
    if facts:
        st.caption(plain(" · ".join(facts)))
    tail = "" if session.public() else job.log_tail(20)  # a log says more of the server than strangers need
    if tail:
        with st.expander("The end of its log"):
            st.code(tail, language=None, wrap_lines=True)
    again, away, _ = st.columns([1, 1, 3])
    if again.button("Resume" if resumable else "Try again", key=f"again-{job.id}", type="primary", width="stretch"):
        _again(job)
    if dismissable and job.id in watched() and away.button("Dismiss", key=f"dismiss-{job.id}", width="stretch"):
        watched().pop(job.id)
        st.rerun()


def _again(job: sc.jobs.Job) -> None:
    config = config_of(job)
    try:
        sc.jobs.start(job.command, config, session.own_store(), key=keys.for_old_job(job.command, config))
    except sc.InputError as error:  # the panel renews itself outside of the page's frame
        st.error(plain(error))
        return
    watched()[job.id] = job.command
    st.rerun()


def chip() -> None:
    """One line in the sidebar for every job at work; the page is run once more when one ends."""
    active = [job for job in sc.jobs.all_jobs(session.store()) if job.active]
    if active:
        st.fragment(run_every=2.0)(_chip)([job.id for job in active])


def _chip(job_ids: list[str]) -> None:
    for job_id in job_ids:
        job = find(job_id)
        if job is None or not job.active:
            if job is not None:
                _ended(job)
            st.rerun()
        part = f" {100 * job.step / job.total:.0f} %" if job.total else ""
        st.caption(f":material/hourglass_top: {plain(words(job.stage) + part)}")
