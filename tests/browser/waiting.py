"""What a browser test waits for: something of the new state, never a length of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from benchmarks.chromium import settled

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

PATIENCE = 300_000
"""Milliseconds. Long, since the machine may have much else to do."""
CAPTIONS = "button[data-at] .caption"


def captions(page: Page) -> list[str]:
    """What stands below the thumbnails."""
    return page.locator(CAPTIONS).all_inner_texts()


def other_captions(page: Page, before: list[str]) -> None:
    """Wait until the thumbnails are others than those with these captions."""
    expect(page.locator(CAPTIONS).first).not_to_have_text(before[0], timeout=PATIENCE)
    settled(page)


def until(page: Page, there: Callable[[], object], what: str) -> None:
    """Wait until something outside of the browser is so."""
    for _ in range(PATIENCE // 200):
        if there():
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"{what}: not within {PATIENCE // 1000} s")


def stay(locator: Locator) -> dict[str, float]:
    """The place of an element in the window, once what stands above it has stopped growing."""
    box = None
    while box is None or box != locator.bounding_box():
        locator.scroll_into_view_if_needed()
        box = locator.bounding_box()
        locator.page.wait_for_timeout(1000)
    return {**box}
