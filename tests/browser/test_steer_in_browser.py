"""Steering in a real browser: sliders by key and by mouse, pictures of one's own, links, downloads, and a thousand moves."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageDraw

import sae_core as sc
from benchmarks.chromium import DEEP, IDLE, Server, settled

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page

MOVES, EVERY, WARM = 1000, 20, 200
SERVER_GROWTH, HEAP_GROWTH = 40.0, 20.0
"""MiB that the server, and the page's own heap, may grow by from the 200th move to the last."""
SET = re.compile(r"latent (\d+)(?: \([^;]*?\))? set to ([\d.]+) ×")

# Looks at the results in every frame that the browser draws, and keeps each that differs from the one before.
WATCH = (
    "() => {"
    + DEEP
    + """
  window.seen = [];
  const last = {};
  const look = () => {
    const [labels] = deep(document, '.bars');
    if (labels) {
      const text = labels.innerText;
      if (text !== last.text) window.seen.push({ seq: Number(labels.dataset.seq), text });
      last.text = text;
    }
    requestAnimationFrame(look);
  };
  look();
}"""
)
LABELS = "() => {" + DEEP + "const [labels] = deep(document, '.bars'); return labels ? labels.innerText : ''; }"


def open_steer(visit: Callable[[str], Page], url: str, run: sc.pipeline.Recorded, query: str = "") -> Page:
    page = visit(f"{url}/steer?run={run.id}{query}")
    page.locator(".bars").first.wait_for()
    settled(page)
    return page


def value(slider: Locator) -> float:
    return float(slider.input_value())


def shows(page: Page, slider: Locator) -> float:
    """Wait until the result on the page is that of the slider's value; returns it. At rest (0, of a latent that the image does
    not have) nothing is edited.
    """
    for _ in range(600):
        at = value(slider)
        said = page.evaluate(LABELS)
        shown = f"set to {at:.2f} ×" in said or (at == 0 and "no edit" in said)
        if shown and page.locator(IDLE).count() and value(slider) == at:
            return at
        page.wait_for_timeout(100)
    raise AssertionError(f"the slider is at {value(slider)}, the page shows {page.evaluate(LABELS)[:400]}")


def says(page: Page, labels: str) -> None:
    """Wait until the page's result is this one."""
    page.wait_for_function("text => (" + LABELS + ")() === text", arg=labels, timeout=60_000)


def sliding(page: Page) -> Locator:
    """The first slider, of the latent that stands turned up."""
    return page.get_by_role("slider").first


def drag(page: Page, slider: Locator, to: float, steps: int) -> None:
    """Drag the slider's thumb to a value, in so many moves of the mouse."""
    slider.scroll_into_view_if_needed()
    box = slider.evaluate(
        """input => {
          const track = input.closest('[data-testid="stSlider"]').getBoundingClientRect();
          const thumb = input.getBoundingClientRect();
          return { left: track.left, width: track.width, x: thumb.x + thumb.width / 2, y: thumb.y + thumb.height / 2 };
        }"""
    )
    page.mouse.move(box["x"], box["y"])
    page.mouse.down()
    page.mouse.move(box["left"] + to / 4 * box["width"], box["y"], steps=steps)
    page.mouse.up()


def heap(context: BrowserContext, page: Page) -> float:
    """The page's live JavaScript objects in MiB."""
    tools = context.new_cdp_session(page)
    tools.send("HeapProfiler.collectGarbage")
    tools.send("Performance.enable")
    found = {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}
    tools.detach()
    return float(found["JSHeapUsedSize"]) / 2**20


def recomputed(store: sc.Store, run: sc.pipeline.Recorded, texts: list[str]) -> None:
    """Each text names the values it is of and shows labels' probabilities: they must be those of these values."""
    have = run.open(store)
    parents = sc.pipeline.plan(run.config)["steer"].parents
    scene = sc.SteeringScene.open(sc.store.Inputs({role: have.outcomes[node].path for role, node in parents.items()}))
    images = scene.activations.images
    domain = scene.activations.domains[0]
    own = images[images["domain"] == domain]
    row = int(own[own["split"] == "test"]["row"].iloc[0])
    subject = scene.subject(row)
    labels = sc.labels_of(domain, scene.manifests[domain], scene.embeddings[domain], subject.x, sc.Towers("cpu"))
    settings = run.config.steer
    for text in texts:
        edits = [sc.Edit(latent=int(latent), value=float(at)) for latent, at in SET.findall(text.split("encoded again")[0])]
        recipe = sc.Recipe(edits=tuple(edits), maxima=sc.train_maxima(scene.activations, [edit.latent for edit in edits]))
        done = sc.steer_subject(subject, recipe, scene, labels, settings.sweep, 2, 1)
        shown = [f"{100 * one[side]:.1f} %" for one in done.result["labels"]["shown"][:6] for side in ("before", "after")]
        found = re.findall(r"^[\d.]+ %$", text, re.MULTILINE)
        off = [abs(float(a[:-2]) - float(b[:-2])) for a, b in zip(found, shown, strict=True)]
        assert max(off) <= 0.1 + 1e-9, f"{text[:300]} shows {found}; it should be {shown}"


