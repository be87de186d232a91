"""A latent's card as one picture file: what it fires on most, its fifths, what leaves it silent, how strongly it fires."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from sae_core.browse.card import Card
from sae_core.data.manifest import Manifest
from sae_core.figures import CONTROL, domain_colours, image_grid
from sae_core.interpret.visualize import FAINT, INK, drawable, image_tile, percent

COLUMNS, CELL, MARGIN, LINE = 6, 112, 12, 20
BARS, GAP = 90, 44
"""Height of a histogram, and of what stands above and below it, in pixels."""


def card_png(card: Card, manifests: Mapping[str, Manifest]) -> bytes:
    """The card as a PNG: name and counts, strongest pictures by domain, the five bands, silent pictures, histograms."""
    colours = domain_colours({domain: manifests[domain].rendering for domain in card.top})
    parts = [_heading(card)]
    for domain, found in card.top.items():
        copies = ["" if number == 1 else f"  x{number}" for number in found["copies"]]
        captions = [f"{value:#.3g}{mark}" for value, mark in zip(found["value"], copies, strict=True)]
        parts += _section(f"Strongest on {domain}", found, captions, manifests, colours)
    for band in range(5):
        found = card.bands[card.bands["band"] == band]
        captions = [f"{value:#.3g}" for value in found["value"]]
        parts += _section(f"Fifth {band + 1} of 5 of the images it fires on", found, captions, manifests, colours)
    parts += _section("Random images that leave it silent", card.silent, [""] * len(card.silent), manifests, colours)
    if not card.dead:
        parts += [_histogram(card, domain, colours.get(domain, CONTROL)) for domain in card.histograms]
    sheet = Image.new("RGB", (max(one.width for one in parts), sum(one.height for one in parts)), "white")
    at = 0
    for one in parts:
        sheet.paste(one, (0, at))
        at += one.height
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


def _width() -> int:
    return 8 + COLUMNS * (CELL + 8)


def _text(lines: Sequence[tuple[str, str, int]]) -> Image.Image:
    """Lines of text, colour and size."""
    part = Image.new("RGB", (_width(), MARGIN // 2 + LINE * len(lines)), "white")
    pen = ImageDraw.Draw(part)
    for nth, (text, colour, size) in enumerate(lines):
        pen.text((MARGIN, MARGIN // 2 + LINE * nth), drawable(text), fill=colour, font=ImageFont.load_default(size))
    return part


def _heading(card: Card) -> Image.Image:
    title = f"Latent {card.latent}: {card.label}" if card.label else f"Latent {card.latent} (no name)"
    count = int(card.stats["count"])
    lines = [(title, INK, 16)]
    if card.label and card.name is not None:
        lines.append((f"the name's score on held-out images: {card.name['score']:.2f}", FAINT, 13))
    if card.dead:
        return _text([*lines, (f"never fires on any of {card.rows:,} images", FAINT, 13)])
    lines.append((f"fires on {count:,} of {card.rows:,} images ({percent(count / card.rows)})", FAINT, 13))
    for domain in card.top:
        here, rate = int(card.stats[f"{domain}.count"]), float(card.stats[f"{domain}.rate"])
        lines.append((f"{domain}: {here:,} ({percent(rate)} of its own), up to {card.stats[f'{domain}.max']:#.3g}", FAINT, 13))
    judged = card.verdicts.to_dict("records")
    return _text(
        lines + [(f"{one['domain']}: {one['verdict']}{_follows(one['measure'], one['rho'])}", FAINT, 13) for one in judged]
    )


def _follows(measure: object, rho: object) -> str:
    if not isinstance(measure, str) or not measure or not isinstance(rho, float) or not np.isfinite(rho):
        return ""
    return f", follows {measure.replace('_', ' ')} most (rho {rho:+.2f})"


def _section(
    title: str,
    rows: pd.DataFrame,
    captions: Sequence[str],
    manifests: Mapping[str, Manifest],
    colours: Mapping[str, str],
) -> list[Image.Image]:
    if rows.empty:
        return []
    domains = rows["domain"].astype(str).tolist()
    tiles = [image_tile(manifests[domain], image, CELL) for domain, image in zip(domains, rows["image"].tolist(), strict=True)]
    frames = [colours.get(domain, CONTROL) for domain in domains]
    return [_text([(title, INK, 14)]), image_grid(tiles, captions, frames, columns=COLUMNS, cell=CELL)]


def _histogram(card: Card, domain: str, colour: str) -> Image.Image:
    """Bars of log(1 + images) over the activation, from 0 to the latent's maximum."""
    edges, counts = card.histograms[domain]
    part = Image.new("RGB", (_width(), BARS + GAP), "white")
    pen, font = ImageDraw.Draw(part), ImageFont.load_default(12)
    highest = max(int(of.max(initial=0)) for _, of in card.histograms.values())
    pen.text((MARGIN, 4), drawable(f"Activations on {domain} (height: log of the number of images)"), fill=INK, font=font)
    left, right, floor = MARGIN, _width() - MARGIN, 24 + BARS
    step = (right - left) / len(counts)
    for nth, count in enumerate(counts.tolist()):
        if count:
            height = max(1, round(BARS * np.log1p(count) / np.log1p(highest)))
            pen.rectangle((left + nth * step, floor - height, left + (nth + 1) * step - 1, floor), fill=colour)
    pen.line((left, floor, right, floor), fill=FAINT)
    pen.text((left, floor + 3), "0", fill=FAINT, font=font)
    end = f"{edges[-1]:#.3g}"
    pen.text((right - font.getlength(end), floor + 3), end, fill=FAINT, font=font)
    return part
