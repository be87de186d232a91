"""The interpret stage: every latent gets a name that is tested on images it was not named from, or none.

clip: decoder rows, words -> names (naming.py) -> CLIP consistency on the other half of the images (score.py) -> records
vision: pictures -> a vision model's names -> the same model tested on the other half (vision/stage.py) -> records
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sae_core.activations.index import Activations
from sae_core.config import InterpretConfig, Latents, Runtime
from sae_core.errors import InputError
from sae_core.interpret.evidence import Evidence
from sae_core.interpret.material import Material
from sae_core.interpret.naming import TOP_K, Naming, abstention_rate, name_latents
from sae_core.interpret.records import FIELDS, Names, clean, frame
from sae_core.interpret.score import CIRCULARITY, MIN_IMAGES, consistency
from sae_core.interpret.texts import make_vocabulary
from sae_core.interpret.vocabulary import Vocabulary
from sae_core.progress import Event, Report
from sae_core.sae.architectures import SAE
from sae_core.store import Inputs

VERSION = 2
PRIOR_LATENTS = 1024
TOP_IMAGES = 8
__all__ = ["VERSION", "Names", "run"]


def run(config: InterpretConfig, inputs: Inputs, out_dir: Path, report: Report, runtime: Runtime) -> Names:
    """Name the latents `config.latents` asks for and write names.json and sae_latents.csv.

    The key of a vision model comes from the environment.

    Raises:
        InputError: a latent id out of range, a bad vocabulary file; no vision model or key, or the cap is reached.
        Unavailable: words need the text tower of a CLIP whose weights are not here; a vision model's endpoint refuses.
    """
    if config.method == "vision":
        return _vision(config, inputs, out_dir, report, runtime)
    sae = SAE.load(inputs["sae"])
    material = Material.load(inputs, config.seed, runtime.device)
    latents = chosen_latents(config.latents, material.activations)
    report(Event("interpret", 0, 4, {"latents": float(len(latents))}))
    vocabulary = make_vocabulary(config, material.manifests, material.embeddings, material.towers)
    report(Event("interpret", 1, 4, {"words": float(len(vocabulary.words))}))
    files = {domain: manifest.table["file"].tolist() for domain, manifest in material.manifests.items()}
    names = interpret(latents, np.asarray(sae.decoder_raw), material.evidence, vocabulary, config, files, report)
    encoder = next(iter(material.embeddings.values())).encoder
    names = Names(names.table, {**names.about, "encoder": encoder})
    names.save(out_dir)
    report(Event("interpret", 4, 4, names.metrics()))
    return names


def _vision(config: InterpretConfig, inputs: Inputs, out_dir: Path, report: Report, runtime: Runtime) -> Names:
    # Imported here, so that offline naming needs neither the client nor its configuration.
    from sae_core.interpret.vision.endpoint import Endpoint
    from sae_core.interpret.vision.secrets import key_for
    from sae_core.interpret.vision.stage import name_with_vision

    material = Material.load(inputs, config.seed, runtime.device)
    latents = chosen_latents(config.latents, material.activations)
    return name_with_vision(config, material, latents, out_dir, report, key_for(Endpoint.parse(config.vision.endpoint)))


def chosen_latents(latents: Latents, activations: Activations) -> NDArray[np.int64]:
    """Latent ids to name, int64: the given ids, the strongest, or all (those that never fire are recorded as dead).

    Raises:
        InputError: an id the dictionary does not have.
    """
    if latents.ids is not None:
        for latent in latents.ids:
            if latent >= activations.m:
                raise InputError(
                    f"interpret.latents.ids: no latent {latent}; this dictionary has latents 0 to {activations.m - 1}"
                )
        return np.array(list(dict.fromkeys(latents.ids)), dtype=np.int64)
    if latents.strongest is not None:
        return activations.strongest(latents.strongest)
    return np.arange(activations.m, dtype=np.int64)


# ---------------------------------------------------------------- naming and scoring


def interpret(
    latents: NDArray[np.int64],
    decoder: NDArray[np.float32],
    evidence: Evidence,
    vocabulary: Vocabulary,
    config: InterpretConfig,
    files: Mapping[str, Sequence[str]],
    report: Report,
) -> Names:
    """Name and score latents.

    Args:
        latents: ids of L latents.
        decoder: float32 [m, d], decoder rows in raw embedding units.
        evidence: images in two halves.
        vocabulary: words with their directions.
        config: percentile, number of random directions, seed.
        files: file names by domain and image, for `top_images`.
        report: receives progress.

    Returns: Names with a record for each latent, in the order of `latents`.
    """
    seeds = np.random.SeedSequence(config.seed).spawn(4)
    name_rng, fresh_rng, score_rng, prior_rng = (np.random.default_rng(seed) for seed in seeds)
    explain = evidence.x[evidence.explain]
    place = np.cumsum(evidence.explain) - 1
    tops = [place[evidence.tops(j, TOP_K)] for j in latents]
    alive = evidence.activations.alive()
    if len(alive) > PRIOR_LATENTS:
        alive = np.sort(prior_rng.choice(alive, PRIOR_LATENTS, replace=False))
    # The prior is the same whichever latents are asked for, so a latent's name does not depend on its company.
    reference = [place[evidence.tops(j, TOP_K)] for j in alive]
    naming = name_latents(
        decoder[latents],
        vocabulary,
        explain,
        tops,
        name_rng,
        percentile=config.percentile,
        random_directions=config.random_directions,
        reference=reference,
    )
    report(Event("interpret", 2, 4, {"threshold": naming.threshold, "named": float(naming.named.mean())}))
    positives = [evidence.positives(j) for j in latents]
    scores = consistency(evidence.x[evidence.score_rows], positives, naming.words[:, 0], vocabulary.contrasts, score_rng)
    report(Event("interpret", 3, 4))
    fires = np.isin(latents, evidence.activations.alive())
    images = evidence.activations.images
    domains, ids = images["domain"].astype(str).to_numpy(), images["image"].to_numpy()
    shown = [[f"{domains[row]}/{files[domains[row]][ids[row]]}" for row in evidence.strongest(j, TOP_IMAGES)] for j in latents]
    records = _records(latents, naming, scores, fires, shown, vocabulary)
    rates = abstention_rate(vocabulary, explain, naming.threshold, fresh_rng, config.random_directions)
    about = {
        "method": "clip",
        "vocabulary": vocabulary.source,
        "words": len(vocabulary.words),
        "vocabulary_note": vocabulary.note,
        "templates": list(config.templates) if vocabulary.source != "captions" else ["{}"],
        "generic": vocabulary.generic_of,
        "percentile": config.percentile,
        "threshold": naming.threshold,
        "random_abstention": rates["isotropic"],
        "random_abstention_by_kind": rates,
        "explain_images": len(explain),
        "score_images": len(evidence.score_rows),
        "seed": config.seed,
        "score": "AUROC of cos(image, name - generic prompt), held-out images that fire the latent against all that do not",
        "circularity": CIRCULARITY,
    }
    return Names(frame(records), about)


def _records(
    latents: NDArray[np.int64],
    naming: Naming,
    scores: pd.DataFrame,
    fires: NDArray[np.bool_],
    shown: Sequence[list[str]],
    vocabulary: Vocabulary,
) -> list[dict[str, Any]]:
    records = []
    for i, (latent, row) in enumerate(zip(latents, scores.to_dict("records"), strict=True)):
        score = {str(name): value for name, value in row.items()}
        words = [clean(vocabulary.words[w]) for w in naming.words[i]]
        status, reason = _verdict(bool(fires[i]), float(naming.cosines[i, 0]), naming.threshold, score)
        pairs = zip(words[1:], naming.cosines[i, 1:], strict=True)
        record = {
            "latent": int(latent),
            "status": status,
            "label": words[0] if status == "ok" else None,
            "candidate": words[0] if fires[i] else None,
            "reason": reason,
            "cosine": float(naming.cosines[i, 0]),
            "alternatives": [{"word": word, "cosine": round(float(cosine), 4)} for word, cosine in pairs] if fires[i] else [],
            "top_images": shown[i],
            **score,
        }
        records.append({name: record[name] for name in FIELDS})
    return records


def _verdict(fires: bool, cosine: float, threshold: float, score: Mapping[str, Any]) -> tuple[str, str]:
    """Status and its reason: dead, too few images to test a name, a direction like a random one, a name that fails its test."""
    if not fires:
        return "dead", "fires on no image"
    if min(score["positives"], score["negatives"]) < MIN_IMAGES:
        counts = f"{score['positives']} held-out images fire it, {score['negatives']} do not"
        return "insufficient_data", f"{counts}; scoring needs {MIN_IMAGES} of each"
    if cosine < threshold:
        return "uninterpretable", f"no word is nearer than random directions come: {cosine:.3f} below {threshold:.3f}"
    if score["ci_low"] <= 0.5:
        return (
            "uninterpretable",
            f"the name does not predict held-out images: AUROC {score['score']:.3f}, from {score['ci_low']:.3f}",
        )
    return "ok", f"cosine {cosine:.3f} against {threshold:.3f} for random directions"
