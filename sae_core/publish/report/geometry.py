"""Whether latents follow strokes or things, and on which domain they fire."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pandas as pd

from sae_core.evaluate.geometry.claim import geometry_claims
from sae_core.evaluate.shift import domain_shift, shift_counts
from sae_core.figures import geometry_map, shift_map, verdict_shares
from sae_core.publish.report.html import (
    Markup,
    absent,
    between,
    count,
    figure,
    number,
    paragraph,
    percent,
    section,
    table,
)
from sae_core.publish.report.material import Material

DRAWN = 1500
"""Latents in one map; the file would grow by a megabyte for every 5,000."""
STRONGEST = 15
SHOWN = 10
VERDICTS = ("geometric", "semantic", "both", "neither")


def geometry(material: Material) -> Markup:
    """The headline table, what it supports, and the map of the latents."""
    title, judged = "Geometry or semantics?", material.geometry
    if judged is None:
        return section("geometry", title, absent("No verdicts yet.", "geometry", material.refused.get("geometry", "")))
    report = judged.report
    parts: list[str] = [
        figure(verdict_shares(report["domains"]), "Share of the latents tested by what they follow, with 95 % intervals."),
        _shares(report["domains"]),
    ]
    for name, domain in report["domains"].items():
        parts.append(paragraph(f"{name}: " + " ".join(geometry_claims(domain))))
    how = (
        f"Strokes alone tell the class (held out) of {_said(report['domains'])}. False-discovery rate {report['alpha']:g}, "
        f"smallest effect {report['least_effect']:g}, {report['draws']:,} permutations, seed {report['seed']}. "
        f"Images: {report['rows']}. Intervals: {report['interval']}."
    )
    parts.append(paragraph(how, "lead"))
    for name, frame in judged.latents.groupby("domain", sort=False):
        parts.append(_map(str(name), _named(frame, material), float(report["least_effect"])))
        parts.append(_strongest(str(name), _named(frame, material)))
    parts += [paragraph(f"{name} is left out: {note}", "lead") for name, note in report.get("notes", {}).items()]
    return section("geometry", title, *parts)


def _said(domains: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{percent(one['class_from_strokes'])} of the images of {name} (n = {count(one['n'])}, {count(one['classes'])} classes; "
        f"the commonest class alone {percent(one['class_from_nothing'])})"
        for name, one in domains.items()
    )


def _shares(domains: Mapping[str, Any]) -> Markup:
    rows = []
    for name, domain in domains.items():
        for judged, shares in domain["dictionaries"].items():
            cells = [between(shares[v]["share"], shares[v]["low"], shares[v]["high"]) for v in VERDICTS]
            rows.append([name, judged, count(domain["n"]), count(shares["tested"]), *cells])
    head = ["domain", "judged", "n", "latents tested", *(f"{verdict}, %" for verdict in VERDICTS)]
    return table("Share of the latents tested, with 95 % intervals over latents", head, rows, words=2)


def _named(frame: pd.DataFrame, material: Material) -> pd.DataFrame:
    if material.names is None:
        return frame
    names = [material.names.label(int(latent)) for latent in frame["latent"]]
    return frame.assign(name=pd.Series(names, index=frame.index, dtype=object))


def _map(name: str, frame: pd.DataFrame, least: float) -> Markup:
    tested = frame[frame["verdict"].isin(VERDICTS)]
    drawn = tested.assign(effect=tested[["geometric_effect", "semantic_effect"]].max(axis=1))
    drawn = drawn.sort_values("effect", ascending=False, kind="stable").head(DRAWN)
    some = (
        f"the {len(drawn):,} of the greatest effect of {len(tested):,}"
        if len(drawn) < len(tested)
        else f"all {len(tested):,} tested"
    )
    return figure(geometry_map(drawn, least, f"{name}: what latents follow"), f"Latents judged on {name}, {some}.")


def _strongest(name: str, frame: pd.DataFrame) -> Markup:
    top = frame[frame["verdict"].isin(("geometric", "both"))]
    top = top.sort_values("geometric_effect", ascending=False, kind="stable").head(STRONGEST)
    if top.empty:
        return paragraph(f"{name}: no latent follows a stroke measure within classes.")
    rows = []
    for line in top.to_dict("records"):
        numbers = [number(line[key], "+.2f" if key == "rho" else ".2f") for key in ("rho", "geometric_effect", "semantic_effect")]
        q = number(line["geometric_q"], ".2g")
        label = line.get("name") if isinstance(line.get("name"), str) else ""
        rows.append(
            [f"{int(line['latent'])} {label}".strip(), line["measure"], line["verdict"], count(line["count"]), *numbers, q]
        )
    head = ["latent", "follows", "verdict", "n fires", "rho", "geometric effect", "semantic effect", "q"]
    return table(f"{name}: the latents that follow strokes most", head, rows, words=3)


def domain_shifts(material: Material) -> Markup:
    """On which domain each latent fires, for every pair of domains."""
    acts = material.activations
    if acts is None:
        return section("shift", "Domain shift", absent("Not collected.", "collect", material.refused.get("collect", "")))
    if len(acts.domains) < 2:
        return Markup("")
    images = acts.images["domain"].value_counts()
    n = {domain: int(images[domain]) for domain in acts.domains}
    parts: list[str] = []
    for a, b in combinations(acts.domains, 2):
        frame = domain_shift(acts.stats, n, a, b)
        sizes = shift_counts(frame, a, b)
        rows = [[tab, count(size), percent(size / len(frame))] for tab, size in sizes.items()]
        said = f"Latents by where they fire: {a} (n = {n[a]:,}), {b} (n = {n[b]:,})"
        parts.append(table(said, ["latents", "count", "share"], rows))
        parts.append(_shift(frame, a, b, n, material))
        parts += [_owned(frame[frame["tab"] == tab], tab, a, b, material) for tab in list(sizes)[1:3]]
    return section("shift", "Domain shift", *parts)


def _shift(frame: pd.DataFrame, a: str, b: str, n: Mapping[str, int], material: Material) -> Markup:
    alive = frame[frame["tab"] != "dead"]
    # Those of one domain alone first: they are what the map is for.
    order = alive.assign(own=alive["tab"] != "shared", size=alive[["rate_a", "rate_b"]].max(axis=1))
    drawn = order.sort_values(["own", "size"], ascending=False, kind="stable").head(DRAWN)
    some = (
        f"{len(drawn):,} of {len(alive):,} latents that fire, those of one domain alone first" if len(drawn) < len(alive) else ""
    )
    floors = {domain: 0.5 / n[domain] for domain in (a, b)}
    caption = f"Share of images each latent fires on, {a} against {b}; {some or f'all {len(alive):,} latents that fire'}."
    return figure(shift_map(_named(drawn, material), a, b, material.colours, floors), caption)


def _owned(frame: pd.DataFrame, tab: str, a: str, b: str, material: Material) -> Markup:
    if frame.empty:
        return paragraph(f"{tab}: no latent.")
    size = frame[["rate_a", "rate_b"]].max(axis=1)
    top = _named(frame.assign(size=size).sort_values("size", ascending=False, kind="stable").head(SHOWN), material)
    rows = []
    for line in top.to_dict("records"):
        label = line.get("name") if isinstance(line.get("name"), str) else ""
        ratio = between(line["log2_ratio"], line["low"], line["high"], "+.1f", 1)
        rates = [percent(line["rate_a"], 2), percent(line["rate_b"], 2)]
        rows.append(
            [
                f"{int(line['latent'])} {label}".strip(),
                *rates,
                ratio,
            ]
        )
    head = ["latent", f"fires on {a}", f"fires on {b}", f"log2 of {a} to {b}"]
    return table(f"{tab}: the {len(rows)} of {len(frame):,} that fire most", head, rows)
