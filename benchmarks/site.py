"""The static site of the demo run: how large it is, how soon it is there: `python -m benchmarks.site`.

The demo is made by the pipeline and stays in its cache. Every visit is a new browser with nothing in its cache, offline, that
opens the folder from the disk. Times are the browser's own clock: from the navigation until the gallery stands and its pictures
in sight are painted, and from the click on one until its card stands.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import sae_core as sc
from benchmarks import tables
from benchmarks.chromium import chromium
from benchmarks.workers import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

VISITS = 7
LARGEST, LONGEST = 15.0, 1000.0
"""MB and ms that the issue allows."""
FIRST = """() => new Promise((resolve) => {
  const look = () => {
    const seen = [...document.querySelectorAll('.tile img')].filter((one) => one.getBoundingClientRect().top < innerHeight);
    if (seen.length && seen.every((one) => one.complete && one.naturalWidth)) resolve(performance.now());
    else requestAnimationFrame(look);
  };
  look();
})"""
CARD = """() => new Promise((resolve) => {
  const start = performance.now();
  document.querySelector('.tile').click();
  const look = () => {
    if (document.querySelector('.picture svg') && document.querySelector('.minis')) resolve(performance.now() - start);
    else requestAnimationFrame(look);
  };
  look();
})"""


def visit(browser: Browser, page: Path, address: str, measure: str) -> float:
    """Milliseconds of one visit, by a browser of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)
    context.set_offline(True)
    opened = context.new_page()
    opened.goto(f"{page.as_uri()}{address}", wait_until="commit")
    opened.wait_for_selector(".tile")
    took = float(opened.evaluate(measure))
    context.close()
    return took


def weigh(folder: Path) -> list[tuple[str, int, int]]:
    """Files and bytes of each part, the largest first."""
    parts: dict[str, list[int]] = {}
    for file in folder.rglob("*"):
        if file.is_file():
            inside = file.relative_to(folder)
            parts.setdefault(f"{inside.parts[0]}/" if len(inside.parts) > 1 else "the rest", []).append(file.stat().st_size)
    return sorted(((name, len(sizes), sum(sizes)) for name, sizes in parts.items()), key=lambda one: -one[2])


def main() -> int:
    """Write the site, measure it, write the table."""
    parser = argparse.ArgumentParser(description="Size and load time of the demo's static site.")
    parser.add_argument("--cache", type=Path, default=ROOT / "cache" / "benchmarks")
    parser.add_argument("--visits", type=int, default=VISITS)
    parser.add_argument("--readme", type=Path, default=tables.README)
    args = parser.parse_args()
    run = sc.run(ROOT / "configs" / "demo.yaml", cache=args.cache)
    sc.run(ROOT / "configs" / "demo.yaml", cache=args.cache, stage="directions")
    have = sc.pipeline.find_run(sc.Store(args.cache), run.id).open(sc.Store(args.cache))
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        started = time.perf_counter()
        site = sc.write_site(have, Path(place) / "site")
        seconds, parts = time.perf_counter() - started, weigh(site.out)
        page = site.out / "index.html"
        gallery = [visit(browser, page, "", FIRST) for _ in range(args.visits)]
        cards = [visit(browser, page, "", CARD) for _ in range(args.visits)]
        engine = browser.version
    rows = [
        ["whole site, MB", f"{LARGEST:g}", f"{site.bytes / 1e6:.2f}", ""],
        *([f"{name} ({files:,} files), MB", "", f"{size / 1e6:.2f}", ""] for name, files, size in parts),
        ["opened to the gallery painted, ms", f"{LONGEST:g}", f"{statistics.median(gallery):.0f}", f"{max(gallery):.0f}"],
        ["click to a latent's card, ms", f"{LONGEST:g}", f"{statistics.median(cards):.0f}", f"{max(cards):.0f}"],
        ["writing it, s", "", f"{seconds:.0f}", ""],
    ]
    artifacts = ", ".join(sorted({name.partition(":")[0] for name in have.outcomes}))
    notes = [
        f"{args.visits} visits of each kind, each a new browser with nothing cached, offline, from the disk. {site.pages:,} "
        f"latents over {have.load('collect').n:,} images, {site.files:,} files. The run holds: {artifacts}."
    ]
    head = f"**The demo's static site in Chromium {engine}.**"
    body = tables.table(["measured", "at most", "median", "worst"], rows)
    foot = tables.foot({"pillow": version("pillow"), "playwright": version("playwright")}, notes, "benchmarks.site")
    tables.write("site", "\n\n".join([head, body, foot]), args.readme)
    print(body)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
