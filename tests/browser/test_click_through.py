"""A visitor with a fresh cache: trains a tiny dictionary, reloads in the middle, watches it finish, opens a latent, steers it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import sae_core as sc
from benchmarks.chromium import PAINTED, settled
from tests.browser.waiting import PATIENCE, expect, until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page


def fill(page: Page, label: str, value: str) -> None:
    box = page.get_by_label(label, exact=True)
    box.fill(value)
    box.press("Enter")
    settled(page)
    expect(box).to_have_value(value, timeout=PATIENCE)


def choose(page: Page, label: str, option: str) -> None:
    box = page.get_by_label(label, exact=True)
    box.click()
    box.fill(option)
    page.get_by_role("option", name=option, exact=True).click()
    settled(page)


def text_of(page: Page) -> str:
    return page.locator('[data-testid="stApp"]').inner_text()


def train_a_tiny_one(page: Page, steps: int = 2000) -> None:
    page.get_by_test_id("stSidebarUserContent").get_by_role("link", name="Train").click()
    page.get_by_role("heading", name="Train a dictionary").wait_for()
    fill(page, "Name of the run", "tiny")
    page.get_by_role("radio", name="The drawn world").click()
    settled(page)
    fill(page, "Scenes", "300")
    fill(page, "Width", "64")
    fill(page, "k", "6")
    choose(page, "How long", "Steps")
    fill(page, "Steps", str(steps))
    fill(page, "Batch", "64")
    page.get_by_role("button", name="Train", exact=True).click()


def test_from_an_empty_cache_to_a_steered_image(
    tmp_path: Path, serve: Callable[[Path], str], visit: Callable[[str], Page], context: BrowserContext
) -> None:
    cache = tmp_path / "cache"
    url = serve(cache)
    page = visit(url)
    page.get_by_role("button", name="Make the demo").wait_for()
    train_a_tiny_one(page)
    page.get_by_role("button", name="Stop").wait_for()

    page.reload()  # the work is a process of its own: the page finds it again
    page.get_by_role("heading", name="Train a dictionary").wait_for()
    page.locator('[data-testid="stProgress"]').or_(page.get_by_text("Trained: tiny")).first.wait_for()
    page.close()  # and so does another tab

    page = visit(url + "/train")
    page.get_by_text("Trained: tiny").wait_for(timeout=2 * PATIENCE)
    page.get_by_role("button", name="Stop").wait_for(state="detached", timeout=2 * PATIENCE)
    store = sc.Store(cache)
    (run,) = sc.pipeline.runs(store)
    plain = {name for name, node in sc.pipeline.plan(run.config).items() if node.stage.name not in sc.pipeline.ON_REQUEST}
    assert set(run.open(store).outcomes) == plain, "every stage of a plain run was made"
    assert f"run={run.id}" in page.url

    page.get_by_test_id("stSidebarUserContent").get_by_role("link", name="Gallery").click()
    page.get_by_role("heading", level=1, name=re.compile("allery|atents")).wait_for()
    settled(page)
    page.locator("button[data-at]").first.click()
    page.wait_for_url(re.compile(r"/latent\?.*latent=\d+"))
    latent = int(re.findall(r"latent=(\d+)", page.url)[0])
    page.get_by_text(re.compile(rf"\b{latent}\b")).first.wait_for()
    assert "Traceback" not in text_of(page)

    page.get_by_test_id("stSidebarUserContent").get_by_role("link", name="Steer").click()
    page.get_by_role("heading", level=1, name=re.compile("Steer")).wait_for()
    settled(page)
    steer(page)


def steer(page: Page) -> None:
    """Turn the first slider up; the recipe that the page shows follows."""
    page.get_by_text("This very edit from the command line").click()
    recipe = page.locator("code").filter(has_text="--set").first
    before = recipe.inner_text()
    slider = page.get_by_role("slider").first
    at = float(slider.input_value())
    for _ in range(4):
        slider.press("ArrowLeft" if at > 1 else "ArrowRight")
    settled(page)
    assert float(page.get_by_role("slider").first.input_value()) != at
    page.wait_for_function("before => ![...document.querySelectorAll('code')].some(e => e.innerText === before)", arg=before)
    assert "Traceback" not in text_of(page)


def test_a_link_opens_the_latent_it_names(
    app: str, visit: Callable[[str], Page], two_runs: Path, other_run: sc.pipeline.Recorded
) -> None:
    run = other_run
    latent = int(run.open(sc.Store(two_runs)).load("collect").alive()[0])
    page = visit(f"{app}/latent?run={run.id}&latent={latent}")
    page.get_by_role("heading", name=re.compile(rf"Latent {latent}\b")).wait_for()
    settled(page)
    assert f"latent={latent}" in page.url
    assert f"run={run.id}" in page.url
    page.get_by_test_id("stSidebarUserContent").get_by_role("link", name="Overview").click()
    page.get_by_role("heading", name="Sketch SAE Lab").wait_for()
    page.wait_for_url(lambda url: "/latent" not in url and f"run={run.id}" in url)  # it stays in the address across pages


def test_stopping_keeps_what_was_done_and_resuming_goes_on_from_there(
    tmp_path: Path, serve: Callable[[Path], str], visit: Callable[[str], Page]
) -> None:
    cache = tmp_path / "cache"
    page = visit(serve(cache))
    train_a_tiny_one(page, steps=500_000)
    page.get_by_text("training the dictionary").first.wait_for(timeout=2 * PATIENCE)
    store = sc.Store(cache)
    until(page, lambda: [job for job in sc.jobs.all_jobs(store) if job.stage == "train" and job.step > 0], "a step of training")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Resume").wait_for()
    page.get_by_text("Stopped.").first.wait_for()
    (run,) = sc.pipeline.runs(store)
    (stopped,) = sc.jobs.all_jobs(store)
    assert (stopped.state, stopped.stage) == ("cancelled", "train")
    assert stopped.step > 0
    assert store.has(run.keys["embed:sketch"])
    assert not store.has(run.keys["train"])

    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Stop").wait_for()
    page.get_by_text("training the dictionary").first.wait_for(timeout=2 * PATIENCE)
    until(page, lambda: sc.jobs.read(store, stopped.id).events("train"), "an event of the resumed training")
    (resumed,) = sc.jobs.all_jobs(store)
    assert resumed.events("train")[0]["step"] >= stopped.step
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Resume").wait_for()


def test_thumbnails_are_buttons_for_the_keyboard_and_their_pictures_are_files(
    app: str, visit: Callable[[str], Page], small_run: sc.pipeline.Recorded
) -> None:
    page = visit(f"{app}/gallery?run={small_run.id}")
    first = page.locator("button[data-at]").first
    first.wait_for()
    assert first.get_attribute("aria-label")
    pictures = page.locator("button[data-at] img")
    page.wait_for_function(PAINTED, arg=["button[data-at] img", 8])
    assert pictures.count() >= 8
    assert all("/media/" in str(pictures.nth(i).get_attribute("src")) for i in range(pictures.count()))
    settled(page)
    first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/latent\?.*latent=\d+"))
