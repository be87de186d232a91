"""What a training will cost, said before it starts: rows, parameters, memory, steps, time. Nothing is fetched for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

import sae_core as sc
from pages._ui import curves, load, session
from pages._ui.text import count, duration, plain, size

BYTES = 4  # training is in float32
STATES = 4  # copies of a parameter while it trains: itself, its gradient, Adam's two moments


@dataclass(frozen=True)
class Estimate:
    """The cost of a training; None where it cannot be known before the data is read or anything was trained here.

    `rows` of the train split, embedding width `d`, `parameters` 2·m·d + m + d, `memory` in bytes (parameters with Adam's states
    and the buffers of one batch), rows a `batch`, `steps`, and `seconds` at the pace of an earlier training.
    """

    rows: int | None
    d: int | None
    parameters: int | None
    memory: int | None
    batch: int
    steps: int | None
    seconds: float | None


@dataclass(frozen=True)
class Pace:
    """How fast an earlier training was: embeddings a second with `weights` = m·d decoder weights."""

    embeddings_per_second: float
    weights: int


@dataclass(frozen=True)
class Length:
    """How long a training is: `steps` of `batch` rows; steps None while they wait for the data to be counted."""

    batch: int
    steps: int | None


def length(sae: sc.config.SaeConfig, rows: int | None) -> Length:
    """What the configuration fixes, and the recipe's own rule for the rest once the rows are counted."""
    if rows is None:
        return Length(sae.batch_size, sae.steps)
    plan = sc.training_plan(sae, rows)
    return Length(plan.batch, plan.steps)


def estimate(width: int, length: Length, rows: int | None, d: int | None, pace: Pace | None) -> Estimate:
    """The arithmetic: Adam keeps four numbers a parameter; one embedding's time grows with the m·d weights it meets."""
    parameters = None if d is None else 2 * width * d + width + d
    memory = None if parameters is None else BYTES * (STATES * parameters + 3 * length.batch * width)
    seconds = None
    if length.steps is not None and d is not None and pace is not None:
        seconds = length.steps * length.batch / pace.embeddings_per_second * (width * d / pace.weights)
    return Estimate(rows, d, parameters, memory, length.batch, length.steps, seconds)


def show(config: sc.RunConfig) -> None:
    """One line that says what a training of `config` will cost, and what cannot be known yet."""
    rows, d, pace = _known(config)
    one = estimate(config.sae.width, length(config.sae, rows), rows, d, pace)
    width = f"{config.sae.width:,} latents"
    facts = [
        f"{width} × {one.d} dimensions = {one.parameters:,} parameters, about {size(one.memory)} of memory while it trains"
        if one.parameters is not None and one.memory is not None
        else f"{width}; memory follows from CLIP's width, known once its weights are here",
        f"{count(one.rows, 'training image')}" if one.rows is not None else "the images have not been counted yet",
        f"{count(one.steps, 'step')} of {one.batch:,}" if one.steps is not None else "steps by the recipe",
    ]
    if one.seconds is not None:
        facts.append(f"about {duration(one.seconds)} of training at this machine's earlier pace")
    st.caption(f":material/timer: {plain(' · '.join(facts))}")


def _known(config: sc.RunConfig) -> tuple[int | None, int | None, Pace | None]:
    """What earlier runs of this cache tell of the training's rows, of d and of the machine's pace."""
    runs = session.all_runs()
    counts = [_rows(config.data[domain], runs) for domain in config.train_domains]
    rows = None if None in counts else sum(one for one in counts if one is not None)
    return rows, _embedding_width(config, runs), _pace(runs)


def _rows(source: sc.config.SourceBase, runs: list[sc.pipeline.Recorded]) -> int | None:
    """Rows of a source's train split: counted by an earlier run, else as the source says of itself."""
    total: int | None = None
    for run in runs:
        for domain, other in run.config.data.items():
            if other == source and session.store().has(run.keys[f"manifest:{domain}"]):
                return len(load.manifest(session.opened(run), domain).split_rows("train"))
    if isinstance(source, sc.config.DrawnSource):
        total = source.n
    elif isinstance(source, sc.config.FolderSource):
        total = _files(source.path)
    elif isinstance(source, sc.config.HubSource):
        total = source.limit
    return None if total is None else round(total * (1 - source.test_fraction))


@st.cache_data(ttl=60, max_entries=32, show_spinner=False)
def _files(path: str) -> int | None:
    root = Path(path).expanduser()
    return sum(1 for file in root.glob("*/*") if file.is_file()) if root.is_dir() else None


def _embedding_width(config: sc.RunConfig, runs: list[sc.pipeline.Recorded]) -> int | None:
    arrays = {source.encoder for source in config.data.values() if isinstance(source, sc.config.ArraySource)}
    for run in runs:
        for domain, source in run.config.data.items():
            if isinstance(source, sc.config.ArraySource):
                same = source.encoder in arrays
            else:
                same = not arrays and run.config.clip.model == config.clip.model
            if same and session.store().has(run.keys[f"embed:{domain}"]):
                return int(load.embeddings(session.opened(run), domain).d)
    if arrays or config.clip.model != "bundled":
        return None
    try:
        return int(load.encoder_named("bundled", None).dim)
    except sc.Unavailable:
        return None  # a checkout without the weights: the job itself will say so


def _pace(runs: list[sc.pipeline.Recorded]) -> Pace | None:
    """The pace of the latest finished training."""
    for run in runs:
        if session.store().has(run.keys["train"]):
            have = session.opened(run)
            history = curves.finished(have)
            if "embeddings_per_second" in history:
                sae = load.sae(have)
                return Pace(float(history["embeddings_per_second"].median()), int(sae.m) * int(sae.d))
    return None
