"""How long a visitor waits, in a real Chromium: `python -m benchmarks.browser`.

Two runs are made by the pipeline and stay in its cache: the demo, and a load of drawn scenes with a wide dictionary that is
trained for few steps (it is there to be large, not to be good). The app serves both; every visit is a browser of its own, with
nothing in its cache. Times are the browser's own clock, from the navigation, the click or the pen's last touch until the script
is idle and every picture in sight is painted.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import sae_core as sc
from benchmarks import tables
from benchmarks.chromium import DEEP, IDLE, Server, chromium, serving, settled
from benchmarks.workers import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROWS, WIDTH, K, STEPS = 50_000, 8192, 32, 200
VISITS = 7
THUMBS = "button.thumb img"
PICTURES = ".thumb img"
LIMITS = {"gallery": 2.0, "bytes": 50.0, "paging bytes": 50.0, "card": 1.0, "drawing": 0.3}

# Resolves with the clock's time when the script is idle, the page is the one meant, and its pictures in sight are painted.
READY = (
    "([path, title, pictures, least]) => new Promise((resolve) => {"
    + DEEP
    + f"""
  const idle = {IDLE!r};
  const look = () => {{
    const there = location.pathname.endsWith(path) && document.querySelector('h1')?.innerText === title
      && document.querySelector(idle);
    if (there && painted(pictures, least)) resolve(performance.now());
    else requestAnimationFrame(look);
  }};
  look();
}})"""
)
# Resolves with the milliseconds from the next event of this kind to the moment READY is fulfilled.
AFTER = (
    "([kind, wanted]) => { window.waited = new Promise((resolve) => document.addEventListener(kind, () => {"
    "const start = performance.now(); (" + READY + ")(wanted).then((end) => resolve(end - start));"
    "}, { capture: true, once: true })); }"
)
# The same for a drawing: until what the paper sent last is answered and shown.
DRAWN = (
    "() => {"
    + DEEP
    + """
  window.waited = new Promise((resolve) => document.addEventListener('pointerup', () => {
    const start = performance.now(), [board] = deep(document, '.board'), before = Number(board.dataset.sent || 0);
    const look = () => {
      const { sent, answered, waiting } = board.dataset;
      const shown = deep(document, '.bars').map((bars) => bars.dataset.seq);
      const all = waiting === 'false' && answered === sent && shown.length && shown.every((seq) => seq === sent);
      if (all && Number(sent) >= before) resolve(performance.now() - start);
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, { capture: true, once: true }));
}"""
)


@dataclass
class Waits:
    """What was measured on one run: seconds, and kB through the WebSocket, one number a visit."""

    images: int
    latents: int
    first: float = 0.0
    memory: tuple[float, float] = (0.0, 0.0)
    found: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, value: float) -> None:
        self.found.setdefault(what, []).append(value)


def gallery_ready(page: Page) -> float:
    """Seconds from the navigation until the gallery is ready."""
    return float(page.evaluate(READY, ["/gallery", "Gallery", THUMBS, 8])) / 1000


def visit_empty(browser: Browser, url: str) -> float:
    """Seconds until a page of Streamlit's with a title and nothing else is ready: what no app on it can go below."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(url)
    ready = float(page.evaluate(READY, ["", "Empty", THUMBS, 0])) / 1000
    context.close()
    return ready


def visit_gallery(browser: Browser, url: str, run_id: str, waits: Waits, card: bool) -> float:
    """One visit: open the gallery, turn a page, and open a latent by a click. Returns the seconds until the gallery was ready."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)
    page = context.new_page()
    received = 0

    def note(frame: bytes | str) -> None:
        nonlocal received
        received += len(frame if isinstance(frame, bytes) else frame.encode())

    page.on("websocket", lambda socket: socket.on("framereceived", note))
    page.goto(f"{url}/gallery?run={run_id}")
    ready = gallery_ready(page)
    settled(page)
    waits.add("bytes", received / 1000)
    following = page.get_by_role("button", name="Next page")
    if following.is_enabled():
        received = 0
        following.click()
        page.wait_for_url(re.compile(r"\bpage=2\b"))
        settled(page)
        waits.add("paging bytes", received / 1000)
    if card:
        page.evaluate(AFTER, ["click", ["/latent", "Latent", PICTURES, 1]])
        page.locator("button[data-at]").nth(2).click()
        waits.add("card", float(page.evaluate("window.waited")) / 1000)
    context.close()
    return ready


def visit_drawing(browser: Browser, url: str, run_id: str, waits: Waits, strokes: int) -> None:
    """Draw strokes, one after the other; the first one, at which the run is opened, is not counted."""
    context = browser.new_context(viewport={"width": 1280, "height": 1400})
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(f"{url}/draw?run={run_id}")
    page.locator(".board[data-sent], .board canvas").first.wait_for()
    settled(page, 1000)
    box = page.locator(".board canvas").bounding_box()
    if box is None:
        raise sc.InputError(f"the draw page of {run_id} shows no paper")
    for stroke in range(strokes + 1):
        page.evaluate(DRAWN)
        y = box["y"] + box["height"] * (0.15 + 0.7 * stroke / max(strokes, 1))
        page.mouse.move(box["x"] + 0.2 * box["width"], y)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.8 * box["width"], y, steps=12)
        page.mouse.up()
        seconds = float(page.evaluate("window.waited")) / 1000
        if stroke:
            waits.add("drawing", seconds)
        page.wait_for_timeout(300)
    context.close()


def measure(browser: Browser, server: Server, empty: Server, run: sc.pipeline.Run, visits: int) -> Waits:
    """Every number of one run; `empty` serves a page with nothing on it, which is visited in turn with the gallery."""
    acts = run.load("collect")
    waits = Waits(acts.n, acts.m)
    before = server.memory()
    waits.first = visit_gallery(browser, server.url, run.id, Waits(0, 0), card=True)
    visit_empty(browser, empty.url)
    for _ in range(visits):
        waits.add("empty", visit_empty(browser, empty.url))
        waits.add("gallery", visit_gallery(browser, server.url, run.id, waits, card=True))
    visit_drawing(browser, server.url, run.id, waits, visits)
    waits.memory = (before, server.memory())
    return waits


@contextmanager
def serving_empty(folder: Path) -> Iterator[Server]:
    """Streamlit with a script of one title, written to the folder."""
    script = folder / "empty.py"
    script.write_text("import streamlit as st\n\nst.title('Empty')\n", encoding="utf-8")
    with serving(folder, folder / "empty.log", script) as server:
        yield server


def rows(measured: Sequence[Waits]) -> list[list[str]]:
    """A line a quantity; for each run its median and its worst."""
    said = {
        "gallery": ("gallery page ready, s", "{:.2f}"),
        "empty": ("of which an empty page of Streamlit's, s", "{:.2f}"),
        "bytes": ("gallery page over the WebSocket, first load, kB", "{:.1f}"),
        "paging bytes": ("the next page of it over the WebSocket, kB", "{:.1f}"),
        "card": ("click on a thumbnail to its card, s", "{:.2f}"),
        "drawing": ("end of a stroke to updated latents, s", "{:.2f}"),
    }
    found = []
    for name, (words, shape) in said.items():
        cells = [words, f"{LIMITS[name]:g}" if name in LIMITS else ""]
        for waits in measured:
            values = waits.found.get(name, [])
            cells += [shape.format(statistics.median(values)), shape.format(max(values))] if values else ["", ""]
        found.append(cells)
    first = [f"{waits.first:.2f}" for waits in measured]
    found.append(["gallery page ready for a server's first visitor, s", "", *(cell for one in first for cell in (one, one))])
    memory = [f"{waits.memory[0]:.0f} to {waits.memory[1]:.0f}" for waits in measured]
    found.append(["server's memory before and after, MiB", "", *(cell for one in memory for cell in (one, ""))])
    return found


def table(measured: Sequence[Waits], title: str) -> str:
    """The table of all runs."""
    header = ["measured", "at most"]
    for waits in measured:
        header += [f"{waits.images:,} images, {waits.latents:,} latents: median", "worst"]
    return f"{title}\n\n{tables.table(header, rows(measured))}"


def made(config: sc.RunConfig, store: sc.Store, *stages: str) -> sc.pipeline.Run:
    """The run, with these stages made or found in the cache."""
    for stage in stages:
        sc.pipeline.run(stage, config, store)
    return next(run for run in sc.pipeline.runs(store) if run.config == config).open(store)


def load_of(n: int, width: int, steps: int) -> sc.RunConfig:
    """A run of n drawn scenes, half of them sketches, with a wide dictionary."""
    sizes = [f"data.sketch.n={n // 2}", f"data.photo.n={n - n // 2}"]
    sae = [f"sae.width={width}", f"sae.architecture.k={K}", f"sae.steps={steps}"]
    return sc.load_config(ROOT / "configs" / "demo.yaml", ["name=browser load", *sizes, *sae])


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.browser", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="images of the large run")
    parser.add_argument("--width", type=int, default=WIDTH, help="latents of the large run")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps of the large run")
    parser.add_argument("--visits", type=int, default=VISITS)
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--readme", type=Path, default=tables.README)
    options = parser.parse_args()
    store = sc.Store(options.cache)
    demo = sc.load_config(ROOT / "configs" / "demo.yaml")
    runs = [made(demo, store, "interpret"), made(load_of(options.rows, options.width, options.steps), store, "collect")]
    measured = []
    for run in runs:  # a server each, so that its memory is the run's own
        with (
            tempfile.TemporaryDirectory() as folder,
            serving(options.cache, Path(folder) / "server.log") as server,
            serving_empty(Path(folder)) as empty,
            chromium() as browser,
        ):
            product = browser.version
            measured.append(measure(browser, server, empty, run, options.visits))
    title = f"**A visitor's waits in Chromium {product}, server and browser on the same machine.**"
    note = (
        f"{options.visits} visits a run, each by a browser of its own with nothing cached, after a first one on a fresh server; "
        f"{options.visits} strokes on one paper. Ready: the script is idle, every picture in sight painted. Bytes are those of "
        f"the WebSocket's messages, before compression. The large run is a load test: its dictionary was trained for "
        f"{options.steps} steps."
    )
    versions = {name: version(name) for name in ("streamlit", "torch", "playwright")}
    text = f"{table(measured, title)}\n\n{tables.foot(versions, [note], 'benchmarks.browser')}"
    print(text)
    tables.write("browser", text, options.readme)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
