"""Writing a site: the page, its scripts and style, the data they read, the pictures, the report."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from sae_core import figures
from sae_core.browse.names import STATUS_WORDS, method_of, score_words
from sae_core.browse.table import domain_sizes
from sae_core.figures import VERDICTS, domain_colours
from sae_core.interpret.records import Names
from sae_core.progress import Event, Report, silent
from sae_core.publish.card import BUNDLED_NOTE, Run, embeds
from sae_core.publish.licences import NOTHING, Licences
from sae_core.publish.report.html import esc
from sae_core.publish.report.sections import contents
from sae_core.publish.site.cards import SHARD, Cards, columns, shifts
from sae_core.publish.site.folder import Folder, replacing
from sae_core.publish.site.material import Shown, readable
from sae_core.publish.site.pictures import Pictures, montage_name
from sae_core.publish.site.readme import readme
from sae_core.publish.site.reported import report_sections

STAGE = "site"
DOWNLOADS = {
    "evaluate": {
        "report.json": "the evaluation, every number",
        "per_class.parquet": "accuracy of every class before and after",
        "eval.log": "the evaluation in a line a domain",
    },
    "interpret": {
        "sae_latents.csv": "the names of the latents with their scores, for a spreadsheet",
        "names.json": "the same with everything the scores were made from",
    },
}
"""Files of the run that a site hands on, by the stage that wrote them, and what each holds."""


@dataclass(frozen=True)
class Site:
    """What was written.

    Attributes:
        out: the folder; `index.html` in it is the site.
        files: how many files.
        bytes: their size together.
        pages: how many latents have a page.
        withheld: domains whose pictures were left out.
    """

    out: Path
    files: int
    bytes: int
    pages: int
    withheld: tuple[str, ...] = ()


def write_site(
    run: Run,
    out: str | Path,
    report: Report = silent,
    *,
    force: bool = False,
    images: bool = False,
    licences: Licences = NOTHING,
) -> Site:
    """Write the latent browser of a run as static files: they work from `file://`, below any path, and as a static Space.

    The same run gives the same bytes. The site takes the place of an earlier one in `out`; until it is whole, the earlier stands.

    Args:
        run: a `pipeline.Run` with a dictionary and activations; names, verdicts, maps, evaluation as far as it has them.
        out: the folder.
        report: hears of the cards and pictures.
        force: write among the files of a folder that holds something else.
        images: pictures of data sets other than the drawn world may be published; without it they, their file names and their
            captions are left out, and the page says so.
        licences: what the publisher states of the dictionary and the images; the report repeats it.

    Raises:
        InputError: the run has no dictionary or activations yet, or the folder cannot be written or holds something else.
        DamagedArtifact: an artifact cannot be read.
        Cancelled: from `report`; nothing is left behind.
    """
    out = Path(out)
    shown = Shown.of(run, images)
    with replacing(out, run.id, force) as folder:
        pictures = Pictures(shown)
        cards = Cards(shown, pictures, lambda done, of: report(Event(STAGE, done, of, {}, "cards")))
        montages = _pictures(shown, pictures, folder, report)
        _data(shown, pictures, cards, montages, folder)
        downloads = _downloads(shown)
        for name, data in downloads.items():
            folder.write(name, data)
        _page(shown, licences, downloads, folder)
        folder.write("README.md", readme(shown, shown.acts.m, licences).encode())
    sizes = [int(one["size"]) for one in folder.files.values()]
    return Site(out, len(sizes), sum(sizes), shown.acts.m, tuple(shown.withheld()))


def _pictures(shown: Shown, pictures: Pictures, folder: Folder, report: Report) -> set[int]:
    """Write every picture; the latents that have one in the gallery."""
    sheets, latents = list(pictures.sheets()), shown.acts.alive().tolist()
    total = len(sheets) + len(latents)
    for done, (name, make) in enumerate(sheets, 1):
        folder.write(name, make())
        report(Event(STAGE, done, total, {}, "pictures"))
    found = set()
    for done, latent in enumerate(latents, len(sheets) + 1):
        montage = pictures.montage(latent)
        if montage is not None:
            folder.write(montage_name(latent), montage)
            found.add(latent)
        report(Event(STAGE, done, total, {}, "pictures"))
    return found


def _data(shown: Shown, pictures: Pictures, cards: Cards, montages: set[int], folder: Folder) -> None:
    _script(folder, "about", about(shown))
    _script(folder, "latents", {"columns": columns(shown, montages), "shifts": shifts(shown)})
    _script(folder, "pictures", pictures.index())
    for number, shard in cards.shards():
        _script(folder, f"cards-{number:03d}", {str(latent): card for latent, card in shard.items()})


def _script(folder: Folder, name: str, value: Any) -> None:
    """A data file as a script, since a page from `file://` may not fetch one; `<` is escaped for whoever pastes it elsewhere."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    text = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    folder.write(f"data/{name}.js", f"lab.receive({json.dumps(name)},{text});\n".encode())


