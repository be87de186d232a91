"""The steer stage: one image, one recipe, everything it changes, and whether that is more than chance.

recipe -> sweep with random controls (effects.py) -> label curves, verdict; nearest images before and after; collateral
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sae_core.activations.index import Activations
from sae_core.clip.towers import Towers
from sae_core.config import Edit, Runtime, SteerConfig
from sae_core.errors import InputError
from sae_core.progress import Event, Report
from sae_core.steer.edits import Recipe, advice
from sae_core.steer.labels import labels_of
from sae_core.steer.result import Steered
from sae_core.steer.scene import SteeringScene, steer_row
from sae_core.store import Inputs

VERSION = 1
DEFAULT_STRENGTH = 2.0
__all__ = ["VERSION", "Steered", "run"]


def run(config: SteerConfig, inputs: Inputs, out_dir: Path, report: Report, runtime: Runtime) -> Steered:
    """Steer one image as `config` says and write what changed.

    Raises:
        InputError: no such domain or image, an edit of a dead or unknown latent.
    """
    scene = SteeringScene.open(inputs)
    row = chosen_row(config, scene)
    edits = config.edits if config.edits is not None else (default_edit(row, scene),)
    about = scene.activations.images.iloc[row]
    domain = str(about["domain"])
    manifest = scene.manifests[domain]
    recipe = Recipe(
        edits=edits,
        sae=scene.sae.sha256,
        encoder=scene.sae.encoder_id,
        image=str(manifest.table["sha256"].iloc[int(about["image"])]),
        maxima=train_maxima(scene.activations, [edit.latent for edit in edits]),
        keep_error=config.keep_error,
        renormalise=config.renormalise,
        seed=config.seed,
    )
    for note in advice(recipe):
        report(Event("steer", 0, 3, {}, note))
    labels = labels_of(domain, manifest, scene.embeddings[domain], scene.x[row], Towers(runtime.device))
    report(Event("steer", 1, 3, {"labels": float(len(labels.names))}))
    steered = steer_row(row, recipe, scene, labels, config.sweep, config.random_directions, config.neighbours)
    steered.save(out_dir)
    report(Event("steer", 3, 3, steered.metrics()))
    return steered


# ---------------------------------------------------------------- choices


def chosen_row(config: SteerConfig, scene: SteeringScene) -> int:
    """The row of the activation store of the image that `config` names; by default the first test image of the first domain.

    Raises:
        InputError: no such domain, no such image in it.
    """
    images = scene.activations.images
    domain = config.domain or scene.activations.domains[0]
    if domain not in scene.activations.domains:
        raise InputError(f"steer.domain: no domain {domain!r}; there are {', '.join(scene.activations.domains)}")
    own = images[images["domain"] == domain]
    if config.image is None:
        tests = own[own["split"] == "test"]
        return int((tests if len(tests) else own)["row"].iloc[0])
    found = own[own["image"] == config.image]
    if not len(found):
        raise InputError(f"steer.image: no image {config.image} in domain {domain}; it has images 0 to {own['image'].max()}")
    return int(found["row"].iloc[0])


def default_edit(row: int, scene: SteeringScene) -> Edit:
    """Clamp the image's strongest named latent (else its strongest, else the data's strongest) to twice its maximum."""
    latents, _ = scene.activations.row(row)
    named = [int(latent) for latent in latents if scene.names.label(int(latent)) is not None]
    strongest = named or [int(latent) for latent in latents] or [int(j) for j in scene.activations.strongest(1)]
    if not strongest:
        raise InputError("every latent of this dictionary is dead, so there is nothing to steer; train another dictionary")
    return Edit(latent=strongest[0], op="clamp", value=DEFAULT_STRENGTH)


def train_maxima(activations: Activations, latents: Sequence[int]) -> dict[int, float]:
    """The largest activation of each latent on training images; over all images where no training image fires it, 0 if none.

    Raises:
        InputError: a latent that the dictionary does not have.
    """
    found = {}
    for latent in latents:
        _, values = activations.postings(latent, split="train")
        found[int(latent)] = float(values[0]) if len(values) else float(activations.maxima[latent])
    return found
