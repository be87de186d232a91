"""Stage `geometry`: do this dictionary's latents follow strokes or things? Domain by domain, beside two controls.

    strokes, activations, embeddings, labels -> [geometry]

The dictionary, a frozen random dictionary at the same L0 and the raw embedding dimensions are judged on the same images, with the
same permutations and the same model of class given strokes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from numpy.typing import NDArray

from sae_core.activations.index import Activations
from sae_core.clip.embed import Embeddings
from sae_core.clip.encoder import resolve_device
from sae_core.config import GeometryConfig, Runtime
from sae_core.data.strokes import StrokeTable
from sae_core.errors import InputError
from sae_core.evaluate.codes import Codes
from sae_core.evaluate.geometry.report import OWN, RANDOM, RAW, GeometryReport, measure_table, share_table
from sae_core.evaluate.geometry.verdicts import Geometry, Setting, judge, prepare
from sae_core.evaluate.stage import trained_domains
from sae_core.progress import Event, Report, silent
from sae_core.sae.architectures import SAE
from sae_core.sae.rows import training_rows
from sae_core.sae.untrained import random_dictionary
from sae_core.store import Inputs

__all__ = ["GeometryReport", "run"]

ROWS = "train and held-out, pictures that were measured and have a class of five or more, one of a near-duplicate group"


def run(
    config: GeometryConfig,
    inputs: Inputs,
    out_dir: Path,
    report: Report = silent,
    runtime: Runtime = Runtime(),
) -> GeometryReport:
    """Judge every latent on the measured, labelled pictures of each domain.

    A domain without pictures or classes is left out with a note. Nothing of an earlier attempt is kept.

    Inputs: `sae`, `activations`, and `manifest:<domain>`, `embed:<domain>`, `strokes:<domain>` of every domain.
    Raises: InputError when every domain is left out; Cancelled from `report`.
    """
    acts, sae = Activations.load(inputs["activations"]), SAE.load(inputs["sae"])
    pictures: dict[str, _Pictures] = {}
    notes: dict[str, str] = {}
    for name in config.domains or acts.domains:
        report(Event("geometry", 0, 0, {}, f"class given the strokes of {name}"))
        try:
            pictures[name] = _prepared(name, config, acts, StrokeTable.load(inputs[f"strokes:{name}"]))
        except InputError as error:
            notes[name] = str(error)
            report(Event("geometry", 0, 0, {}, f"{name} is left out: {error}"))
    if not pictures:
        raise InputError("no domain can be judged: " + "; ".join(f"{name}: {note}" for name, note in notes.items()))

    l0 = acts.metrics()["nonzeros"] / acts.n
    trained_on = trained_domains(inputs["sae"], list(acts.domains))
    random = _random(inputs, trained_on, sae.m, max(1, round(l0)), config.seed).to(resolve_device(runtime.device))
    bar = _Bar(report, len(pictures) * (2 * sae.m + sae.d))
    domains: dict[str, Any] = {}
    latents, measures = [], []
    for name, chosen in pictures.items():
        x = Embeddings.load(inputs[f"embed:{name}"]).rows(chosen.rows)
        judged = {kind: bar.judge(codes, chosen.setting, config) for kind, codes in _codes(acts, random, x, name, chosen).items()}
        domains[name] = _summary(chosen.setting, judged)
        latents.append(_named(name, judged[OWN].latents))
        measures.append(_named(name, measure_table(judged[OWN])))
    about = {
        "sae": inputs["sae"].name,
        "rows": ROWS,
        "trained_on": trained_on,
        "random_dictionary": {"latents": sae.m, "k": max(1, round(l0)), "trained": False, "scaled_to": "the rows trained on"},
        "interval": "95 % Wilson interval over the latents tested",
        **config.model_dump(mode="json", exclude={"domains"}),
        "measures": list(next(iter(pictures.values())).setting.measures),
        "notes": notes,
    }
    found = GeometryReport(
        {**about, "domains": domains}, pd.concat(latents, ignore_index=True), pd.concat(measures, ignore_index=True)
    )
    found.save(out_dir)
    bar.end(found.metrics())
    return found


@dataclass(frozen=True)
class _Pictures:
    """The pictures of a domain that latents are judged on: embedding rows within the domain, int64 [n], and their setting."""

    rows: NDArray[np.int64]
    setting: Setting


def _prepared(name: str, config: GeometryConfig, acts: Activations, strokes: StrokeTable) -> _Pictures:
    """Choose the pictures and read their measures. Raises InputError where they cannot be judged by."""
    table = acts.images[acts.images["domain"] == name]
    image, label, group = (table[column].to_numpy(np.int64) for column in ("image", "label", "group"))
    measured = np.isin(image, strokes.images)
    if not measured.any():
        raise InputError("no pictures were given, so there are no strokes; give the pictures beside the embeddings")
    if not (label[measured] >= 0).any():
        raise InputError("the pictures have no classes, and geometry is judged within classes; give a labelled data set")
    rng = np.random.default_rng([0, config.seed, *name.encode()])
    rows = np.flatnonzero(measured & (label >= 0))
    rows = rows[np.sort(np.unique(group[rows], return_index=True)[1])]
    rows = np.sort(rng.permutation(rows)[: config.images])
    place = np.searchsorted(strokes.images, image[rows])
    measures = pd.DataFrame(strokes.values[place], columns=strokes.names)
    return _Pictures(rows, prepare(measures, label[rows], rng, draws=config.draws))


def _random(inputs: Inputs, trained_on: list[str], width: int, k: int, seed: int) -> SAE:
    """The control dictionary, scaled to the training rows of the domains that the other was trained on."""
    paths = {f"{kind}:{name}": inputs[f"{kind}:{name}"] for name in trained_on for kind in ("manifest", "embed")}
    rows = training_rows(Inputs(paths))
    return random_dictionary(width, k, rows.train, rows.encoder, seed)


def _codes(acts: Activations, random: SAE, x: NDArray[np.float32], name: str, chosen: _Pictures) -> dict[str, Codes]:
    """What is judged, over the rows chosen: the dictionary's codes, the random dictionary's, and x itself."""
    of = np.flatnonzero((acts.images["domain"] == name).to_numpy())
    own = acts.csr(int(of[0]), int(of[-1]) + 1)[chosen.rows]
    indices, values = random.encode_sparse(x)
    rows = np.repeat(np.arange(len(x)), indices.shape[1])
    control = scipy.sparse.csr_matrix((values.ravel(), (rows, indices.ravel())), shape=(len(x), random.m))
    return {OWN: own, RANDOM: control, RAW: np.asarray(x, dtype=np.float64)}


def _summary(setting: Setting, judged: dict[str, Geometry]) -> dict[str, Any]:
    facts = setting.metrics()
    tables = {kind: share_table(geometry) for kind, geometry in judged.items()}
    return {
        "n": len(setting.rows),
        "classes": len(setting.class_labels),
        "class_from_strokes": facts["class_from_strokes"],
        "class_from_nothing": facts["class_from_nothing"],
        "latents_tested": tables[OWN]["tested"],
        "dictionaries": tables,
    }


def _named(domain: str, table: pd.DataFrame) -> pd.DataFrame:
    named = table.copy()
    named.insert(0, "domain", domain)
    return named


class _Bar:
    """Progress over the latents of everything that is judged."""

    def __init__(self, report: Report, total: int) -> None:
        self._report, self._total, self._before = report, total, 0

    def judge(self, codes: Codes, setting: Setting, config: GeometryConfig) -> Geometry:
        """The verdicts on one dictionary, told of as they come."""
        found = judge(codes, setting, config.alpha, config.least_effect, self._tick)
        self._before += len(found.latents)
        return found

    def _tick(self, done: int, latents: int) -> None:
        self._report(Event("geometry", self._before + done, self._total))

    def end(self, metrics: dict[str, float]) -> None:
        """The last step, with the numbers."""
        self._report(Event("geometry", self._total, self._total, metrics))
