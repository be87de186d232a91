"""Two browsers at once on one app, each with a run of its own: neither sees anything of the other's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

import sae_core as sc
from benchmarks.chromium import serving, settled
from tests.browser.waiting import CAPTIONS, PATIENCE, captions, expect, other_captions

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def public_app(two_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app for strangers, whose bookmarks are their own and last as long as their visit."""
    with serving(two_runs, tmp_path_factory.mktemp("public") / "server.log", SAE_LAB_PUBLIC="1") as server:
        yield server.url


@pytest.fixture
def visitors(browser: Browser) -> Iterator[tuple[Page, Page]]:
    contexts = [browser.new_context(viewport={"width": 1280, "height": 1600}) for _ in range(2)]
    for context in contexts:
        context.set_default_timeout(300_000)
    yield contexts[0].new_page(), contexts[1].new_page()
    for context in contexts:
        context.close()


def asked(page: Page, name: str) -> str:
    """A query parameter of the page's address."""
    return parse_qs(urlsplit(page.url).query).get(name, [""])[0]


def latents_of(page: Page) -> list[str]:
    """The latents on a gallery page, by their captions' first word."""
    return [text.split(" ")[0] for text in captions(page)]


def open_gallery(page: Page, address: str) -> None:
    page.goto(address)
    page.locator(CAPTIONS).first.wait_for()
    settled(page)


def open_latent(page: Page, address: str, latent: int) -> None:
    page.goto(address)
    page.get_by_role("heading", name=re.compile(rf"Latent {latent}\b")).wait_for()
    settled(page)


def test_run_filters_and_latent_are_each_visitors_own(
    visitors: tuple[Page, Page], app: str, small_run: sc.pipeline.Recorded, other_run: sc.pipeline.Recorded
) -> None:
    one, two = visitors
    open_gallery(one, f"{app}/gallery?run={small_run.id}")
    open_gallery(two, f"{app}/gallery?run={other_run.id}")
    assert latents_of(one) != latents_of(two), "the runs have dictionaries of their own"
    before = latents_of(two)
    page_one = captions(one)
    one.get_by_role("button", name="Next page").click()
    other_captions(one, page_one)
    first = latents_of(one)
    open_gallery(two, f"{app}/gallery?run={other_run.id}")
    assert latents_of(two) == before, "the other one is still on page one"
    assert asked(two, "page") in ("", "1")

    one.locator("button[data-at]").first.click()
    one.wait_for_url(re.compile(rf"/latent\?.*\blatent={first[0]}\b"))
    two.locator("button[data-at]").nth(3).click()
    two.wait_for_url(re.compile(rf"/latent\?.*\blatent={before[3]}\b"))
    settled(one)
    settled(two)
    assert (asked(one, "run"), asked(one, "latent")) == (small_run.id, first[0])
    assert (asked(two, "run"), asked(two, "latent")) == (other_run.id, before[3])
    for page in visitors:  # whatever the sidebar leads to is still one's own
        page.get_by_test_id("stSidebarUserContent").get_by_role("link", name="Overview").click()
        page.wait_for_url(lambda url: "/latent" not in url and "run=" in url)
        page.get_by_role("heading", level=1, name="Sketch SAE Lab").wait_for()
        settled(page)
    assert [asked(one, "run"), asked(two, "run")] == [small_run.id, other_run.id]


def test_a_strangers_bookmark_is_seen_by_nobody_else(
    visitors: tuple[Page, Page], public_app: str, two_runs: Path, small_run: sc.pipeline.Recorded
) -> None:
    latent = int(small_run.open(sc.Store(two_runs)).load("collect").alive()[0])  # one with a next one
    address = f"{public_app}/latent?run={small_run.id}&latent={latent}"
    one, two = visitors
    open_latent(one, address, latent)
    open_latent(two, address, latent)
    one.get_by_role("button", name="Bookmark", exact=False).first.click()
    one.get_by_role("button", name="Bookmarked").wait_for()
    here = two.get_by_role("heading", name=re.compile(rf"Latent {latent}\b"))
    two.get_by_role("button", name="Next").click()
    here.wait_for(state="detached")
    two.get_by_role("button", name="Previous").click()
    here.wait_for()
    settled(two)
    assert asked(two, "latent") == str(latent)
    expect(two.get_by_role("button", name=re.compile("Bookmark$"))).to_be_visible(timeout=PATIENCE)
    assert two.get_by_role("button", name="Bookmarked").count() == 0
    assert not sc.load_marks(sc.Store(two_runs), small_run.id).bookmarked, "a public app writes nothing that is shared"
