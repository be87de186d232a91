"""The gallery and the card in a real browser: links, the back button, the keyboard, pages of a filter, what is sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import sae_core as sc
from benchmarks.chromium import PAINTED, settled
from tests.browser.waiting import CAPTIONS, PATIENCE, captions, expect, other_captions

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

THUMBS = "button[data-at]"
HELD = "document.activeElement.shadowRoot?.activeElement?.dataset.at"
"""Place of the thumbnail that has the focus."""


def asked(page: Page, name: str) -> str:
    return parse_qs(urlsplit(page.url).query).get(name, [""])[0]


def test_what_colours_code_is_fetched_by_who_unfolds_it(
    visit: Callable[[str], Page], app: str, small_run: sc.pipeline.Recorded
) -> None:
    page = visit(f"{app}/gallery?run={small_run.id}")
    page.locator(THUMBS).first.wait_for()
    settled(page)
    heavy = "performance.getEntriesByType('resource').filter((one) => one.name.includes('SyntaxHighlighter')).length"
    assert page.evaluate(heavy) == 0, "every visitor would wait for it before the first picture"
    page.get_by_text("Reproduce: command line and Python").click()
    page.locator("code").filter(has_text=f"runs/{small_run.id}/config.yaml --cache").first.wait_for()
    assert page.evaluate(heavy) > 0


def test_the_keyboard_goes_through_the_grid_and_the_back_button_returns_to_it(
    visit: Callable[[str], Page], app: str, small_run: sc.pipeline.Recorded
) -> None:
    page = visit(f"{app}/gallery?run={small_run.id}")
    page.locator(THUMBS).nth(23).wait_for()
    settled(page)
    assert page.locator(f"{THUMBS}[tabindex='0']").count() == 1, "the grid is one stop for the Tab key"
    page.locator(THUMBS).first.focus()
    columns = page.locator(THUMBS).evaluate_all("all => all.filter((e) => e.offsetTop === all[0].offsetTop).length")
    assert columns > 1
    went = []
    for key in ("End", "Home", "ArrowDown", "ArrowRight", "ArrowLeft", "ArrowUp", "ArrowLeft", "ArrowRight"):
        page.keyboard.press(key)
        went.append(int(page.evaluate(HELD)))
    assert went == [23, 0, columns, columns + 1, columns, 0, 0, 1]
    second = captions(page)[1].split(" ")[0]
    page.keyboard.press("Space")
    page.wait_for_url(re.compile(rf"/latent\?.*\blatent={second}\b"))
    page.get_by_role("heading", name=re.compile(rf"Latent {second}\b")).wait_for()
    page.go_back()
    page.wait_for_url(re.compile("/gallery"))
    page.locator(THUMBS).nth(23).wait_for()
    assert asked(page, "run") == small_run.id
    settled(page)  # what is drawn anew loses the focus
    page.locator(THUMBS).first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/latent\?"))


def test_paging_keeps_the_filter(visit: Callable[[str], Page], app: str, small_run: sc.pipeline.Recorded) -> None:
    page = visit(f"{app}/gallery?run={small_run.id}&rate=0-0.1&sort=firing+rate%2C+highest+first")
    page.locator(THUMBS).first.wait_for()
    settled(page)
    first = captions(page)
    page.get_by_role("button", name="Next page").click()
    page.wait_for_url(re.compile("page=2"))
    other_captions(page, first)
    second = captions(page)
    assert set(first).isdisjoint(second)
    assert asked(page, "rate") == "0-0.1"
    rates = [float(rate) for text in first + second for rate in re.findall(r"([\d.e-]+) %", text)]
    assert len(rates) == len(first + second)
    assert max(rates) <= 10
    assert rates == sorted(rates, reverse=True)


def test_a_link_opens_its_latent_and_no_other_and_the_back_button_returns_to_the_one_before(
    visit: Callable[[str], Page], app: str, small_run: sc.pipeline.Recorded
) -> None:
    page = visit(f"{app}/latent?run={small_run.id}&latent=0")
    page.get_by_role("heading", name=re.compile(r"Latent 0\b")).wait_for()
    expect(page.get_by_label("Latent", exact=True)).to_have_value("0", timeout=PATIENCE)
    page.goto(f"{app}/latent?run={small_run.id}&latent=9")
    page.get_by_role("heading", name=re.compile(r"Latent 9\b")).wait_for()
    page.go_back()
    page.get_by_role("heading", name=re.compile(r"Latent 0\b")).wait_for()
    assert asked(page, "latent") == "0"


def test_pictures_come_once_a_visit_and_never_through_the_websocket(
    context: BrowserContext, app: str, small_run: sc.pipeline.Recorded
) -> None:
    page = context.new_page()
    asked_for: list[str] = []
    received: list[bytes] = []

    def note(frame: bytes | str) -> None:
        received.append(frame if isinstance(frame, bytes) else frame.encode())

    page.on("request", lambda request: asked_for.append(request.url))
    page.on("websocket", lambda socket: socket.on("framereceived", note))
    page.goto(f"{app}/gallery?run={small_run.id}&per=48")
    page.wait_for_function(PAINTED, arg=[THUMBS + " img", 8])
    expect(page.locator(THUMBS)).to_have_count(48, timeout=PATIENCE)
    settled(page, 1000)
    sent = sum(len(frame) for frame in received)
    print(f"a gallery page of 48: {sent:,} bytes through the WebSocket")
    assert page.locator(THUMBS).count() == 48
    assert sent <= 50_000
    assert not any(re.search(rb"data:image/(png|webp|jpeg|gif)", frame) for frame in received)
    assert all("/media/" in url for url in page.locator(THUMBS + " img").evaluate_all("all => all.map((image) => image.src)"))

    received.clear()
    first = captions(page)
    page.get_by_role("button", name="Next page").click()
    page.wait_for_url(re.compile("page=2"))
    other_captions(page, first)
    assert sum(len(frame) for frame in received) <= 50_000
    page.get_by_role("button", name="Previous page").click()
    expect(page.locator(CAPTIONS)).to_have_text(first, use_inner_text=True, timeout=PATIENCE)
    settled(page, 1000)
    pictures = [url for url in asked_for if "/media/" in url]
    assert len(pictures) == len(set(pictures)), "a picture that was shown before is not asked for again"
