"""Stage `visualize`: a PNG for each latent with the pictures it fires on most, to be looked at and put in a paper."""

from __future__ import annotations

import io
import json
import textwrap
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sae_core.activations.index import Activations
from sae_core.config import Latents, Runtime, VisualizeConfig
from sae_core.data.manifest import Manifest
from sae_core.errors import InputError
from sae_core.figures import CONTROL, domain_colours, image_grid
from sae_core.interpret.records import Names
from sae_core.progress import Event, Report
from sae_core.store import Inputs

VERSION = 1
INK, FAINT = "#111827", "#4b5563"
MARGIN, LINE = 8, 19
LIKENESS = str.maketrans({"×": "x", "–": "-", "—": "-", "ß": "ss", "\n": " ", "\t": " "})


class Grids:
    """What `visualize` wrote: `latent_XXXX.png` files and `index.json`, which says what each shows."""

    def __init__(self, folder: Path, index: Mapping[str, Any]) -> None:
        self.folder = folder
        self.index = index

    @classmethod
    def load(cls, folder: str | Path) -> Grids:
        """Read a visualize artifact. Raises InputError when there is none."""
        folder = Path(folder)
        try:
            index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"no grids in {folder}; make them with the visualize command") from None
        return cls(folder, index)

    @property
    def latents(self) -> list[int]:
        """The latents drawn, in the order asked for."""
        return [int(one["latent"]) for one in self.index["latents"]]

    def path(self, j: int) -> Path:
        """The PNG of latent j. Raises InputError when it was not drawn."""
        if j not in self.latents:
            raise InputError(f"latent {j} has no grid; draw it with visualize --latents {j}")
        return self.folder / file_name(j)

    def metrics(self) -> dict[str, float]:
        """How many grids, and how many of them are of latents that never fire."""
        return {"grids": float(len(self.latents)), "grids_of_dead": float(sum(not one["count"] for one in self.index["latents"]))}


def file_name(j: int) -> str:
    """`latent_0012.png` for latent 12."""
    return f"latent_{j:04d}.png"


def choose(latents: Latents, activations: Activations) -> NDArray[np.int64]:
    """The latents a config names: `ids` as given (once each), the `strongest` n, or all that fire.

    Raises: InputError for an id that the dictionary does not have.
    """
    if latents.ids is not None:
        for j in latents.ids:
            if j >= activations.m:
                raise InputError(f"no latent {j}; this dictionary has latents 0 to {activations.m - 1}")
        return np.array(list(dict.fromkeys(latents.ids)), dtype=np.int64)
    return activations.alive() if latents.strongest is None else activations.strongest(latents.strongest)


def run(config: VisualizeConfig, inputs: Inputs, out_dir: Path, report: Report, runtime: Runtime) -> Grids:
    """Draw the grids.

    Inputs: `activations`, `names`, and `manifest:<domain>` of every domain.
    Raises: InputError for a latent that does not exist. One that never fires gets a grid that says so.
    """
    activations = Activations.load(inputs["activations"])
    names = Names.load(inputs["names"])
    manifests = {domain: Manifest.load(path) for domain, path in inputs.domains("manifest").items()}
    chosen = choose(config.latents, activations)
    for old in out_dir.glob("latent_*.png"):
        old.unlink()
    records = []
    for done, j in enumerate(chosen.tolist(), 1):
        top = activations.top(j, config.images)
        label = names.label(j)
        latent_grid(activations, manifests, j, label, top, config.columns, config.cell).save(out_dir / file_name(j))
        records.append(describe(activations, j, label, top))
        report(Event("visualize", done, len(chosen)))
    index = {"images": config.images, "columns": config.columns, "cell": config.cell, "latents": records}
    (out_dir / "index.json").write_text(json.dumps(index, indent=2, ensure_ascii=False), encoding="utf-8")
    return Grids(out_dir, index)


def describe(activations: Activations, j: int, label: str | None, top: pd.DataFrame) -> dict[str, Any]:
    """What a grid shows, as plain JSON values: counts, rates, the pictures with their activations."""
    stats = activations.stats.iloc[j]
    return {
        "latent": j,
        "file": file_name(j),
        "label": label,
        "count": int(stats["count"]),
        "rate": float(stats["rate"]),
        "max": float(stats["max"]),
        "domains": {d: {"count": int(stats[f"{d}.count"]), "rate": float(stats[f"{d}.rate"])} for d in activations.domains},
        "shown": top[["row", "domain", "image", "value", "copies"]].astype({"domain": "str"}).to_dict("records"),
    }


