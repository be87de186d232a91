"""How well the dictionary reconstructs, and what its latents are like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sae_core.figures import firing_spectrum, l0_histogram, sparse_probe_lines
from sae_core.publish.report.html import (
    Markup,
    absent,
    between,
    count,
    figure,
    measured,
    number,
    paragraph,
    percent,
    points,
    section,
    table,
)
from sae_core.publish.report.material import Material

FEATURES = {"latents": "latents", "dimensions": "raw dimensions"}


def quality(material: Material) -> Markup:
    """All domains' quality, a column each."""
    title = "Reconstruction and quality"
    if material.evaluation is None:
        return section("quality", title, absent("Not measured.", "evaluate", material.refused.get("evaluate", "")))
    parts: list[str] = [_reconstruction(material.domains)]
    judged = {name: found["quality"] for name, found in material.domains.items() if found.get("quality")}
    if judged:
        colours = material.colours
        used = {name: one["l0_distribution"] for name, one in judged.items()}
        parts.append(figure(l0_histogram(used, colours), "How many latents fire on an image, held-out images."))
        fired = {name: one["spectrum"] for name, one in judged.items()}
        over = "; ".join(f"{name}: {one['over']}" for name, one in judged.items())
        parts.append(figure(firing_spectrum(fired, colours), f"How many latents fire on what share of the images ({over})."))
        parts.append(_latents(judged))
        parts.append(_kept(judged))
        probes = {name: one["sparse_probes"] for name, one in judged.items() if one.get("sparse_probes")}
        if probes:
            parts.append(figure(sparse_probe_lines(probes, colours), "How well k latents tell a class, and k raw dimensions."))
            parts.append(_sparse(probes))
    told = [f"{name}: {note}" for name, found in material.domains.items() for note in found.get("notes", [])]
    parts += [paragraph(note, "lead") for note in dict.fromkeys(told)]
    return section("quality", title, *parts)


def _reconstruction(domains: Mapping[str, Mapping[str, Any]]) -> Markup:
    rows = []
    for name, found in domains.items():
        q = found["reconstruction"]
        rows.append(
            [name, count(found["rows"]), measured(q, "l0", ".1f"), *(measured(q, k) for k in ("r2", "r2_uncentred", "cosine"))]
        )
    return table("Reconstruction of held-out images", ["domain", "n", "L0", "R² centred", "R² uncentred", "cosine"], rows)


def _latents(judged: Mapping[str, Mapping[str, Any]]) -> Markup:
    rows = []
    for name, one in judged.items():
        ms = one.get("ms") or {}
        said = "" if not ms else f"{ms['encoder']}{', circular' if ms['circular'] else ''}"
        rows.append(
            [
                name,
                said,
                *(percent(one[f"{kind}_fraction"]) for kind in ("dead", "almost_dead", "dense")),
                count(ms.get("n")),
                count(ms.get("latents")),
                measured(ms, "mean"),
                *(number(ms.get(key)) for key in ("median", "p90", "random_mean")),
            ]
        )
    head = ["domain", "MS judged by", "dead", "almost dead", "dense", "n", "latents", "MS mean", "median", "p90", "MS shuffled"]
    return table("Use of the latents, and their monosemanticity (MS)", head, rows, words=2)


def _kept(judged: Mapping[str, Mapping[str, Any]]) -> Markup:
    rows = []
    for name, one in judged.items():
        c, p = one.get("cknna") or {}, one.get("class_probe") or {}
        alignment = f"{number(c.get('value'))} (k {c['k']}, {c['batches']} × {c['batch']:,})" if c else "–"
        rows.append(
            [
                name,
                alignment,
                count(c.get("n")),
                percent(p.get("accuracy_x")),
                percent(p.get("accuracy_x_hat")),
                points(*(p.get(key) for key in ("delta", "delta_ci_low", "delta_ci_high"))),
                percent(p.get("agreement")),
                count(p.get("n")),
                count(p.get("trained")),
            ]
        )
    head = ["domain", "CKNNA (k, batches)", "n", "probe on x", "probe on x̂", "change, points", "same answer", "n", "trained on"]
    return table("What of the embedding is kept: neighbours, and a class probe trained on x", head, rows)


def _sparse(probes: Mapping[str, Any]) -> Markup:
    rows = []
    for name, lines in probes.items():
        for line in sorted(lines, key=lambda one: (int(one["k"]), str(one["features"]) != "latents")):
            auroc = between(line["auroc"], line["auroc_ci_low"], line["auroc_ci_high"], ".3f", 1)
            ends = (line.get("difference"), line.get("difference_ci_low"), line.get("difference_ci_high"))
            ahead = between(*ends, "+.3f", 1)
            rest = [
                ahead,
                number(line["balanced_accuracy"]),
                number(line["auroc_null"]),
                count(line["classes"]),
                count(line["n"]),
            ]
            rows.append([name, FEATURES[line["features"]], count(line["k"]), auroc, *rest])
    head = [
        "domain",
        "features",
        "k",
        "AUROC",
        "lead over raw",
        "balanced",
        "shuffled",
        "classes",
        "n",
    ]
    return table("Sparse probes: one class against all others, from k features", head, rows, words=2)
