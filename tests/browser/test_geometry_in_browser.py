"""In a real browser: from a run without verdicts to the map of its latents, and from a point on it to the latent's card."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import sae_core as sc
from tests.browser.waiting import stay

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page


def test_a_point_of_the_map_opens_its_latent(
    two_runs: Path, small_run: sc.pipeline.Recorded, app: str, visit: Callable[[str], Page]
) -> None:
    table = small_run.open(sc.Store(two_runs)).load("geometry").latents
    page = visit(f"{app}/geometry?run={small_run.id}")
    page.get_by_text("What this supports").wait_for()
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    chart = page.locator(".js-plotly-plot", has_text="semantic effect").first
    point = chart.locator(".scatterlayer path.point").first
    point.wait_for(state="attached")
    box = stay(point)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    # Plotly's own layer lies over its points and takes the mouse: not the point but this place is clicked.
    page.mouse.move(x, y)
    chart.locator(".hoverlayer .hovertext").first.wait_for()
    page.mouse.click(x, y)
    page.wait_for_url(re.compile(r"/latent\b"))
    page.get_by_role("heading", level=1).wait_for()
    page.wait_for_url(re.compile(r"latent=\d+"))
    latent = int(parse_qs(urlsplit(page.url).query)["latent"][0])
    assert latent in set(table.loc[table["verdict"] != "untested", "latent"])
