"""One image, one recipe, everything it changes; a page opens the scene once and steers in it again and again.

The image may be one of the data (`steer_row`), or a picture that is not among them (`steer_subject` of a `stranger`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sae_core.activations.index import Activations
from sae_core.clip.embed import Embeddings
from sae_core.data.manifest import Manifest
from sae_core.evaluate.metrics import unit
from sae_core.interpret.evidence import rows_in_order
from sae_core.interpret.naming import random_directions
from sae_core.interpret.records import Names
from sae_core.sae.architectures import SAE
from sae_core.steer.edits import Recipe, advice, check, codes, resolve
from sae_core.steer.effects import Sweep, Verdict, jaccard, label_curves, nearest, probabilities, specificity, sweep
from sae_core.steer.labels import Labels
from sae_core.steer.result import FORMAT, Steered
from sae_core.steer.subject import Control, Subject, steered_to
from sae_core.steer.units import logit_scale_of
from sae_core.store import Inputs

SHOWN = 10
CURVES = ("strength", "label", "probability", "base", "random_low", "random_median", "random_high")
CONTROLS = "isotropic random directions, as long as the edit"


@dataclass(frozen=True)
class SteeringScene:
    """Everything steering looks at, opened once; a page keeps it and steers again and again."""

    sae: SAE
    activations: Activations
    names: Names
    manifests: Mapping[str, Manifest]
    embeddings: Mapping[str, Embeddings]
    x: NDArray[np.float32]
    units: NDArray[np.float32]

    @classmethod
    def open(cls, inputs: Inputs) -> SteeringScene:
        """Open the stage's inputs."""
        activations = Activations.load(inputs["activations"])
        embeddings = {domain: Embeddings.load(path) for domain, path in inputs.domains("embed").items()}
        x = rows_in_order(activations, embeddings)
        return cls(
            SAE.load(inputs["sae"]),
            activations,
            Names.load(inputs["names"]),
            {domain: Manifest.load(path) for domain, path in inputs.domains("manifest").items()},
            embeddings,
            x,
            unit(x),
        )

    def logit_scale(self, row: int) -> float:
        """τ of the CLIP behind a row of the activation store."""
        return logit_scale_of(self.embeddings[str(self.activations.images["domain"].iloc[row])])

    def code(self, subject: Subject) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The latents that an image fires, strongest first, and their activations."""
        if subject.about["row"] is not None:
            return self.activations.row(int(subject.about["row"]))
        z = np.asarray(self.sae.encode(subject.x[None]), dtype=np.float32)[0]
        order = np.argsort(-z, kind="stable")[: int((z > 0).sum())]
        return order, z[order]

    def maxima(self, recipe: Recipe) -> NDArray[np.float64]:
        """Each latent's maximum, float64 [m]; the recipe's own where it has them. InputError for a recipe of another SAE."""
        maxima = self.activations.maxima.astype(np.float64)
        check(recipe, self.sae)
        for edit in recipe.edits:
            maxima[edit.latent] = recipe.maxima.get(edit.latent, maxima[edit.latent])
        check(recipe, self.sae, maxima)
        return maxima

    def subject(self, row: int) -> Subject:
        """An image of the data, ready to be steered."""
        where = self.activations.images.iloc[row]
        return Subject(self.x[row], self.logit_scale(row), _image(row, self), int(where["group"]))


def steer_row(
    row: int,
    recipe: Recipe,
    scene: SteeringScene,
    labels: Labels,
    strengths: Sequence[float],
    random: int,
    neighbours: int,
) -> Steered:
    """Steer one row of the activation store and measure everything; see `steer_subject`."""
    return steer_subject(scene.subject(row), recipe, scene, labels, strengths, random, neighbours)


def steer_subject(
    subject: Subject,
    recipe: Recipe,
    scene: SteeringScene,
    labels: Labels,
    strengths: Sequence[float],
    random: int,
    neighbours: int,
    control: Control = "edited",
) -> Steered:
    """Steer one image and measure everything.

    Args:
        subject: the image, such as `scene.subject(row)`.
        recipe: with `maxima` for its edited latents.
        scene: the opened inputs.
        labels: from `labels_of`; fewer than two of them give no curves and no verdict.
        strengths: of the sweep, multiples of the edited latents' maxima.
        random: number of random directions of equal norm.
        neighbours: how many nearest images to show.
        control: what labels, nearest images and collateral are of; curves and verdict are the edit's whatever it is.

    Raises:
        InputError: a recipe that does not go with the dictionary.
    """
    maxima = scene.maxima(recipe)
    x = subject.x
    after = steered_to(x, recipe, scene.sae, maxima, control)
    result: dict[str, Any] = {
        "format": FORMAT,
        **subject.about,
        "notes": advice(recipe),
        "controls": CONTROLS,
        "logit_scale": subject.logit_scale,
    }
    result["edits"] = _edits(x, recipe, scene, maxima)
    result["cosine"] = float(unit(x[None])[0] @ unit(after[None])[0])
    curves = pd.DataFrame({name: pd.Series(dtype=object if name == "label" else np.float64) for name in CURVES})
    judged: dict[str, Any] = {"verdict": None, "reason": labels.note if not labels.names else "the recipe edits no latent"}
    if labels.names and recipe.edits:
        rng = np.random.default_rng(recipe.seed)
        directions = random_directions("isotropic", random, scene.x, rng)
        swept = sweep(x, recipe, scene.sae, maxima, strengths, directions)
        curves, verdict = label_curves(swept, labels.names, labels.texts, subject.logit_scale)
        judged = _judged(verdict, swept)
    result.update(judged)
    result["labels"] = _before_after(x, after, labels, subject.logit_scale)
    table, changed = _neighbours(subject, after, recipe, scene, neighbours)
    result.update(changed)
    result.update(_collateral(x, after, recipe, scene, maxima))
    return Steered(recipe, curves, table, result)


def _image(row: int, scene: SteeringScene) -> dict[str, Any]:
    about = scene.activations.images.iloc[row]
    domain, image = str(about["domain"]), int(about["image"])
    manifest = scene.manifests[domain]
    label = int(about["label"])
    known = manifest.classes[label] if 0 <= label < len(manifest.classes) else None
    file = str(manifest.table["file"].iloc[image])
    return {"row": row, "domain": domain, "image": image, "file": file, "class": known}


def _edits(x: NDArray[np.float32], recipe: Recipe, scene: SteeringScene, maxima: NDArray[np.float64]) -> list[dict[str, Any]]:
    edits, _ = resolve(recipe.edits)
    z = codes(x[None], scene.sae, np.array([edit.latent for edit in edits], dtype=np.int64))[0]
    return [
        {
            "latent": edit.latent,
            "name": scene.names.label(edit.latent),
            "op": edit.op,
            "value": edit.value,
            "activation": float(z[i]),
            "active": bool(z[i] > 0),
            "maximum": float(maxima[edit.latent]),
        }
        for i, edit in enumerate(edits)
    ]


def _judged(verdict: Verdict, swept: Sweep) -> dict[str, Any]:
    return {
        "verdict": verdict.judgement,
        "reason": verdict.reason,
        "raised": verdict.label,
        "strengths": swept.strengths.tolist(),
        "effects": verdict.effects.tolist(),
        "random_high": verdict.random_high.tolist(),
        "steer_effect": verdict.effect,
        "steer_effect_random": verdict.effect_random,
        "steer_p": verdict.p,
        "steer_spearman": verdict.spearman,
    }


def _before_after(x: NDArray[np.float32], after: NDArray[np.float32], labels: Labels, logit_scale: float) -> dict[str, Any]:
    shown: list[dict[str, Any]] = []
    if labels.names:
        p = probabilities(np.stack([x, after]), labels.texts, logit_scale)
        order = np.argsort(-p.max(axis=0), kind="stable")[:SHOWN]
        shown = [{"label": labels.names[i], "before": float(p[0, i]), "after": float(p[1, i])} for i in order]
    return {"source": labels.source, "note": labels.note, "count": len(labels.names), "shown": shown}


def _neighbours(
    subject: Subject, after: NDArray[np.float32], recipe: Recipe, scene: SteeringScene, count: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    images = scene.activations.images
    groups = images["group"].to_numpy(np.int64)
    edits, _ = resolve(recipe.edits)
    found, parts, means = [], [], []
    for side, point in (("before", subject.x), ("after", after)):
        rows, cosines = nearest(point, scene.units, groups, count, without=subject.group)
        activation = [_activation(scene.activations, int(r), edits[0].latent) if edits else 0.0 for r in rows]
        table = images.loc[rows, ["row", "domain", "image", "label"]].reset_index(drop=True)
        found.append(rows)
        means.append(float(np.mean(activation)) if activation else 0.0)
        parts.append(table.assign(side=side, rank=np.arange(len(rows)), cosine=cosines, activation=activation))
    columns = ["side", "rank", "row", "domain", "image", "cosine", "label", "activation"]
    table = pd.concat(parts, ignore_index=True)[columns].astype({"domain": str})
    return table, {"steer_jaccard": jaccard(*found), "neighbour_activation": {"before": means[0], "after": means[1]}}


def _activation(activations: Activations, row: int, latent: int) -> float:
    latents, values = activations.row(row)
    return float(values[latents == latent].sum())


def _collateral(
    x: NDArray[np.float32], after: NDArray[np.float32], recipe: Recipe, scene: SteeringScene, maxima: NDArray[np.float64]
) -> dict[str, Any]:
    """The code of x, and how encoding x' again differs from it in units of each latent's maximum, edited latents apart."""
    z = np.asarray(scene.sae.encode(np.stack([x, after])), dtype=np.float64)
    change = np.divide(z[1] - z[0], maxima, out=np.zeros(len(maxima)), where=maxima > 0)
    edited = np.array([edit.latent for edit in recipe.edits], dtype=np.int64)
    rest = np.abs(change)
    rest[edited] = 0

    def listed(order: NDArray[np.int64], values: NDArray[np.float64]) -> list[dict[str, Any]]:
        keep = [int(j) for j in order[:SHOWN] if values[j] != 0]
        return [{"latent": j, "name": scene.names.label(j), "value": float(values[j])} for j in keep]

    return {
        "active": listed(np.argsort(-z[0], kind="stable"), z[0]),
        "active_count": {"before": int((z[0] > 0).sum()), "after": int((z[1] > 0).sum())},
        "read_back": listed(edited, z[1]),
        "collateral": listed(np.argsort(-rest, kind="stable"), np.where(rest > 0, change, 0.0)),
        "steer_specificity": specificity(change, np.unique(edited)),
    }
