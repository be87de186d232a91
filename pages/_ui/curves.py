"""Training curves: live from a job's events, afterwards from the artifact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

import sae_core as sc
from pages._ui import session, theme, watch
from pages._ui.text import plain

MOST_POINTS = 400
SWEPT = "best_held_out_r2"
METRICS = ("loss", "r2", "l0", "dead_fraction", "embeddings_per_second", SWEPT)
_READ = "_event_tails"


def live(job: sc.jobs.Job) -> pd.DataFrame:
    """The metrics of training (or of its sweep) a job has reported so far, a row an event; only its log's new end is read."""
    stage = "sweep" if job.command == "sweep" else "train"
    tails: dict[str, tuple[float, int, list[dict[str, Any]]]] = st.session_state.setdefault(_READ, {})
    started, offset, rows = tails.get(job.id, (job.started, 0, []))
    file = job.folder / "events.jsonl"
    if started != job.started or (file.is_file() and file.stat().st_size < offset):
        offset, rows = 0, []
    new, offset = read_from(file, offset)
    # In a sweep k-means reports its passes too; they are no steps of the grid.
    told = [event for event in new if event["stage"] == stage and (SWEPT in event["metrics"] or stage == "train")]
    rows = rows + [{"step": event["step"], **event["metrics"]} for event in told if event["metrics"]]
    tails[job.id] = (job.started, offset, rows)
    return thin(pd.DataFrame(rows))


def read_from(file: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """The whole lines of a JSON-lines file after `offset` bytes, and where they end; a line being written is left for later."""
    if not file.is_file():
        return [], 0
    with file.open("rb") as handle:
        handle.seek(offset)
        data = handle.read()
    whole = data.rpartition(b"\n")[0]
    events = []
    for line in whole.splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue  # a line cut by a kill
    return events, offset + (len(whole) + 1 if whole else 0)


def finished(run: sc.pipeline.Run) -> pd.DataFrame:
    """The training metrics of a trained run, from its artifact's metrics.jsonl."""
    rows, _ = read_from(run.outcomes["train"].path / "metrics.jsonl", 0)
    return thin(pd.DataFrame(rows))


def thin(frame: pd.DataFrame) -> pd.DataFrame:
    """At most about `MOST_POINTS` rows, evenly spaced, the last one always."""
    if len(frame) <= MOST_POINTS:
        return frame
    stride = -(-len(frame) // MOST_POINTS)
    return pd.concat([frame.iloc[: len(frame) - 1 : stride], frame.iloc[-1:]])


def show(frames: dict[str, pd.DataFrame], key: str) -> None:
    """The curves of one run, with others laid over it."""
    drawn = {name: frame for name, frame in frames.items() if len(frame) and "step" in frame}
    if not drawn:
        st.caption("The curves begin with the first training step.")
        return
    shown = [metric for metric in METRICS if any(metric in frame for frame in drawn.values())]
    figure = sc.figures.training_curves(drawn, metrics=shown, columns=min(2, len(shown)))
    _zoomed(figure, drawn, shown)
    theme.show(figure, key=key)
    last = next(iter(drawn.values())).iloc[-1]
    words = {"loss": "loss {:.4g}", "r2": "R² {:.3f}", "l0": "L0 {:.1f}", "dead_fraction": "dead {:.1%}"}
    words |= {"members": "{:.0f} dictionaries", SWEPT: "the best has R² {:.3f} so far"}
    facts = [text.format(last[name]) for name, text in words.items() if name in last and pd.notna(last[name])]
    if "embeddings_per_second" in last and pd.notna(last["embeddings_per_second"]):
        facts.append(f"{last['embeddings_per_second']:,.0f} embeddings a second")
    where = "Held-out rows" if SWEPT in last else "Training batches"
    st.caption(plain(f"{where}. Step {last['step']:,.0f}: " + " · ".join(facts)))


def _zoomed(figure: go.Figure, frames: dict[str, pd.DataFrame], shown: list[str]) -> None:
    # The first steps are far off (R² of -30, a loss a thousand times the last one) and would flatten all that follows.
    for place, metric in enumerate(shown, 1):
        axis = f"yaxis{place if place > 1 else ''}"
        values = pd.concat([frame[metric] for frame in frames.values() if metric in frame])
        if metric == "loss":
            figure.layout[axis].update(type="log", dtick="D2")
        elif metric == "r2":
            figure.layout[axis].range = [max(float(values.min()), 0.0) - 0.02, 1.02]
        elif metric == "dead_fraction":
            figure.layout[axis].range = [-0.02 * max(float(values.max()), 0.05), 1.1 * max(float(values.max()), 0.05)]


def follow(job: sc.jobs.Job, overlay: dict[str, pd.DataFrame]) -> None:
    """The live curves of a job, renewed every two seconds while it works."""
    st.fragment(run_every=2.0 if job.active else None)(_follow)(job.id, overlay)


def _follow(job_id: str, overlay: dict[str, pd.DataFrame]) -> None:
    job = watch.find(job_id)
    if job is not None:
        show({watch.config_of(job).name: live(job), **overlay}, key=f"curves-{job_id}")


def overlay_picker(but: str) -> dict[str, pd.DataFrame]:
    """Another trained run to lay over the curves."""
    others = {run.id: run for run in session.all_runs() if run.id != but and session.store().has(run.keys["train"])}
    if not others:
        return {}
    chosen = st.selectbox(
        "Compare with",
        [None, *others],
        key="train-overlay",
        persist_state="session",
        format_func=lambda one: "nothing" if one is None else session.title(others[one]),
    )
    if chosen is None:
        return {}
    return {session.title(others[chosen]): finished(session.opened(others[chosen]))}
