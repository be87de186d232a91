"""The card of one latent: all there is to see of it, for the app, the command line and static pages alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sae_core.activations.index import Activations
from sae_core.browse.classes import class_scores
from sae_core.browse.marks import Marks
from sae_core.browse.neighbours import decoder_neighbours
from sae_core.data.manifest import Manifest
from sae_core.evaluate.geometry.report import GeometryReport
from sae_core.interpret.records import Names
from sae_core.sae.architectures import SAE

Histogram = tuple[NDArray[np.float64], NDArray[np.int64]]
VERDICT_COLUMNS = ["domain", "verdict", "measure", "rho", "geometric_effect", "geometric_q", "semantic_effect", "semantic_q"]


@dataclass(frozen=True)
class Mark:
    """What the reader said of a latent."""

    bookmarked: bool = False
    note: str = ""


@dataclass(frozen=True)
class Card:
    """What is known of one latent.

    Attributes:
        latent: its id.
        rows: how many rows (embeddings) were encoded, silent ones too.
        stats: count, rate, max, mean, sum and `<domain>.count/.rate/.max`, as in `Activations.stats`.
        name: its record of `Names.table` as plain values, None where nobody asked for one.
        verdicts: VERDICT_COLUMNS, a line for each domain it was judged on; empty without geometry.
        measures: domain, measure, rho, p of the stroke measures, by domain, the largest |rho| first.
        top: by domain, the strongest rows as `Activations.top` gives them, near-duplicates once.
        bands: band 0 (strongest) to 4, row, domain, image, value, group: examples of each fifth of the rows it fires on.
        silent: row, domain, image of random rows on which it does not fire.
        histograms: by domain, edges and counts of the activations above 0.
        classes: as `class_scores` gives them.
        neighbours: latent, cosine: the nearest decoder directions.
        together: latent, both, jaccard: the latents that fire on the same rows.
        mark: bookmark and note.
    """

    latent: int
    rows: int
    stats: Mapping[str, int | float]
    name: Mapping[str, Any] | None
    verdicts: pd.DataFrame
    measures: pd.DataFrame
    top: Mapping[str, pd.DataFrame]
    bands: pd.DataFrame
    silent: pd.DataFrame
    histograms: Mapping[str, Histogram]
    classes: pd.DataFrame
    neighbours: pd.DataFrame
    together: pd.DataFrame
    mark: Mark

    @property
    def label(self) -> str | None:
        """Its name, None where it has none that passed its test."""
        return str(self.name["label"]) if self.name is not None and self.name["status"] == "ok" else None

    @property
    def dead(self) -> bool:
        """Whether it fires on no row."""
        return not self.stats["count"]

    def table(self, manifests: Mapping[str, Manifest]) -> pd.DataFrame:
        """Every picture of the card: part (top, band, silent), band (1 to 5), row, domain, image, file, what, value, copies.

        `value` is empty for silent pictures, `band` for others than bands, `copies` (near-duplicates shown once) for others
        than the top. `what` is the class, else the caption, else the file.
        """
        parts = [one.assign(part="top") for one in self.top.values()]
        parts += [self.bands.assign(part="band", band=self.bands["band"] + 1), self.silent.assign(part="silent")]
        wanted = ["part", "band", "row", "domain", "image", "value", "copies"]
        whole = pd.concat([one.astype({"domain": str}) for one in parts if len(one)] or parts[:1], ignore_index=True)
        whole = whole.reindex(columns=wanted).astype({"band": "Int64", "copies": "Int64", "value": np.float64})
        places = list(zip(whole["domain"].astype(str), whole["image"].astype(int), strict=True))
        whole.insert(5, "file", [str(manifests[domain].table["file"].iat[image]) for domain, image in places])
        whole.insert(6, "what", [what_it_is(manifests[domain], image) for domain, image in places])
        return whole

    def to_json(self, manifests: Mapping[str, Manifest]) -> dict[str, Any]:
        """The card as plain JSON values, null for a number that is not defined."""
        shown = self.table(manifests)
        stats = {name: value for name, value in self.stats.items() if "." not in name and name != "latent"}
        domains = [name.removesuffix(".count") for name in self.stats if name.endswith(".count")]
        top = shown[shown["part"] == "top"].drop(columns=["part", "band"])
        return {
            "latent": self.latent,
            "label": self.label,
            "name": _json(self.name),
            "bookmarked": self.mark.bookmarked,
            "note": self.mark.note,
            "rows": self.rows,
            **{name: _json(value) for name, value in stats.items()},
            "domains": {d: {one: _json(self.stats[f"{d}.{one}"]) for one in ("count", "rate", "max")} for d in domains},
            "verdicts": _records(self.verdicts),
            "measures": _records(self.measures),
            "top": {domain: _records(top[top["domain"] == domain]) for domain in self.top},
            "bands": _records(shown[shown["part"] == "band"].drop(columns=["part", "copies"])),
            "silent": _records(shown[shown["part"] == "silent"].drop(columns=["part", "band", "value", "copies"])),
            "histograms": {d: {"edges": e.tolist(), "counts": c.tolist()} for d, (e, c) in self.histograms.items()},
            "classes": _records(self.classes),
            "permutations": int(self.classes.attrs["permutations"]),
            "neighbours": _records(self.neighbours),
            "together": _records(self.together),
        }


def latent_card(
    acts: Activations,
    sae: SAE,
    latent: int,
    *,
    classes: Mapping[str, Sequence[str]],
    names: Names | None = None,
    geometry: GeometryReport | None = None,
    marks: Marks | None = None,
    top: int = 12,
    each: int = 4,
    silent: int = 8,
    near: int = 8,
    rng: np.random.Generator | None = None,
) -> Card:
    """Everything there is to see of one latent.

    Args:
        acts: the activation store.
        sae: the dictionary it was collected with.
        latent: its id.
        classes: names of the classes by domain, in the order of the labels.
        names, geometry, marks: what the run has of them.
        top: strongest pictures of each domain.
        each: pictures of each quantile band.
        silent: pictures that leave it silent.
        near: neighbours of each kind.
        rng: for examples and permutations; None: seeded by the latent's id, so that a link always shows the same card.

    Raises: InputError for a latent that is not there.
    """
    strongest = {domain: acts.top(latent, top, domain=domain) for domain in acts.domains}  # says so if there is no such latent
    rng = np.random.default_rng(latent) if rng is None else rng
    verdicts, measures = _geometry(geometry, latent)
    marks = Marks() if marks is None else marks
    return Card(
        latent=int(latent),
        rows=acts.n,
        stats={str(name): _json(acts.stats[name].iat[latent]) for name in acts.stats},
        name=_record(names, latent),
        verdicts=verdicts,
        measures=measures,
        top=strongest,
        bands=acts.quantile_bands(latent, each=each, rng=rng),
        silent=_places(acts, acts.silent(latent, silent, rng)),
        histograms={domain: acts.histogram(latent, domain=domain) for domain in acts.domains},
        classes=class_scores(acts, latent, classes, rng=rng),
        neighbours=decoder_neighbours(sae, acts, latent, near),
        together=acts.coactivation(latent, near),
        mark=Mark(latent in marks.bookmarked, marks.note(latent)),
    )


def what_it_is(manifest: Manifest, image: int) -> str:
    """What a picture is: its class, else its caption, else its file name."""
    label = int(manifest.labels[image])
    if label >= 0 and manifest.classes:
        return str(manifest.classes[label])
    said = manifest.table["caption"].iat[image]
    return str(said if isinstance(said, str) else manifest.table["file"].iat[image])


def _record(names: Names | None, latent: int) -> dict[str, Any] | None:
    if names is None:
        return None
    found = names.table[names.table["latent"] == latent]
    return None if found.empty else dict(_json(found.iloc[0].to_dict()))


def _geometry(geometry: GeometryReport | None, latent: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    if geometry is None:
        return pd.DataFrame(columns=VERDICT_COLUMNS), pd.DataFrame(columns=["domain", "measure", "rho", "p"])
    verdicts = geometry.latents.loc[geometry.latents["latent"] == latent, VERDICT_COLUMNS].reset_index(drop=True)
    own = geometry.measures[geometry.measures["latent"] == latent]
    order = {domain: place for place, domain in enumerate(geometry.report["domains"])}
    keys = own.assign(place=own["domain"].map(order), size=-own["rho"].abs())
    measures = own.loc[keys.sort_values(["place", "size"], kind="stable").index, ["domain", "measure", "rho", "p"]]
    return verdicts, measures.reset_index(drop=True)


def _places(acts: Activations, rows: NDArray[np.int64]) -> pd.DataFrame:
    at = acts.images.iloc[rows]
    return pd.DataFrame({"row": rows, "domain": at["domain"].astype(str).to_numpy(), "image": at["image"].to_numpy(np.int64)})


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [_json(row) for row in table.to_dict("records")]


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _json(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is pd.NA or (isinstance(value, float) and not np.isfinite(value)):
        return None
    return value
