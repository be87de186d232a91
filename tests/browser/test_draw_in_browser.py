"""Drawing in a real browser: with the mouse, with a finger, undone, erased, compared, uploaded; and nothing goes elsewhere."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from benchmarks.chromium import settled
from tests.browser.waiting import stay

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

    from sae_core.pipeline import Recorded

Points = list[tuple[float, float]]
CIRCLE: Points = [(0.5 + 0.33 * math.cos(i * math.pi / 20), 0.5 + 0.33 * math.sin(i * math.pi / 20)) for i in range(41)]
GRID: list[Points] = [line for at in (0.2, 0.35, 0.5, 0.65, 0.8) for line in ([(at, 0.1), (at, 0.9)], [(0.1, at), (0.9, at)])]


def draw(page: Page, *strokes: Points) -> None:
    """Draw strokes given in units of the paper."""
    box = page.locator("canvas").bounding_box()
    assert box is not None
    for points in strokes:
        for nth, (x, y) in enumerate(points):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=1 if nth == 0 else 3)
            if nth == 0:
                page.mouse.down()
        page.mouse.up()


def answered(page: Page, shown: bool = True) -> None:
    """Wait until all that was drawn is sent, answered and (unless the paper is blank) shown."""
    board, bars = page.locator(".board[data-sent]"), page.locator(".bars")
    board.wait_for()
    for _ in range(600):
        page.wait_for_timeout(200)
        state = board.evaluate("board => ({...board.dataset})")
        about = bars.evaluate_all("all => all.map(one => one.dataset.seq)")
        done = state["waiting"] == "false" and state["sent"] == state.get("answered")
        if done and bool(about) == shown and set(about) <= {state["sent"]}:
            return
    raise AssertionError(f"drawing {state} was not answered; shown: {about}")


def latents(page: Page) -> list[str]:
    """The latents that the page shows, strongest first."""
    return section(page, "What the dictionary sees").locator("li button").all_inner_texts()


def section(page: Page, title: str) -> Locator:
    return page.locator(".bars section", has=page.get_by_role("heading", name=title))


def paper(page: Page) -> bytes:
    """The pixels of the paper on the screen."""
    return page.locator("canvas").screenshot()


@contextmanager
def strangers(page: Page, url: str) -> Iterator[list[str]]:
    """Collects every request that goes to another host than the app's."""
    found: list[str] = []
    home = urlsplit(url).netloc

    def note(address: str) -> None:
        if urlsplit(address).scheme not in ("data", "blob") and urlsplit(address).netloc != home:
            found.append(address)

    page.on("request", lambda request: note(request.url))
    page.on("websocket", lambda socket: note(socket.url))
    yield found


def test_a_circle_and_a_grid_with_the_mouse(app: str, small_run: Recorded, context: BrowserContext, tmp_path: Path) -> None:
    page = context.new_page()
    broken: list[str] = []
    missing: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on(
        "response",
        lambda response: missing.append(response.url) if response.status == 404 and "/media/" in response.url else None,
    )
    with strangers(page, app) as elsewhere:
        page.goto(f"{app}/draw?run={small_run.id}")
        page.locator("canvas").wait_for()
        blank = paper(page)
        draw(page, CIRCLE)
        answered(page)
        circle, drawn = latents(page), paper(page)
        assert circle
        assert drawn != blank
        images = section(page, "What the dictionary sees").locator("li img")
        assert images.count() >= len(circle), "each latent shows images that fire it"
        assert images.first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0

        # Exactly back and forth, with buttons and keys.
        page.get_by_role("button", name="Undo").click()
        answered(page, shown=False)
        page.get_by_text("Draw something: a circle").wait_for()
        page.keyboard.press("Control+Shift+z")
        answered(page)
        page.get_by_role("status").get_by_text("Redone. 1 stroke.").wait_for()
        page.mouse.move(0, 0)
        assert latents(page) == circle
        page.get_by_role("button", name="Keep this as A").click()
        section(page, "What changed from A to B").get_by_text("No latent changed").wait_for()
        page.get_by_role("button", name="Clear").click()
        answered(page, shown=False)
        page.keyboard.press("Control+z")
        answered(page)
        assert latents(page) == circle, "what was cleared comes back"

        page.get_by_role("button", name="Clear").click()
        draw(page, *GRID)
        answered(page)
        grid = latents(page)
        assert grid[:3] != circle[:3]
        changed = section(page, "What changed from A to B")
        changed.get_by_role("button").first.wait_for()
        assert "A (left) and B (right)" in changed.inner_text()

        # The eraser takes ink away: of all there is, it leaves blank paper.
        page.get_by_role("button", name="Eraser").click()
        page.get_by_role("button", name="Thick line").click()
        assert page.get_by_role("button", name="Eraser").get_attribute("aria-pressed") == "true"
        draw(page, [(x / 40, 0.02 if x % 2 else 0.98) for x in range(41)])
        answered(page)
        for _ in GRID:  # its strokes are undone one by one: the eraser's first, then the grid's
            page.keyboard.press("Control+z")
        answered(page)
        page.get_by_role("status").get_by_text("Undone. 1 stroke.").wait_for()

        # What is taken away is the drawing.
        for name in ("PNG", "SVG"):
            with page.expect_download() as download:
                page.get_by_role("button", name=name, exact=True).click()
            download.value.save_as(tmp_path / f"drawing.{name.lower()}")
        with Image.open(tmp_path / "drawing.png") as image:
            ink = np.asarray(image.convert("L")) < 128
        assert ink.shape == (1024, 1024)
        assert 0.01 < ink.mean() < 0.05, "one line of 0.8 by 0.025 of the paper"
        root = ET.parse(tmp_path / "drawing.svg").getroot()
        assert len(root.findall(".//{http://www.w3.org/2000/svg}path")) == 1

        # On to a latent's card, and back to the drawing. From here on pictures may be missing: a page that is left while its
        # pictures load asks for them when the server has let them go.
        assert missing == []
        before = latents(page)
        section(page, "What the dictionary sees").locator("li button").first.click()
        page.get_by_role("heading", name="Latent", exact=True).wait_for()
        page.go_back()
        page.get_by_role("heading", name="Draw", exact=True).wait_for()
        answered(page)
        assert latents(page) == before
        assert elsewhere == []
        assert broken == []


