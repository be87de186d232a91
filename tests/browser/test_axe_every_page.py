"""axe-core finds no serious fault on any page, on light and on dark, wide and narrow, with a run and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import sae_core as sc
from benchmarks.chromium import settled
from tests.browser.shots import PAGES, TALL, WIDTHS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
SECTIONS = ("gallery?section=map", "gallery?section=domain-shift", "gallery?section=table")
"""Parts of pages that are made when they are chosen."""


def faults(page: Page) -> list[str]:
    """What axe calls serious or critical, a line an element: rule, selector, what is wrong."""
    found: dict[str, Any] = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response
    assert found["passes"], "axe looked at something"
    return [
        f"{fault['id']}: {' '.join(map(str, node['target']))}: {next(iter(node['any'] + node['all'] + node['none']))['message']}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@contextmanager
def visitor(browser: Browser, scheme: str) -> Iterator[Page]:
    """Who prefers this colour scheme, and no motion: what fades in has not the contrast it will have."""
    context = browser.new_context(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    context.set_default_timeout(300_000)
    yield context.new_page()
    context.close()


def looked_at(page: Page, addresses: list[str], widths: Sequence[int]) -> list[str]:
    """The faults of these pages at each width. The window is tall: axe judges no contrast of what is scrolled out of sight."""
    found: list[str] = []
    for address in addresses:
        page.set_viewport_size({"width": widths[0], "height": TALL[widths[0]]})
        page.goto(address)
        page.wait_for_selector("h1")
        settled(page, 700)
        text = page.inner_text("body")
        found += [f"{address}: it shows an error: {text[-300:]}"] if "Something went wrong" in text else []
        for width in widths:
            page.set_viewport_size({"width": width, "height": TALL[width]})
            page.wait_for_timeout(200)
            found += [f"{address} at {width}: {fault}" for fault in faults(page)]
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_of_a_run(scheme: str, browser: Browser, app: str, small_run: sc.pipeline.Recorded) -> None:
    addresses = [f"{app}/{page}{'&' if '?' in page else '?'}run={small_run.id}" for page in (*PAGES, *SECTIONS)]
    with visitor(browser, scheme) as page:
        assert looked_at(page, addresses, WIDTHS) == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_every_page_of_an_empty_cache(scheme: str, width: int, browser: Browser, fresh_app: str) -> None:
    with visitor(browser, scheme) as page:
        assert looked_at(page, [f"{fresh_app}/{name}" for name in PAGES], [width]) == []


def test_axe_sees_a_fault_where_there_is_one(visit: Callable[[str], Page], fresh_app: str) -> None:
    page = visit(fresh_app)
    settled(page)
    pale = '<img src="data:,"><p style="position: fixed; inset: 0; z-index: 9999999; background: #fff; color: #ccc">pale</p>'
    page.evaluate("pale => document.body.insertAdjacentHTML('beforeend', pale)", pale)
    assert {"image-alt", "color-contrast"} <= {fault.split(":")[0] for fault in faults(page)}
