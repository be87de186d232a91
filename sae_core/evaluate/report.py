"""A domain's results as plain values: its part of `report.json`, its flat metrics, its line of eval.log, its tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sae_core.evaluate.domains import Domain
from sae_core.evaluate.evaluation import TABLES, Evaluation
from sae_core.evaluate.recall import KS
from sae_core.evaluate.rows import SPLIT
from sae_core.evaluate.texts import Texts

MOST_CONFUSED = 200
"""Classes up to which confusion matrices are written."""
DEFINITIONS = {
    "floor": "every embedding replaced by the mean of the held-out rows",
    "interval": "95 % percentile bootstrap of the paired difference, near-duplicate groups resampled together",
    "mcnemar_p": "exact two-sided McNemar test of the images on which exactly one of the two is right",
    "pca": "*_pca: rebuilt from as many principal components as the dictionary has latents an image (L0, rounded)",
    "random": "*_random: rebuilt by TopK with k = L0, rounded, over as many random directions as the dictionary has latents; "
    "only its encoder is trained",
    "fitted_on": "controls are fitted on the training rows of the domains that the dictionary was trained on",
    "sae_ahead": "accuracy of CLIP+SAE less that of the control, on the same images",
    "ms": "mean monosemanticity over the latents that fire on two held-out images",
    "cknna": "alignment of the neighbours of x and of its reconstruction",
    "flips": "w·x̂ = w·b + Σ z_j w·D_j and w·x = w·x̂ + w·e, w the difference of the two classes' unit text directions",
}
"""What the names in the report mean."""


def assemble(
    domains: Mapping[str, Domain],
    trained_on: Sequence[str],
    pooled: Mapping[str, float],
    shared: Sequence[str] | None,
    about: Mapping[str, Any],
) -> Evaluation:
    """Put the domains' results together.

    Args:
        domains: results by domain.
        trained_on: the domains that the dictionary was trained on.
        pooled: metrics over the held-out rows of these.
        shared: what prompts call the classes that all domains share, where they differ in others.
        about: further facts for the top of the report.
    """
    metrics = dict(pooled)
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for name, domain in domains.items():
        metrics.update({f"{name}.{metric}": value for metric, value in flat(domain).items()})
        for table, frame in _tables(domain).items():
            frame.insert(0, "domain", name)
            parts[table].append(frame)
    common = None
    if shared is not None:
        among = {name: domain.shared.metrics() for name, domain in domains.items() if domain.shared is not None}
        common = {"classes": list(shared), "domains": among}
    report = {
        **about,
        **DEFINITIONS,
        "metrics": metrics,
        "common": common,
        "domains": {name: {"trained_on": name in trained_on, **_to_json(domain)} for name, domain in domains.items()},
    }
    log = "".join(line(domain, name) + "\n" for name, domain in domains.items())
    return Evaluation(_finite(report), {name: _joined(parts[name], columns) for name, columns in TABLES.items()}, log)


def flat(domain: Domain) -> dict[str, float]:
    """The domain's flat metrics, without its name in front. `n` counts images with a class, else with a caption, else all."""
    found = {"n": float(domain.rows), "r2": domain.reconstruction["r2"], "l0": domain.reconstruction["l0"]}
    if domain.recall is not None and domain.floor.recall is not None:
        found |= {**domain.recall.metrics(), "recall_n": float(domain.recall.n)}
        found |= {f"recall_{k}_floor": domain.floor.recall.metrics()[f"recall_{k}_sae"] for k in KS}
    if domain.zero_shot is not None and domain.floor.zero_shot is not None:
        found |= {**domain.zero_shot.metrics(), "accuracy_floor": domain.floor.zero_shot.accuracy_sae}
    for control in domain.controls:
        found |= control.metrics()
    report = domain.quality.report
    if report["ms"] is not None:
        found["ms"] = report["ms"]["mean"]
    if report["cknna"] is not None:
        found["cknna"] = report["cknna"]["value"]
    return found


def line(domain: Domain, name: str) -> str:
    """The domain's line of eval.log, in the seed project's form."""
    parts = [name]
    if domain.zero_shot is not None:
        z = domain.zero_shot
        parts += [f"zero-shot CLIP: {z.accuracy_clip:.4f}", f"CLIP+SAE: {z.accuracy_sae:.4f}", f"delta: {z.delta:+.4f}"]
    elif domain.recall is not None:
        m = domain.recall.metrics()
        for title, kind, form in (("CLIP", "clip", ".4f"), ("CLIP+SAE", "sae", ".4f"), ("delta", "delta", "+.4f")):
            values = "/".join(format(m[f"recall_{k}_{kind}"], form) for k in KS)
            parts.append(f"recall@{'/'.join(map(str, KS))} {title}: {values}" if kind == "clip" else f"{title}: {values}")
    return " | ".join([*parts, f"L0: {domain.reconstruction['l0']:.2f}", f"R2: {domain.reconstruction['r2']:.4f}"])


def _to_json(domain: Domain) -> dict[str, Any]:
    out: dict[str, Any] = {
        "rows": domain.rows,
        "split": SPLIT,
        "encoder": domain.encoder,
        "reconstruction": domain.reconstruction,
        "controls": [control.to_json() for control in domain.controls],
        "quality": domain.quality.report,
        "notes": [*domain.texts.notes, *domain.quality.notes],
    }
    if domain.zero_shot is not None:
        out["zero_shot"] = _zero_shot(domain, domain.texts)
    if domain.recall is not None and domain.floor.recall is not None:
        floor = domain.floor.recall.metrics()
        out["recall"] = {
            **domain.recall.metrics(),
            **{f"recall_{k}_floor": floor[f"recall_{k}_sae"] for k in KS},
            **{f"recall_{k}_mcnemar_p": flips.p for k, flips in zip(KS, domain.recall.flips, strict=True)},
            "captions": domain.recall.captions,
        }
    return out


def _zero_shot(domain: Domain, texts: Texts) -> dict[str, Any]:
    z, classes, floor = domain.zero_shot, texts.classes, domain.floor.zero_shot
    assert z is not None
    assert classes is not None
    assert floor is not None
    out: dict[str, Any] = {
        **z.metrics(),
        "retained": z.accuracy_sae / z.accuracy_clip if z.accuracy_clip else None,
        "accuracy_floor": floor.accuracy_sae,
        "lost": z.flips.lost,
        "gained": z.flips.gained,
        "classes": classes.names,
        "class_names": classes.words,
        "templates": list(classes.templates),
    }
    if len(classes.names) <= MOST_CONFUSED:
        before, after = z.confusion(len(classes.names))
        out |= {"confusion_clip": before.tolist(), "confusion_sae": after.tolist()}
    return out


def _tables(domain: Domain) -> dict[str, pd.DataFrame]:
    found = {"latents": domain.quality.latents}
    if domain.zero_shot is not None and domain.per_class is not None and domain.flips is not None:
        z = domain.zero_shot
        images = {"image": domain.images, "label": z.labels, "pred_clip": z.clip, "pred_sae": z.sae}
        found |= {"per_class": domain.per_class, "per_image": pd.DataFrame(images), "flips": domain.flips}
    return {name: frame.copy() for name, frame in found.items()}


def _joined(parts: Sequence[pd.DataFrame], columns: Mapping[str, str]) -> pd.DataFrame:
    # An evaluation without any class still has its tables, empty and of the same types.
    filled = [part for part in parts if len(part)]
    empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
    return pd.concat(filled, ignore_index=True) if filled else empty


def _finite(value: Any) -> Any:
    """The same with null for a number that is not defined (JSON has no NaN)."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
