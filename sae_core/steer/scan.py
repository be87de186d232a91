"""Stage `scan`: which latents steer. Every alive latent is turned up on held-out images, beside random directions of equal norm.

    dictionary, activations, embeddings, labels -> [scan]

A latent's row follows from its number, the seed and the images, whatever is rated beside it; the unit of resume is a part of 256
latents. Of directions that do nothing, 1 in 21 is judged beyond 20 random ones by chance: `by_chance` says how many that makes.
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sae_core.activations.index import Activations
from sae_core.clip.embed import Embeddings
from sae_core.clip.encoder import resolve_device
from sae_core.clip.towers import Towers
from sae_core.config import Latents, Runtime, ScanConfig
from sae_core.data.manifest import Manifest
from sae_core.errors import DamagedArtifact, InputError
from sae_core.progress import Event, Report, silent
from sae_core.sae.architectures import SAE
from sae_core.steer.effects import chance
from sae_core.steer.labels import Labels, labels_of
from sae_core.steer.rating import COLUMNS, READ_BACK, Start, rate, read_back
from sae_core.steer.units import logit_scale_of, train_maxima
from sae_core.store import Inputs, write_atomic

__all__ = ["Scan", "run"]

FORMAT = 1
PART = 256
"""Latents that are rated at once; what was rated stays when the work is stopped."""
TABLE, ABOUT = "scan.parquet", "scan.json"
MEASURES = (*COLUMNS, "specificity", "collateral")


@dataclass(frozen=True)
class Scan:
    """How each latent steers.

    Attributes:
        table: a row a latent, ascending: the columns of `rating.rate`, then specificity and collateral of `rating.read_back`.
        about: images [{domain, image}], labels (by domain: source, note), strengths, random_directions, read_back (the strength),
            latents, steerable, weak, by_chance, seed, seconds.
    """

    table: pd.DataFrame
    about: dict[str, Any]

    @classmethod
    def load(cls, folder: str | Path) -> Scan:
        """Read a scan artifact. Raises InputError when there is none, DamagedArtifact when it cannot be read."""
        folder = Path(folder)
        if not (folder / ABOUT).is_file():
            raise InputError(f"no scan of what steers in {folder}; make it with the scan command")
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            return cls(pd.read_parquet(folder / TABLE)[list(MEASURES)], about)
        except (OSError, ValueError, KeyError) as error:
            raise DamagedArtifact(f"the scan in {folder} cannot be read: {error}; remove it and make it again") from None

    def save(self, folder: Path) -> None:
        """Write scan.parquet and scan.json."""
        folder.mkdir(parents=True, exist_ok=True)
        self.table.to_parquet(folder / TABLE, index=False)
        write_atomic(folder / ABOUT, json.dumps({"format": FORMAT, **self.about}, indent=1, allow_nan=False).encode())

    def metrics(self) -> dict[str, float]:
        """How many latents were rated, are steerable, are weak, and would look like either by chance."""
        return {f"scan_{name}": float(self.about[name]) for name in ("latents", "steerable", "weak", "by_chance")}


def run(
    config: ScanConfig,
    inputs: Inputs,
    out_dir: Path,
    report: Report = silent,
    runtime: Runtime = Runtime(),
) -> Scan:
    """Rate the latents that fire.

    Inputs: `sae`, `activations`, and `manifest:<domain>`, `embed:<domain>` of every domain.
    Raises: InputError where no domain has labels to follow, or a latent is asked for that never fires; Cancelled from `report`:
        a rerun continues.
    """
    started = time.perf_counter()
    acts = Activations.load(inputs["activations"])
    sae = SAE.load(inputs["sae"]).to(resolve_device(runtime.device))
    latents = _latents(config.latents, acts)
    starts, images, labels = _starts(config, acts, inputs, Towers(runtime.device))
    x = np.stack([start.x for start in starts])
    maxima = acts.maxima.astype(np.float64)
    for latent, value in train_maxima(acts, latents.tolist()).items():
        maxima[latent] = value
    parts = out_dir / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    tables = []
    for number, start in enumerate(range(0, len(latents), PART)):
        chosen, file = latents[start : start + PART], parts / f"{number:05d}.parquet"
        if not file.is_file():  # written under another name and renamed: it is whole or not there
            found = rate(chosen, maxima[chosen], starts, sae, config.sweep, config.random_directions, config.seed)
            buffer = io.BytesIO()
            found.merge(read_back(chosen, maxima, x, sae), on="latent").to_parquet(buffer, index=False)
            write_atomic(file, buffer.getvalue())
        tables.append(pd.read_parquet(file))
        report(Event("scan", start + len(chosen), len(latents)))
    table = pd.concat(tables, ignore_index=True)
    counts = table["verdict"].value_counts()
    about = {
        "images": images,
        "labels": labels,
        "strengths": list(config.sweep),
        "random_directions": config.random_directions,
        "read_back": READ_BACK,
        "latents": len(table),
        "steerable": int(counts.get("steerable", 0)),
        "weak": int(counts.get("weak", 0)),
        "by_chance": round(len(table) * chance(config.random_directions), 1),
        "seed": config.seed,
        "seconds": round(time.perf_counter() - started, 1),
    }
    scan = Scan(table, about)
    scan.save(out_dir)
    shutil.rmtree(parts)
    report(Event("scan", len(latents), len(latents), scan.metrics()))
    return scan


def _latents(chosen: Latents, acts: Activations) -> NDArray[np.int64]:
    """The latents to rate, ascending: those asked for, else all that fire."""
    if chosen.strongest is not None:
        return np.sort(acts.strongest(chosen.strongest))
    alive = acts.alive()
    if not len(alive):
        raise InputError("every latent of this dictionary is dead, so there is nothing to rate; train another dictionary")
    if chosen.ids is None:
        return alive
    ids = np.unique(np.array(chosen.ids, dtype=np.int64))
    missing = np.setdiff1d(ids, alive)
    if len(missing) or not len(ids):
        which = f"latent {missing[0]} fires on no image or does not exist" if len(missing) else "no latent is asked for"
        raise InputError(f"scan.latents.ids: {which}; give ids of latents that fire, or leave them out for all")
    return ids


# ---------------------------------------------------------------- images and labels


def _starts(
    config: ScanConfig, acts: Activations, inputs: Inputs, towers: Towers
) -> tuple[list[Start], list[dict[str, Any]], dict[str, Any]]:
    """Held-out images with their labels, where these images are, and by domain what the labels are."""
    embeddings = {domain: Embeddings.load(path) for domain, path in inputs.domains("embed").items()}
    manifests = {domain: Manifest.load(path) for domain, path in inputs.domains("manifest").items()}
    said: dict[str, Any] = {}
    found: dict[str, Labels] = {}
    for domain in acts.domains:
        x = _row(embeddings[domain], next(_held_out(acts, domain, config.seed)))
        labels = labels_of(domain, manifests[domain], embeddings[domain], x, towers)
        said[domain] = {"source": labels.source, "note": labels.note}
        if len(labels.names) >= 2:
            found[domain] = labels
    if not found:
        why = "; ".join(f"{domain}: {one['note']}" for domain, one in said.items())
        raise InputError(f"no labels whose probabilities a latent could move: {why}")
    starts, images = [], []
    for place, (domain, labels) in enumerate(found.items()):
        share = config.images // len(found) + (place < config.images % len(found))
        for _, image in zip(range(share), _held_out(acts, domain, config.seed), strict=False):
            x = _row(embeddings[domain], image)
            # Class labels are the same for every image of a domain; captions are chosen by the image.
            own = labels if labels.source == "classes" else labels_of(domain, manifests[domain], embeddings[domain], x, towers)
            starts.append(Start(x, own.names, own.texts, logit_scale_of(embeddings[domain])))
            images.append({"domain": domain, "image": image})
    return starts, images, said


def _held_out(acts: Activations, domain: str, seed: int) -> Iterator[int]:
    """Images of a domain in a random order, near-duplicates once: of the test split, where there is none of all."""
    own = acts.images[acts.images["domain"] == domain]
    rng = np.random.default_rng([seed, acts.domains.index(domain)])
    tests = own[own["split"] == "test"]
    some = (tests if len(tests) else own).drop_duplicates("group")
    if not len(some):
        raise InputError(f"domain {domain} has no images, so there is nothing to steer; leave it out")
    yield from (int(image) for image in rng.permutation(some["image"].to_numpy(np.int64)))


def _row(embeddings: Embeddings, image: int) -> NDArray[np.float32]:
    return np.asarray(embeddings.rows(np.flatnonzero(np.asarray(embeddings.images) == image)[:1])[0], dtype=np.float32)
