"""Stage `evaluate`: on held-out images, how well the dictionary reconstructs and what that costs CLIP, domain by domain."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sae_core.activations.collect import check_fit
from sae_core.clip.embed import Embeddings
from sae_core.clip.encoder import resolve_device
from sae_core.clip.towers import Towers
from sae_core.config import EvaluateConfig, Runtime
from sae_core.data.manifest import Manifest
from sae_core.errors import DamagedArtifact, InputError
from sae_core.evaluate.domains import ROWS, SPLIT, Domain, evaluate_domain
from sae_core.evaluate.texts import find_texts
from sae_core.progress import Event, Report
from sae_core.sae.architectures import SAE
from sae_core.sae.quality import Quality
from sae_core.store import MANIFEST, Inputs

VERSION = 1
PER_CLASS = {
    "domain": "str",
    "class": "str",
    "n": "int64",
    "accuracy_clip": "float64",
    "accuracy_sae": "float64",
    "delta": "float64",
}
PER_IMAGE = {"domain": "str", "image": "int64", "label": "int64", "pred_clip": "int64", "pred_sae": "int64"}


class Evaluation:
    """What `evaluate` wrote.

    Attributes:
        report: all numbers with what they were measured on (`report.json`).
        per_class: DataFrame domain, class, n, accuracy_clip, accuracy_sae, delta.
        per_image: DataFrame domain, image, label, pred_clip, pred_sae (class numbers).
        log: a line a domain.
    """

    def __init__(self, report: Mapping[str, Any], per_class: pd.DataFrame, per_image: pd.DataFrame, log: str) -> None:
        self.report = report
        self.per_class = per_class
        self.per_image = per_image
        self.log = log

    @classmethod
    def load(cls, folder: str | Path) -> Evaluation:
        """Read an evaluate artifact.

        Raises: InputError when there is none, DamagedArtifact when it cannot be read.
        """
        folder = Path(folder)
        if not (folder / "report.json").is_file():
            raise InputError(f"no evaluation in {folder}; make one with the evaluate command")
        try:
            report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
            log = (folder / "eval.log").read_text(encoding="utf-8")
            tables = [pd.read_parquet(folder / f"{name}.parquet") for name in ("per_class", "per_image")]
        except (OSError, ValueError) as error:
            line = str(error).splitlines()[0]
            raise DamagedArtifact(f"evaluation {folder.name} is damaged: {line}; remove it and evaluate again") from None
        return cls(report, tables[0], tables[1], log)

    def metrics(self) -> dict[str, float]:
        """The flat metrics by their names everywhere; one that is not defined on this data is left out."""
        return {name: float(value) for name, value in self.report["metrics"].items() if value is not None}


def run(config: EvaluateConfig, inputs: Inputs, out_dir: Path, report: Report, runtime: Runtime) -> Evaluation:
    """Evaluate the dictionary on the held-out split of every domain.

    Inputs: `sae`, and `manifest:<domain>`, `embed:<domain>` of every domain.
    Raises: InputError for templates without `{}`, or embeddings that are not what the dictionary takes.
    """
    sae = SAE.load(inputs["sae"]).to(resolve_device(runtime.device))
    towers = Towers(runtime.device)
    names = list(inputs.domains("embed"))
    trained_on = trained_domains(inputs["sae"], names)
    pooled = Quality(sae.d, sae.m)
    domains: dict[str, Domain] = {}
    for done, name in enumerate(names):
        manifest, embeddings = Manifest.load(inputs[f"manifest:{name}"]), Embeddings.load(inputs[f"embed:{name}"])
        check_fit(sae, embeddings, name)
        texts = find_texts(name, manifest, embeddings, config.templates.get(name, manifest.rendering), towers)
        for note in texts.notes:
            report(Event("evaluate", 100 * done, 100 * len(names), {}, f"{name}: {note}"))
        # The domain's name seeds its bootstrap, so that its interval does not depend on which other domains there are.
        rng = np.random.default_rng([config.seed, *name.encode()])
        domains[name] = evaluate_domain(
            sae,
            manifest,
            embeddings,
            texts,
            [pooled] if name in trained_on else [],
            config.bootstrap,
            rng,
            _ticking(report, done, len(names)),
        )
        report(Event("evaluate", 100 * (done + 1), 100 * len(names), domains[name].metrics(), domains[name].line(name)))
    about = {
        "sae": inputs["sae"].name,
        "split": SPLIT,
        "pooled_over": trained_on,
        "dead_fraction_over": "every image of these domains, train and held-out",
        "bootstrap": config.bootstrap,
        "seed": config.seed,
        "interval": "95 % percentile bootstrap of the paired difference, near-duplicate groups resampled together",
        "floor": "every embedding replaced by the mean of the held-out rows",
    }
    pooled_metrics = {**pooled.metrics(), "dead_fraction": dead_fraction(sae, inputs, trained_on)}
    found = _gather(domains, pooled_metrics, about)
    _write(out_dir, found)
    return found


def _ticking(report: Report, done: int, domains: int) -> Callable[[int, int], None]:
    return lambda rows, of: report(Event("evaluate", 100 * done + 99 * rows // of, 100 * domains))


def dead_fraction(sae: SAE, inputs: Inputs, names: Sequence[str]) -> float:
    """Share of latents that fire on no image of these domains, train and held-out: the number that training reports too."""
    fired = np.zeros(sae.m, dtype=bool)
    for name in names:
        embeddings = Embeddings.load(inputs[f"embed:{name}"])
        for start in range(0, embeddings.n, ROWS):
            indices, values = sae.encode_sparse(embeddings.rows(np.arange(start, min(start + ROWS, embeddings.n))))
            fired[indices[values > 0]] = True
    return float(1 - fired.mean())


def trained_domains(sae: Path, names: list[str]) -> list[str]:
    """The domains among `names` that a train artifact was made from, as its parents say; all for a dictionary from elsewhere."""
    file = sae / MANIFEST
    if not file.is_file():
        return names
    parents = json.loads(file.read_text(encoding="utf-8"))["parents"]
    return [name for name in names if f"embed:{name}" in parents]


def _gather(domains: Mapping[str, Domain], pooled: Mapping[str, float], about: Mapping[str, Any]) -> Evaluation:
    metrics = dict(pooled)
    classes, images = [], []
    for name, domain in domains.items():
        metrics.update({f"{name}.{metric}": value for metric, value in domain.metrics().items()})
        if domain.zero_shot is not None and domain.texts.classes is not None:
            table = domain.zero_shot.per_class(domain.texts.classes.names)
            table.insert(0, "domain", name)
            classes.append(table)
            z = domain.zero_shot
            columns = {"domain": name, "image": domain.images, "label": z.labels, "pred_clip": z.clip, "pred_sae": z.sae}
            images.append(pd.DataFrame(columns))
    report = {**about, "metrics": metrics, "domains": {name: domain.to_json() for name, domain in domains.items()}}
    log = "".join(domain.line(name) + "\n" for name, domain in domains.items())
    return Evaluation(_finite(report), _joined(classes, PER_CLASS), _joined(images, PER_IMAGE), log)


def _joined(parts: Sequence[pd.DataFrame], columns: Mapping[str, str]) -> pd.DataFrame:
    # An evaluation without any class still has its tables, empty and of the same types.
    empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
    return pd.concat(parts, ignore_index=True) if parts else empty


def _write(folder: Path, found: Evaluation) -> None:
    text = json.dumps(found.report, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "report.json").write_text(text, encoding="utf-8")
    found.per_class.to_parquet(folder / "per_class.parquet", index=False)
    found.per_image.to_parquet(folder / "per_image.parquet", index=False)
    (folder / "eval.log").write_text(found.log, encoding="utf-8")


def _finite(value: Any) -> Any:
    """The same with null for a number that is not defined (JSON has no NaN)."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