def test_a_thousand_moves_leak_nothing_and_show_no_stale_result(
    server: Server, small_run: sc.pipeline.Recorded, two_runs: Path, context: BrowserContext, visit: Callable[[str], Page]
) -> None:
    page = open_steer(visit, server.url, small_run)
    slider = sliding(page)
    page.evaluate(WATCH)
    memory = objects = 0.0
    for nth in range(0, MOVES, EVERY):
        if nth // EVERY % 5 == 4:  # every fifth time with the mouse
            drag(page, slider, 0.5 + nth % 3, EVERY)
        else:
            slider.focus()
            for _ in range(EVERY):
                page.keyboard.press("ArrowLeft" if nth // EVERY % 2 else "ArrowRight")
        shows(page, slider)
        if nth + EVERY == WARM:
            memory, objects = server.memory(), heap(context, page)
    grown, more = server.memory() - memory, heap(context, page) - objects
    seen = page.evaluate("window.seen")
    print(f"{MOVES} moves: {len(seen)} results seen, server {grown:+.1f} MiB, page {more:+.1f} MiB from the {WARM}th to the last")
    assert grown < SERVER_GROWTH
    assert more < HEAP_GROWTH
    numbers = [one["seq"] for one in seen]
    assert numbers == sorted(numbers), "an older result came after a newer one"
    assert len({one["text"] for one in seen}) > 20
    texts = sorted({one["text"] for one in seen if SET.search(one["text"])})
    recomputed(sc.Store(two_runs), small_run, texts[:: max(1, len(texts) // 30)])


def test_a_slider_follows_the_mouse_and_the_keys(app: str, small_run: sc.pipeline.Recorded, visit: Callable[[str], Page]) -> None:
    page = open_steer(visit, app, small_run)
    slider = sliding(page)
    drag(page, slider, 3.0, 10)
    assert shows(page, slider) == pytest.approx(3.0, abs=0.3)
    before = value(slider)
    slider.press("ArrowLeft")
    assert shows(page, slider) == pytest.approx(before - 0.05)
    page.get_by_role("button", name="Reset the sliders").click()
    page.get_by_text("No latent is edited. Move a slider.").wait_for()


def test_sliders_stand_beside_the_labels_and_on_a_phone_right_below_them(
    app: str, small_run: sc.pipeline.Recorded, visit: Callable[[str], Page]
) -> None:
    page = open_steer(visit, app, small_run)
    places = [page.locator(".bars").first, sliding(page)]
    labels, slider = (place.evaluate("e => e.getBoundingClientRect().toJSON()") for place in places)
    assert slider["right"] < labels["left"]
    assert slider["top"] < labels["bottom"]
    page.set_viewport_size({"width": 390, "height": 900})
    labels, slider = (place.evaluate("e => e.getBoundingClientRect().toJSON()") for place in places)
    assert labels["bottom"] <= slider["top"] < labels["bottom"] + 400


def test_pictures_of_ones_own_are_steered(
    app: str, small_run: sc.pipeline.Recorded, visit: Callable[[str], Page], tmp_path: Path
) -> None:
    page = open_steer(visit, app, small_run)
    first = page.evaluate(LABELS)
    picture = Image.new("RGB", (300, 300), "white")
    ImageDraw.Draw(picture).ellipse((60, 60, 240, 240), outline="black", width=8)
    picture.save(tmp_path / "circle.png")
    page.get_by_role("radio", name="Upload").click()
    page.locator('input[type="file"]').first.set_input_files(tmp_path / "circle.png")
    page.wait_for_function(
        "([text]) => {" + DEEP + "const [l] = deep(document, '.bars'); return l && l.innerText !== text; }", arg=[first]
    )
    settled(page)
    uploaded = page.evaluate(LABELS)
    slider = sliding(page)
    slider.press("ArrowRight")
    shows(page, slider)
    assert page.evaluate(LABELS) != uploaded

    page.get_by_role("radio", name="Canvas").click()
    page.locator("canvas").wait_for()
    page.get_by_text("Draw something: it is embedded while you draw").wait_for()
    box = page.locator("canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    for x, y in ((0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
    page.mouse.up()
    page.locator(".bars").first.wait_for()
    settled(page)
    assert page.evaluate(LABELS) not in ("", uploaded)


def test_a_link_opens_its_latent_and_what_is_taken_away_is_whole(
    app: str, small_run: sc.pipeline.Recorded, two_runs: Path, visit: Callable[[str], Page], tmp_path: Path
) -> None:
    alive = small_run.open(sc.Store(two_runs)).load("collect").alive()
    latent = int(alive[3])
    page = open_steer(visit, app, small_run, f"&domain=photo&image=5&latent={latent}")
    assert value(sliding(page)) == 2.0
    assert f"latent {latent}" in page.evaluate(LABELS)
    for ending in ("PNG", "SVG", "GIF"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Strip as {ending}").click()
        download.value.save_as(tmp_path / f"strip.{ending.lower()}")
    with Image.open(tmp_path / "strip.png") as sheet:
        assert (sheet.format, sheet.width > 900) == ("PNG", True)
    with Image.open(tmp_path / "strip.gif") as film:
        assert (film.format, film.n_frames) == ("GIF", 12)
    drawn = ET.parse(tmp_path / "strip.svg").getroot()  # of strokes, since the bundled CLIP has a decoder: paths, no pixels
    assert len(drawn.findall(".//{http://www.w3.org/2000/svg}svg")) == 14
    assert not drawn.findall(".//{http://www.w3.org/2000/svg}image")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the recipe").click()
    download.value.save_as(tmp_path / "recipe.json")
    recipe = sc.read_recipe(tmp_path / "recipe.json")
    assert [(edit.latent, edit.value) for edit in recipe.edits] == [(latent, 2.0)]

    # Another visit by the recipe's link shows the same; a click on a latent leads to its card, the back button back.
    other = open_steer(visit, app, small_run, f"&recipe={sc.to_link(recipe)}")
    other.get_by_text("on the image it was made on").wait_for()
    before = page.evaluate(LABELS)
    says(other, before)
    other.locator(".bars button").first.click()
    other.get_by_role("heading", name="Latent", exact=True).wait_for()
    other.go_back()
    other.get_by_role("heading", name="Steer", exact=True).wait_for()
    says(other, before)
