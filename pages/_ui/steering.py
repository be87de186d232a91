"""What the steer page keeps between moves of a slider: the opened scene, the labels, and sliders turned into a recipe."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import streamlit as st

import sae_core as sc
from pages._ui import latents

Op = Literal["clamp", "add", "ablate"]
STEP = 0.05


@dataclass(frozen=True)
class Slider:
    """One latent's control. Strengths are multiples of `maximum`, its largest activation on training images.

    `rest` is where the image itself stands: a slider that sets the latent edits nothing there.
    """

    latent: int
    name: str | None
    maximum: float
    rest: float

    @property
    def title(self) -> str:
        """`latent 12: spiral`."""
        return f"latent {self.latent}" + (f": {self.name}" if self.name else "")

    def edit(self, op: Op, strength: float) -> sc.Edit | None:
        """The edit that a position means; None where it changes nothing."""
        if op == "ablate":
            return sc.Edit(latent=self.latent, op="ablate") if self.rest > 0 else None
        if op == "add":
            return sc.Edit(latent=self.latent, op="add", value=strength * self.maximum) if strength else None
        moved = abs(strength - self.rest) > STEP / 2
        return sc.Edit(latent=self.latent, op="clamp", value=strength) if moved else None


def latent_of(text: str, alive: Container[int]) -> int | None:
    """The latent that a text begins with, such as `12` or `12 · spiral`; None when that is no latent that is alive."""
    number = text.strip().partition(" ")[0]
    found = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else -1
    return found if found in alive else None


def scene(have: sc.pipeline.Run) -> Any:
    """The run's `sc.SteeringScene`: dictionary, activations, names, embeddings, opened once."""
    return _scene(tuple(sorted(have.keys.items())), have)


@st.cache_resource(max_entries=2, show_spinner="Opening embeddings and dictionary …")
def _scene(keys: tuple[tuple[str, str], ...], _have: sc.pipeline.Run) -> Any:
    parents = sc.pipeline.plan(_have.config)["steer"].parents
    paths = {role: _have.outcomes[node].path for role, node in parents.items()}
    return sc.SteeringScene.open(sc.store.Inputs(paths))


def labels(have: sc.pipeline.Run, row: int) -> Any:
    """The labels whose probabilities are followed: the domain's classes, else the captions nearest to the image."""
    opened = scene(have)
    where = opened.activations.images.iloc[row]
    domain = str(where["domain"])
    keys = (have.keys[f"manifest:{domain}"], have.keys[f"embed:{domain}"], have.keys["collect"])
    first = int((opened.activations.images["domain"] == domain).to_numpy().argmax())
    # Class labels are the same for every image of a domain; only captions are chosen by the image.
    found = _labels(keys, domain, first, opened)
    return found if found.source == "classes" else _labels(keys, domain, row, opened)


@st.cache_resource(max_entries=32, show_spinner="Embedding the labels …")
def _labels(keys: tuple[str, ...], domain: str, row: int, _scene: Any) -> Any:
    manifest, embeddings = _scene.manifests[domain], _scene.embeddings[domain]
    return sc.labels_of(domain, manifest, embeddings, _scene.x[row], latents.towers())


def default(have: sc.pipeline.Run, row: int) -> int:
    """The latent that the steer stage would turn up on this image when nobody says which."""
    return _default((have.keys["collect"], have.keys["interpret"]), row, scene(have), labels(have, row), have.config.steer)


@st.cache_data(max_entries=256, show_spinner="Rating the latents on this image …")
def _default(keys: tuple[str, str], row: int, _scene: Any, _labels: Any, _settings: Any) -> int:
    edit, _ = sc.default_edit(row, _scene, _labels, _settings.sweep, _settings.random_directions, _settings.seed)
    return int(edit.latent)


def sliders(have: sc.pipeline.Run, row: int, most: int, added: Sequence[int]) -> list[Slider]:
    """The image's strongest latents, and those that were added, as controls."""
    opened = scene(have)
    ids, values = opened.activations.row(row)
    z = dict(zip(ids.tolist(), values.tolist(), strict=True))
    chosen = list(dict.fromkeys([*added, *ids[:most].tolist()]))
    maxima: Mapping[int, float] = sc.train_maxima(opened.activations, chosen)
    return [
        Slider(j, opened.names.label(j), maxima[j], round(z.get(j, 0.0) / maxima[j] / STEP) * STEP)
        for j in chosen
        if maxima[j] > 0
    ]


def recipe(have: sc.pipeline.Run, row: int, edits: Sequence[sc.Edit], keep_error: bool, renormalise: bool) -> sc.Recipe:
    """The recipe of these edits on this image."""
    opened = scene(have)
    where = opened.activations.images.iloc[row]
    manifest = opened.manifests[str(where["domain"])]
    return sc.Recipe(
        edits=tuple(edits),
        sae=opened.sae.sha256,
        encoder=opened.sae.encoder_id,
        image=str(manifest.table["sha256"].iat[int(where["image"])]),
        maxima=sc.train_maxima(opened.activations, [edit.latent for edit in edits]),
        keep_error=keep_error,
        renormalise=renormalise,
        seed=have.config.steer.seed,
    )


def steered(have: sc.pipeline.Run, row: int, wanted: sc.Recipe) -> Any:
    """Everything the recipe does to the image: `steer.stage.Steered`."""
    settings = have.config.steer
    return sc.steer_row(
        row, wanted, scene(have), labels(have, row), settings.sweep, settings.random_directions, settings.neighbours
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
