"""A reading as sections of bars: the latents that fire with their nearest images, what CLIP takes it for, what changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

import sae_core as sc
from pages._ui import latents, load, theme
from pages._ui.drawing.bars import Bar, Picture, Row, Section
from pages._ui.drawing.reading import reader
from pages._ui.text import count
from pages._ui.thumbs import media_url

SHOWN, NEAREST, ALIKE, LABELS, CHANGES = 8, 5, 6, 5, 10
LEAST = 0.01
"""A label less likely than this before and after is not shown, unless all are."""


def fired(have: sc.pipeline.Run, reading: sc.Reading) -> list[Section]:
    """The strongest latents of a reading, each with the images that fire it and look most like the picture."""
    colour, known, opened = theme.colours()["sae"], latents.table(have), reader(have)
    strongest = zip(reading.latents[:SHOWN].tolist(), reading.relative[:SHOWN].tolist(), strict=True)
    rows = [
        _latent(
            known,
            latent,
            (Bar(value, f"{value:.2f} × max", colour),),
            pictures(have, opened.nearest(reading, NEAREST, latent=latent), f"draw-{at}"),
        )
        for at, (latent, value) in enumerate(sorted(strongest, key=lambda one: -one[1]))
    ]
    alike = pictures(have, opened.nearest(reading, ALIKE), "draw-alike")
    return [
        Section("What the dictionary sees", tuple(rows), how_far(have, reading), alert=reading.is_far),
        Section("Most like it of all images", (Row("", (), pictures=alike),), "By the cosine of CLIP's embeddings."),
    ]


def how_far(have: sc.pipeline.Run, reading: sc.Reading) -> str:
    """How much of the picture the dictionary explains, against how much of the images it was trained on."""
    what = f"{count(reading.l0, 'latent')} fire and explain {_percent(reading.explained)} of what sets this picture apart"
    if reading.is_far:
        better = min(99, int(100 * (1 - reading.percentile)))
        return (
            f"Far from what the dictionary was trained on, so take what it says with care: {what}; more than {better} % of the "
            "training images are explained better."
        )
    domains = " and ".join(have.config.train_domains)
    return f"{what}; {_percent(reading.percentile)} of the images of {domains} are explained no better."


def taken_for(reading: sc.Reading) -> list[Section]:
    """The likeliest labels of each domain, by CLIP and by CLIP+SAE."""
    shades = theme.colours()
    found = []
    for domain, labels in reading.labels.groupby("domain", sort=False, observed=True):
        best = _likely(labels, "probability", "probability_sae").head(LABELS)
        rows = tuple(
            Row(
                label,
                (
                    Bar(clip, f"CLIP {_percent(clip)}", shades["clip"]),
                    Bar(sae, f"CLIP+SAE {_percent(sae)}", shades["sae"]),
                ),
            )
            for label, clip, sae in _columns(best, "probability", "probability_sae")
        )
        found.append(Section(f"What CLIP takes it for, with the prompts of {domain}", rows))
    return found


def changed(
    have: sc.pipeline.Run, a: sc.Reading, b: sc.Reading, shown: Sequence[tuple[str, bytes]]
) -> tuple[Section, list[Section]]:
    """What changed from A to B: the latents and, by domain, CLIP's labels.

    Args:
        shown: what each picture is called, and its PNG.
    """
    shades = theme.colours()
    urls = tuple(Picture(media_url(png, f"draw-pair-{at}"), what) for at, (what, png) in enumerate(shown))
    changes = reader(have).changes(a, b).head(CHANGES)
    before, after = ({int(j): float(v) for j, v in zip(one.latents, one.relative, strict=True)} for one in (a, b))
    known = latents.table(have)
    rows = tuple(
        _latent(
            known,
            j,
            (
                Bar(before.get(j, 0.0), f"A {before.get(j, 0.0):.2f}", shades["control"]),
                Bar(after.get(j, 0.0), f"B {after.get(j, 0.0):.2f}", shades["sae"]),
            ),
            said=f"{'▲' if change > 0 else '▼'} {change:+.2f} × max",
        )
        for j, change in zip(changes["latent"].astype(int), changes["change"], strict=True)
    )
    note = "A (left) and B (right). The latents that changed most, in units of their maximum." if rows else "No latent changed."
    return Section("What changed from A to B", rows, note, urls), _labels_changed(a, b)


def _labels_changed(a: sc.Reading, b: sc.Reading) -> list[Section]:
    shades = theme.colours()
    both = a.labels.merge(b.labels, on=["domain", "label"], suffixes=("_a", "_b"))
    both["change"] = both["probability_b"] - both["probability_a"]
    found = []
    for domain, labels in both.groupby("domain", sort=False, observed=True):
        likely = _likely(labels, "probability_a", "probability_b")
        most = likely.sort_values("change", key=abs, ascending=False, kind="stable").head(LABELS)
        rows = tuple(
            Row(
                label,
                (
                    Bar(before, f"A {_percent(before)}", shades["control"]),
                    Bar(after, f"B {_percent(after)}", shades["clip"]),
                ),
                f"{'▲' if after > before else '▼'} {100 * (after - before):+.0f} points",
            )
            for label, before, after in _columns(most, "probability_a", "probability_b")
        )
        found.append(Section(f"What CLIP takes it for, with the prompts of {domain}", rows))
    return found


def pictures(have: sc.pipeline.Run, rows: pd.DataFrame, key: str) -> tuple[Picture, ...]:
    """Images of the data (columns domain, image, cosine) as small pictures; `key` is where they stand."""
    edges = theme.colours()
    found = []
    for at, (domain, image, cosine) in enumerate(zip(rows["domain"].astype(str), rows["image"], rows["cosine"], strict=True)):
        image = int(image)
        url = media_url(latents.picture(have, domain, image), f"{key}-{at}")
        label = f"{domain} image {image}, {latents.caption(have, domain, image)}, cosine {cosine:.2f}"
        found.append(Picture(url, label, edges.get(load.manifest(have, domain).rendering)))
    return tuple(found)


def _latent(known: pd.DataFrame, latent: int, bars: tuple[Bar, ...], shown: tuple[Picture, ...] = (), said: str = "") -> Row:
    own = known.iloc[latent]
    name = own["name"] if isinstance(own["name"], str) else None
    judged = {name.removesuffix(".verdict"): own[name] for name in map(str, known.columns) if name.endswith(".verdict")}
    verdicts = [f"{verdict} on {domain}" for domain, verdict in judged.items() if verdict in ("geometric", "semantic", "both")]
    tag = " · ".join([said] * bool(said) + verdicts)
    return Row(f"latent {latent}" + (f": {name}" if name else ""), bars, tag, shown, latent)


def _likely(labels: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """The labels worth a line, likeliest first."""
    ordered = labels.sort_values(first, ascending=False, kind="stable")
    worth = ordered[[first, second]].max(axis=1) >= LEAST
    return ordered[worth] if worth.any() else ordered.head(1)


def _columns(table: pd.DataFrame, first: str, second: str) -> Iterator[tuple[str, float, float]]:
    return zip(table["label"].astype(str), table[first].astype(float), table[second].astype(float), strict=True)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