def about(shown: Shown) -> dict[str, Any]:
    """What the scripts know of the run beside its latents."""
    config, acts = shown.run.config, shown.acts
    sizes = domain_sizes(acts)
    light = domain_colours({name: manifest.rendering for name, manifest in shown.manifests.items()})
    dark = {figures.COLOURS[name]: colour for name, colour in figures.ON_DARK.items()}
    names, judged = shown.names, shown.geometry
    return {
        "run": shown.run.id,
        "name": config.name,
        "latents": acts.m,
        "images": acts.n,
        "alive": len(acts.alive()),
        "shard": SHARD,
        "domains": [
            {
                "name": name,
                "images": sizes[name],
                "classes": shown.classes[name],
                "light": light[name],
                "dark": dark.get(light[name], light[name]),
                "shown": shown.shows(name),
                "withheld": name in shown.withheld(),
            }
            for name in acts.domains
        ],
        "statuses": {status: list(words) for status, words in STATUS_WORDS.items()},
        "verdicts": {verdict: colour for verdict, (colour, _) in VERDICTS.items()},
        "score": None if names is None else list(score_words(names.about)),
        "method": None if names is None else method_of(names.about),
        "circularity": "" if names is None else str(names.about.get("circularity", "")),
        "least_effect": None if judged is None else float(judged.report["least_effect"]),
        "directions": None if shown.directions is None else _told(shown.directions.about),
        "bundled": config.clip.model == "bundled" and embeds(config),
    }


def _told(about: Mapping[str, Any]) -> dict[str, Any]:
    return {name: about[name] for name in ("method", "latents", "trustworthiness")}


def _page(shown: Shown, licences: Licences, downloads: Mapping[str, bytes], folder: Folder) -> None:
    assets = resources.files(__package__) / "assets"
    for asset in sorted(assets.iterdir(), key=lambda one: one.name):
        if asset.name.endswith((".js", ".css")):
            folder.write(f"site/{asset.name}", asset.read_bytes())
    config, sections = shown.run.config, report_sections(shown, licences)
    filled = {
        "TITLE": esc(f"{config.name}: latent browser"),
        "NAME": esc(config.name),
        "RUN": esc(shown.run.id),
        "NOTE": esc(BUNDLED_NOTE.replace("**", "")) if config.clip.model == "bundled" and embeds(config) else "",
        "CONTENTS": contents(sections, "Contents of the report"),
        "DOWNLOADS": "".join(_download(name, len(data)) for name, data in downloads.items()),
        "REPORT": "\n".join(sections),
    }
    page = (assets / "index.html").read_text(encoding="utf-8")
    # One pass: what a value holds is never taken for another place.
    parts = page.split("@@")
    parts[1::2] = [filled[name] for name in parts[1::2]]
    folder.write("index.html", "".join(parts).encode())


def _downloads(shown: Shown) -> dict[str, bytes]:
    """Files of the run by name; where pictures are withheld, names without the files they were judged on."""
    found: dict[str, bytes] = {}
    for node, files in DOWNLOADS.items():
        if node in shown.run.paths:
            paths = (shown.run.paths[node] / name for name in files)
            found |= {path.name: readable(path.name, path.read_bytes) for path in paths if path.is_file()}
    if shown.names is not None and shown.withheld():
        begin = tuple(f"{name}/" for name in shown.withheld())
        kept = [[file for file in one if not str(file).startswith(begin)] for one in shown.names.table["top_images"]]
        with tempfile.TemporaryDirectory() as place:
            Names(shown.names.table.assign(top_images=pd.Series(kept, dtype=object)), shown.names.about).save(Path(place))
            found |= {name: (Path(place) / name).read_bytes() for name in DOWNLOADS["interpret"]}
    return found


def _download(name: str, size: int) -> str:
    said = next(files[name] for files in DOWNLOADS.values() if name in files)
    told = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3)):,} kB"
    return f'<li><a href="{esc(name)}" download>{esc(name)}</a> ({told}): {esc(said)}</li>'