def test_drawing_with_a_finger_on_a_phone(app: str, small_run: Recorded, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, device_scale_factor=3)
    context.set_default_timeout(300_000)
    page = context.new_page()
    page.goto(f"{app}/draw?run={small_run.id}")
    canvas = page.locator("canvas")
    canvas.wait_for()
    settled(page)
    box = stay(canvas)
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert canvas.evaluate("canvas => canvas.width >= 3 * canvas.clientWidth - 3"), "crisp on a dense screen"
    touch = context.new_cdp_session(page)

    def finger(kind: str, *points: tuple[float, float]) -> None:
        at = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": nth} for nth, (x, y) in enumerate(points)
        ]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    top = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollTop")
    finger("touchStart", CIRCLE[0])
    for point in CIRCLE[1:]:
        finger("touchMove", point)
    finger("touchEnd")
    answered(page)
    assert page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollTop") == top, "drawing does not scroll"
    assert page.locator(".board").get_attribute("data-strokes") == "1"
    assert latents(page)

    finger("touchStart", (0.3, 0.3))  # a second finger draws nothing
    finger("touchStart", (0.3, 0.3), (0.7, 0.7))
    finger("touchMove", (0.3, 0.5), (0.7, 0.9))
    finger("touchEnd")
    answered(page)
    assert page.locator(".board").get_attribute("data-strokes") == "2"
    context.close()


def test_a_real_sketch_is_uploaded_and_drawn_on(
    app: str, small_run: Recorded, visit: Callable[[str], Page], shared_data: Path
) -> None:
    sketches = sorted((shared_data / "pacs-subset" / "sketch").glob("*/*.png"))
    if not sketches:
        pytest.skip(f"no PACS sketches in {shared_data}")
    page = visit(f"{app}/draw?run={small_run.id}")
    page.locator("canvas").wait_for()
    blank = paper(page)
    page.get_by_test_id("stExpander").get_by_text("Start from a picture").click()
    page.locator('input[type="file"]').set_input_files(sketches[0])
    page.get_by_text(f"Laid on the paper as CLIP sees it: {sketches[0].name}").wait_for()
    answered(page)
    page.get_by_role("status").get_by_text("A picture and 0 strokes").wait_for()
    assert paper(page) != blank
    uploaded = latents(page)
    assert uploaded

    page.locator('input[type="file"]').set_input_files({"name": "notes.png", "mimeType": "image/png", "buffer": b"only words"})
    page.get_by_text("notes.png is text, not a picture").wait_for()
    assert latents(page) == uploaded, "the app goes on with what was there"

    draw(page, *GRID)
    answered(page)
    assert latents(page) != uploaded
    page.keyboard.press("Control+z")
    page.get_by_role("status").get_by_text("A picture and 9 strokes").wait_for()
