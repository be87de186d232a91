"""In a real browser: from a run without verdicts to the map of its latents, and from a point on it to the latent's card."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

import sae_core as sc
from tests.browser.conftest import ROOT, TINY

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def judged(tiny: Path) -> Path:
    """The small run with its geometry."""
    config = sc.load_config(ROOT / "configs" / "demo.yaml", [*TINY, "geometry.draws=200"])
    sc.pipeline.run("geometry", config, sc.Store(tiny))
    return tiny


def test_a_point_of_the_map_opens_its_latent(judged: Path, serve: Callable[[Path], str], visit: Callable[[str], Page]) -> None:
    run = next(one for one in sc.pipeline.runs(sc.Store(judged)) if "geometry" in one.open(sc.Store(judged)).outcomes)
    table = run.open(sc.Store(judged)).load("geometry").latents
    page = visit(f"{serve(judged)}/geometry?run={run.id}")
    page.get_by_text("What this supports").wait_for()
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    chart = page.locator(".js-plotly-plot", has_text="semantic effect").first
    point = chart.locator(".scatterlayer path.point").first
    point.wait_for(state="attached")
    box = None
    while box is None or box != point.bounding_box():  # what stands above may still be growing
        point.scroll_into_view_if_needed()
        box = point.bounding_box()
        page.wait_for_timeout(1000)
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
