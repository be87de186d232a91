"""Artifacts as the pages read them: opened once for all visitors, keyed by artifact, read-only.

What comes back are the stages' own Result classes (`sae_core` documents them); they are shared, so a page never writes to them.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

import sae_core as sc

_RECENT: dict[tuple[str, str, int], Any] = {}
MOST = 64


def result(run: sc.pipeline.Run, node: str) -> Any:
    """The Result of a run's node, such as `train`, `evaluate` or `embed:sketch`."""
    outcome = run.outcomes[node]
    known = (outcome.key, str(outcome.path), _made(outcome))
    # A page of thumbnails asks a hundred times; Streamlit's cache takes half a millisecond to see that it is the same call.
    found = _RECENT.get(known)
    if found is None:
        if len(_RECENT) >= MOST:
            _RECENT.clear()
        found = _RECENT[known] = _result(*known, outcome)
    return found


@st.cache_resource(max_entries=MOST, show_spinner=False)
def _result(key: str, path: str, made: int, _outcome: sc.pipeline.Outcome) -> Any:
    return _outcome.load()


def _made(outcome: sc.pipeline.Outcome) -> int:
    # Tells an artifact that was rebuilt under its old key from the one before.
    return (outcome.path / "manifest.json").stat().st_mtime_ns


def manifest(run: sc.pipeline.Run, domain: str) -> sc.Manifest:
    """The Manifest of a domain: its images, labels, captions and splits."""
    return result(run, f"manifest:{domain}")  # type: ignore[no-any-return]


def embeddings(run: sc.pipeline.Run, domain: str) -> sc.Embeddings:
    """The Embeddings of a domain."""
    return result(run, f"embed:{domain}")  # type: ignore[no-any-return]


def activations(run: sc.pipeline.Run) -> sc.Activations:
    """The Activations of a run."""
    return result(run, "collect")  # type: ignore[no-any-return]


def names(run: sc.pipeline.Run) -> sc.Names:
    """The Names of a run's latents."""
    return result(run, "interpret")  # type: ignore[no-any-return]


def evaluation(run: sc.pipeline.Run) -> Any:
    """The Evaluation of a run."""
    return result(run, "evaluate")


def geometry(run: sc.pipeline.Run) -> sc.GeometryReport:
    """The GeometryReport of a run: each latent's verdict, and the stroke measures it follows."""
    return result(run, "geometry")  # type: ignore[no-any-return]


def sweep(run: sc.pipeline.Run) -> sc.Swept:
    """The Swept of a run: the table of its members, and each of them."""
    return result(run, "sweep")  # type: ignore[no-any-return]


def stability(run: sc.pipeline.Run) -> pd.DataFrame:
    """The seed stability of a run's sweep, compared once for all visitors."""
    outcome = run.outcomes["sweep"]
    return _stability(outcome.key, str(outcome.path), _made(outcome))


@st.cache_data(max_entries=8, show_spinner="Comparing the seeds …")
def _stability(key: str, path: str, made: int) -> pd.DataFrame:
    return sc.stability_of(sc.Swept.load(path))


def sae(run: sc.pipeline.Run) -> sc.SAE:
    """The trained SAE of a run."""
    outcome = run.outcomes["train"]
    return _sae(outcome.key, str(outcome.path), _made(outcome))


@st.cache_resource(max_entries=8, show_spinner=False)
def _sae(key: str, path: str, made: int) -> sc.SAE:
    return sc.load_sae(path)


def encoder(run: sc.pipeline.Run) -> sc.Encoder:
    """The Encoder (CLIP) of a run. Raises Unavailable when its weights cannot be had here."""
    return encoder_named(run.config.clip.model, run.config.clip.pretrained)


@st.cache_resource(max_entries=2, show_spinner="Loading CLIP …")
def encoder_named(model: str, pretrained: str | None) -> sc.Encoder:
    """The Encoder of a model and its weights, loaded once. Raises Unavailable."""
    return sc.load_encoder(model, pretrained)