def latent_grid(
    activations: Activations,
    manifests: Mapping[str, Manifest],
    j: int,
    label: str | None,
    top: pd.DataFrame,
    columns: int,
    cell: int,
) -> Image.Image:
    """One latent's sheet: a heading, then the pictures with their activation, framed in their domain's colour.

    Args:
        activations: for the counts in the heading.
        manifests: of every domain, for the pictures.
        j: latent id.
        label: its name, or None.
        top: what `Activations.top` returned.
        columns: pictures a row.
        cell: side of a picture in pixels.
    """
    colours = domain_colours({domain: manifests[domain].rendering for domain in activations.domains})
    domains = [str(domain) for domain in top["domain"]]
    tiles = [image_tile(manifests[domain], image, cell) for domain, image in zip(domains, top["image"].tolist(), strict=True)]
    copies = ["" if number == 1 else f"  x{number}" for number in top["copies"]]
    captions = [f"{value:#.3g}{mark}" for value, mark in zip(top["value"], copies, strict=True)]
    pictures = image_grid(tiles, captions, [colours[domain] for domain in domains], columns=columns, cell=cell)
    width = max(pictures.width, 320)
    lines = _heading(activations, j, label, colours, width - 2 * MARGIN)
    height = MARGIN + LINE * len(lines)
    sheet = Image.new("RGB", (width, height + (pictures.height if len(top) else MARGIN)), "white")
    pen = ImageDraw.Draw(sheet)
    for nth, (text, colour, size, square) in enumerate(lines):
        left, upper = MARGIN, MARGIN // 2 + LINE * nth
        if square is not None:
            pen.rectangle((left, upper + 4, left + 9, upper + 13), fill=square)
            left += 15
        pen.text((left, upper), text, fill=colour, font=ImageFont.load_default(size))
    if len(top):
        sheet.paste(pictures, (0, height))
    return sheet


Heading = tuple[str, str, int, "str | None"]


def _heading(activations: Activations, j: int, label: str | None, colours: Mapping[str, str], width: int) -> list[Heading]:
    """Lines of text with colour, size and, for a domain, the colour of its square."""
    stats = activations.stats.iloc[j]
    count, whole = int(stats["count"]), activations.n
    title = f"Latent {j}: {label}" if label else f"Latent {j} (no name)"
    lines: list[Heading] = [(part, INK, 15, None) for part in _wrapped(title, 15, width)[:2]]
    if not count:
        return [*lines, (f"never fires on any of {whole:,} {_noun(activations)}", FAINT, 13, None)]
    fires = f"fires on {count:,} of {whole:,} {_noun(activations)} ({percent(count / whole)})"
    lines += [(part, FAINT, 13, None) for part in _wrapped(fires, 13, width)]
    for domain in activations.domains if len(activations.domains) > 1 else ():
        here, rate = int(stats[f"{domain}.count"]), float(stats[f"{domain}.rate"])
        text = f"{domain}: {here:,} ({percent(rate)} of its own), {percent(here / count)} of all firings"
        lines += [(part, FAINT, 13, colours.get(domain, CONTROL)) for part in _wrapped(text, 13, width - 15)[:1]]
    return lines


def _noun(activations: Activations) -> str:
    # A row is an image only while each image has one site.
    return "embeddings" if activations.images.duplicated(["domain", "image"]).any() else "images"


def percent(share: float) -> str:
    """A share with two significant digits below 10 %, such as `12 %`, `3.4 %`, `0.025 %`."""
    if share <= 0:
        return "0 %"
    hundred = 100 * share
    digits = 0 if hundred >= 9.95 else 1 - int(np.floor(np.log10(hundred)))
    return f"{hundred:.{digits}f} %"


def image_tile(manifest: Manifest, image: int, cell: int) -> Image.Image:
    """The thumbnail of an image, or a tile with its caption or file name where it has no picture."""
    if manifest.has_image(image):
        picture = Image.open(io.BytesIO(manifest.thumbnail(image)))
        picture.load()
        return picture
    row = manifest.table.iloc[image]
    caption = row["caption"]
    return text_tile(caption if isinstance(caption, str) and caption.strip() else str(row["file"]), cell)


def text_tile(text: str, cell: int) -> Image.Image:
    """Text on a pale square, wrapped and cut to fit."""
    paper = Image.new("RGB", (cell, cell), "#f3f4f6")
    lines = _wrapped(text, 12, cell - 16)
    room = max(1, (cell - 12) // 15)
    if len(lines) > room:
        lines = [*lines[: room - 1], lines[room - 1] + "…"]
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(12)
    for nth, line in enumerate(lines):
        pen.text((8, 6 + 15 * nth), line, fill=INK, font=font)
    return paper


def drawable(text: str) -> str:
    """Text in the letters Pillow's built-in font has: accents are dropped, what has no likeness becomes `?`.

    >>> drawable("façade × 2, 平行")
    'facade x 2, ??'
    """
    plain = unicodedata.normalize("NFKD", text.translate(LIKENESS))
    return "".join(c if c in "“”‘’…" or " " <= c <= "~" else "?" for c in plain if not unicodedata.combining(c))


def _wrapped(text: str, size: int, width: int) -> list[str]:
    """Text in lines of at most `width` pixels, words kept whole where they fit."""
    font = ImageFont.load_default(size)
    text = " ".join(drawable(text).split())
    letters = max(4, int(width / max(font.getlength(text) / max(len(text), 1), 1)))
    while letters > 4:
        lines = textwrap.wrap(text, letters)
        if all(font.getlength(line) <= width for line in lines):
            return lines
        letters -= 1
    return textwrap.wrap(text, letters)
