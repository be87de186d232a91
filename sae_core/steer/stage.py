"""The steer stage: one image, one recipe, everything it changes, and whether that is more than chance.

recipe -> sweep with random controls (effects.py) -> label curves, verdict; nearest images before and after; collateral
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sae_core.clip.towers import Towers
from sae_core.config import Edit, Runtime, SteerConfig
from sae_core.errors import InputError
from sae_core.progress import Event, Report
from sae_core.steer.edits import Recipe, advice, check
from sae_core.steer.labels import Labels, labels_of
from sae_core.steer.rating import Start, rate
from sae_core.steer.result import Steered
from sae_core.steer.scene import SteeringScene, steer_row
from sae_core.steer.subject import Subject
from sae_core.steer.units import train_maxima as train_maxima
from sae_core.store import Inputs

VERSION = 2
DEFAULT_STRENGTH = 2.0
MOST_TRIED = 2048
"""The strongest latents among which the default is found: a fifth of a second for 50 labels, some seconds for 1,000."""
__all__ = ["VERSION", "Steered", "run", "train_maxima"]


def run(config: SteerConfig, inputs: Inputs, out_dir: Path, report: Report, runtime: Runtime) -> Steered:
    """Steer one image as `config` says and write what changed.

    Raises:
        InputError: no such domain or image, an edit of a dead or unknown latent.
    """
    scene = SteeringScene.open(inputs)
    row = chosen_row(config, scene)
    domain = str(scene.activations.images["domain"].iloc[row])
    labels = labels_of(domain, scene.manifests[domain], scene.embeddings[domain], scene.x[row], Towers(runtime.device))
    report(Event("steer", 1, 3, {"labels": float(len(labels.names))}))
    recipe, chosen = _recipe(config, row, scene, labels)
    for note in advice(recipe):
        report(Event("steer", 1, 3, {}, note))
    steered = steer_row(row, recipe, scene, labels, config.sweep, config.random_directions, config.neighbours)
    steered = replace(steered, result={**steered.result, "chosen": chosen})
    steered.save(out_dir)
    report(Event("steer", 3, 3, steered.metrics()))
    return steered


# ---------------------------------------------------------------- choices


def chosen_row(config: SteerConfig, scene: SteeringScene) -> int:
    """The row of the activation store of the image that `config` names, else of the recipe's, else the first held-out image.

    Raises:
        InputError: no such domain, no such image in it; a recipe's image that these data do not have.
    """
    images = scene.activations.images
    domain = config.domain or scene.activations.domains[0]
    if domain not in scene.activations.domains:
        raise InputError(f"steer.domain: no domain {domain!r}; there are {', '.join(scene.activations.domains)}")
    own = images[images["domain"] == domain]
    if config.image is not None:
        found = own[own["image"] == config.image]
        if not len(found):
            raise InputError(f"steer.image: no image {config.image} in domain {domain}; it has images 0 to {own['image'].max()}")
        return int(found["row"].iloc[0])
    if config.recipe is not None and config.recipe.image is not None and config.domain is None:
        return _row_of(config.recipe.image, scene)
    tests = own[own["split"] == "test"]
    return int((tests if len(tests) else own)["row"].iloc[0])


def _row_of(sha256: str, scene: SteeringScene) -> int:
    images = scene.activations.images
    for domain, manifest in scene.manifests.items():
        same = np.flatnonzero((manifest.table["sha256"] == sha256).to_numpy())
        rows = images.loc[(images["domain"] == domain) & images["image"].isin(same), "row"]
        if len(rows):
            return int(rows.iloc[0])
    raise InputError(f"the recipe was made on image {sha256[:12]}, which these data do not have; name one (--domain, --image)")


def _recipe(config: SteerConfig, row: int, scene: SteeringScene, labels: Labels) -> tuple[Recipe, str | None]:
    """The recipe, and how its edit was chosen where nobody said what to edit."""
    if config.recipe is not None:
        check(config.recipe, scene.sae)
        known = train_maxima(scene.activations, [edit.latent for edit in config.recipe.edits])
        return config.recipe.model_copy(update={"maxima": {**known, **config.recipe.maxima}}), None
    edits, chosen = config.edits, None
    if edits is None:
        edit, chosen = default_edit(row, scene, labels, config.sweep, config.random_directions, config.seed)
        edits = (edit,)
    where = scene.activations.images.iloc[row]
    table = scene.manifests[str(where["domain"])].table
    recipe = Recipe(
        edits=edits,
        sae=scene.sae.sha256,
        encoder=scene.sae.encoder_id,
        image=str(table["sha256"].iloc[int(where["image"])]),
        maxima=train_maxima(scene.activations, [edit.latent for edit in edits]),
        keep_error=config.keep_error,
        renormalise=config.renormalise,
        seed=config.seed,
    )
    return recipe, chosen


def default_edit(
    image: int | Subject, scene: SteeringScene, labels: Labels, strengths: Sequence[float], random: int, seed: int
) -> tuple[Edit, str]:
    """Clamp to twice its maximum the latent that has most effect on this image beyond random directions, a named one if any has.

    The image's own strongest latent would be a poor example: what it stands for is in the image already, and nothing is left to
    gain. Where there are no labels to judge by, it is the image's strongest named latent, else its strongest.

    Args:
        image: a row of the activation store, or what `scene.subject` and `stranger` give.

    Returns: the edit, and a line on how it was chosen and how many others would not have done.

    Raises:
        InputError: every latent is dead.
    """
    subject = scene.subject(image) if isinstance(image, int) else image
    candidates = np.sort(scene.activations.strongest(MOST_TRIED))
    if not len(candidates):
        raise InputError("every latent of this dictionary is dead, so there is nothing to steer; train another dictionary")
    named = np.array([scene.names.label(int(latent)) is not None for latent in candidates])
    if len(labels.names) < 2:
        own, _ = scene.code(subject)
        of_image = [int(j) for j in own if scene.names.label(int(j)) is not None] or [int(j) for j in own]
        best = (of_image or [int(j) for j in scene.activations.strongest(1)])[0]
        return Edit(latent=best, op="clamp", value=DEFAULT_STRENGTH), "the image's strongest latent, a named one if any is"
    maxima = np.array(list(train_maxima(scene.activations, candidates.tolist()).values()))
    start = Start(subject.x, labels.names, labels.texts, subject.logit_scale)
    rated = rate(candidates, maxima, [start], scene.sae, strengths, random, seed)
    steers = (rated["verdict"] == "steerable").to_numpy()
    # In this order: steerable and named, steerable, named, any; among equals the most effect beyond random.
    order = np.lexsort((-rated["beyond"].to_numpy(), ~named, ~steers))
    counts = rated["verdict"].value_counts()
    said = [f"{counts.get(verdict, 0):,} {verdict}" for verdict in ("steerable", "weak", "no effect beyond random")]
    chosen = f"the best of {len(rated):,} strongest latents, rated on this image, named ones first: {', '.join(said)}"
    return Edit(latent=int(candidates[order[0]]), op="clamp", value=DEFAULT_STRENGTH), chosen
