"""What a training or a sweep will cost, said before it starts: rows, parameters, memory, steps, time. Nothing is fetched."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

import sae_core as sc
from pages._ui import curves, load, member, sae_form, session
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
    """What the configuration fixes, and the recipe's own rule for the rest once the rows are counted.

    A budget of time is measured out into steps when the training begins.
    """
    if rows is None:
        return Length(sae.batch_size, sae.steps)
    plan = sc.training_plan(sae, rows)
    return Length(plan.batch, plan.steps if sae.seconds is None else None)


def latents(sae: sc.config.SaeConfig) -> int | None:
    """Latents of a dictionary: its width, two for each axis of PCA, None for SpLiCE, which has one for each word CLIP knows."""
    match sae.architecture:
        case sc.config.Pca(components=components):
            return 2 * components
        case sc.config.Splice():
            return None
    return sae.width


def estimate(width: int, length: Length, rows: int | None, d: int | None, pace: Pace | None) -> Estimate:
    """The arithmetic: Adam keeps four numbers a parameter; one embedding's time grows with the m·d weights it meets."""
    parameters = None if d is None else 2 * width * d + width + d
    memory = None if parameters is None else BYTES * (STATES * parameters + 3 * length.batch * width)
    seconds = None
    if length.steps is not None and d is not None and pace is not None:
        seconds = length.steps * length.batch / pace.embeddings_per_second * (width * d / pace.weights)
    return Estimate(rows, d, parameters, memory, length.batch, length.steps, seconds)


def show(config: sc.RunConfig) -> None:
    """One line that says what a training of `config` will cost and what cannot be known yet; a warning where rows are few."""
    rows, d = rows_and_width(config)
    sae, m = config.sae, latents(config.sae)
    fitted = sae.architecture.kind in sae_form.FITTED
    images = f"{count(rows, 'training image')}" if rows is not None else "the images have not been counted yet"
    if m is None or fitted:
        what = "a latent for every word that CLIP knows" if m is None else f"{m:,} latents"
        st.caption(f":material/timer: {plain(f'{what} · {images} · computed, not trained: no steps')}")
        return
    one = estimate(m, length(sae, rows), rows, d, _pace(session.all_runs()))
    facts = [
        f"{m:,} latents × {one.d} dimensions = {one.parameters:,} parameters, about {size(one.memory)} of memory while it trains"
        if one.parameters is not None and one.memory is not None
        else f"{m:,} latents; memory follows from CLIP's width, known once its weights are here",
        images,
        f"{count(one.steps, 'step')} of {one.batch:,}" if one.steps is not None else f"steps {_by(sae)}, {one.batch:,} rows each",
    ]
    if sae.seconds is not None:
        facts.append(f"{duration(sae.seconds)} of training")
    elif one.seconds is not None:
        facts.append(f"about {duration(one.seconds)} of training at this machine's earlier pace")
    st.caption(f":material/timer: {plain(' · '.join(facts))}")
    advice = sc.width_advice(m, rows) if rows is not None else ""
    if advice:
        st.warning(plain(advice), icon=":material/compress:")


def _by(sae: sc.config.SaeConfig) -> str:
    return "by the recipe" if sae.seconds is None else "as the time allows"


def show_sweep(config: sc.RunConfig) -> None:
    """One line that says how many dictionaries a sweep of `config` makes, of what kinds, and what that will take."""
    members = list(member.members_of(config).values())
    rows, d = rows_and_width(config)
    pace = _pace(session.all_runs())
    learned = [one for one in members if one.architecture.kind not in sae_form.FITTED]
    # All learn from the same batches, for as many steps as the shared settings say.
    shared = length(config.sae, rows)
    each = [estimate(one.width, shared, rows, d, pace) for one in learned]
    kinds = Counter(sae_form.KINDS[one.architecture.kind].label for one in members)
    facts = [f"{count(len(members), 'dictionary', 'dictionaries')}: {', '.join(f'{n} {kind}' for kind, n in kinds.items())}"]
    facts.append(f"{count(rows, 'training image')}" if rows is not None else "the images have not been counted yet")
    if learned:
        facts.append(
            f"{count(shared.steps, 'step')} of {shared.batch:,} each" if shared.steps is not None else "steps by the recipe"
        )
    memory = [one.memory for one in each if one.memory is not None]
    if memory and len(memory) == len(learned):
        facts.append(f"about {size(sum(memory))} of memory")
    seconds = [one.seconds for one in each if one.seconds is not None]
    if seconds and len(seconds) == len(learned):
        facts.append(
            f"about {duration(sum(seconds))} at this machine's earlier pace, less where members of a kind learn together"
        )
    st.caption(f":material/timer: {plain(' · '.join(facts))}")


def rows_and_width(config: sc.RunConfig) -> tuple[int | None, int | None]:
    """What earlier runs of this cache, and the sources themselves, tell of the training's rows and of d."""
    runs = session.all_runs()
    counts = [_rows(config.data[domain], runs) for domain in config.train_domains]
    rows = None if None in counts else sum(one for one in counts if one is not None)
    return rows, _embedding_width(config, runs)


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
