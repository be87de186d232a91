"""What the steer page keeps between moves of a slider: the opened scene, the labels, the stage's own choice."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import latents


def latent_of(text: str, alive: Container[int]) -> int | None:
    """The latent that a text begins with, such as `12` or `12 · spiral`; None when that is no latent that is alive."""
    number = text.strip().partition(" ")[0]
    found = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else -1
    return found if found in alive else None


def scene(have: sc.pipeline.Run) -> sc.SteeringScene:
    """The run's dictionary, activations, names and embeddings, opened once for all visitors."""
    return _scene(tuple(sorted(have.keys.items())), have)


@st.cache_resource(max_entries=2, show_spinner="Opening embeddings and dictionary …")
def _scene(keys: tuple[tuple[str, str], ...], _have: sc.pipeline.Run) -> sc.SteeringScene:
    parents = sc.pipeline.plan(_have.config)["steer"].parents
    paths = {role: _have.outcomes[node].path for role, node in parents.items()}
    return sc.SteeringScene.open(sc.store.Inputs(paths))


def labels(have: sc.pipeline.Run, subject: sc.Subject) -> Any:
    """The labels whose probabilities are followed: the domain's classes, else the captions nearest to the image."""
    opened, domain = scene(have), str(subject.about["domain"])
    keys = (have.keys[f"manifest:{domain}"], have.keys[f"embed:{domain}"], have.keys["collect"])
    # Class labels are the same for every image of a domain; only captions are chosen by the image.
    first = int((opened.activations.images["domain"] == domain).to_numpy().argmax())
    found = _labels(keys, domain, f"row {first}", opened, opened.x[first])
    return found if found.source == "classes" else _labels(keys, domain, identity(subject), opened, subject.x)


@st.cache_resource(max_entries=32, show_spinner="Embedding the labels …")
def _labels(keys: tuple[str, ...], domain: str, image: str, _scene: sc.SteeringScene, _x: Any) -> Any:
    return sc.labels_of(domain, _scene.manifests[domain], _scene.embeddings[domain], _x, latents.towers())


def identity(subject: sc.Subject) -> str:
    """What tells two images apart: the row, or what the embedding is."""
    row = subject.about["row"]
    return f"row {row}" if row is not None else f"x {hash(subject.x.tobytes())}"


def default(have: sc.pipeline.Run, subject: sc.Subject) -> tuple[int, str]:
    """The latent that the steer stage would turn up on this image when nobody says which, and a line on how it was chosen."""
    keys = (have.keys["collect"], have.keys["interpret"], identity(subject))
    return _default(keys, subject, scene(have), labels(have, subject), have.config.steer)


@st.cache_data(max_entries=256, show_spinner="Rating the latents on this image …")
def _default(keys: tuple[str, ...], _subject: Any, _scene: Any, _labels: Any, _settings: Any) -> tuple[int, str]:
    edit, chosen = sc.default_edit(_subject, _scene, _labels, _settings.sweep, _settings.random_directions, _settings.seed)
    return int(edit.latent), chosen


def steered(have: sc.pipeline.Run, subject: sc.Subject, wanted: sc.Recipe, control: Any = "edited") -> Any:
    """Everything the recipe, or a control in its place, does to the image: `steer.stage.Steered`."""
    settings, found = have.config.steer, labels(have, subject)
    sizes = (settings.sweep, settings.random_directions, settings.neighbours)
    return sc.steer_subject(subject, wanted, scene(have), found, *sizes, control=control)


def recipe(
    have: sc.pipeline.Run, image: str | None, edits: Sequence[sc.Edit], keep_error: bool = True, renormalise: bool = False
) -> sc.Recipe:
    """The recipe of these edits on the image with this SHA-256."""
    opened = scene(have)
    return sc.Recipe(
        edits=tuple(edits),
        sae=opened.sae.sha256,
        encoder=opened.sae.encoder_id,
        image=image,
        maxima=sc.train_maxima(opened.activations, [edit.latent for edit in edits]),
        keep_error=keep_error,
        renormalise=renormalise,
        seed=have.config.steer.seed,
    )


def overrides(domain: str, image: int, wanted: sc.Recipe) -> list[str]:
    """The `--set` pairs that make the steer stage do what the page shows."""
    edits = ", ".join(f"{{latent: {edit.latent}, op: {edit.op}, value: {edit.value!r}}}" for edit in wanted.edits)
    return [
        f"steer.domain={domain}",
        f"steer.image={image}",
        f"steer.edits=[{edits}]",
        f"steer.keep_error={str(wanted.keep_error).lower()}",
        f"steer.renormalise={str(wanted.renormalise).lower()}",
    ]
