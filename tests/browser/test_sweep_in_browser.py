"""A visitor sweeps a small grid, reloads in the middle, sees the plot, and takes a member on to the train page."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import sae_core as sc
from benchmarks.chromium import settled
from tests.browser.test_click_through import text_of
from tests.browser.waiting import PATIENCE, expect

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_from_a_grid_to_a_member_on_the_train_page(
    tmp_path: Path, serve: Callable[[Path], str], visit: Callable[[str], Page], tiny: Path
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(tiny, cache)
    page = visit(serve(cache) + "/sweep")
    page.get_by_role("button", name="Sweep the demo").wait_for()
    page.get_by_text(re.compile(r"dictionaries: 4 TopK, 4 BatchTopK, 4 PCA")).last.wait_for()
    page.get_by_role("button", name="Start the sweep").click()
    page.get_by_text("Training the grid").first.wait_for()

    page.reload()  # the work is a process of its own: the page finds it again, or what it made
    page.get_by_text(re.compile(r"12 dictionaries, \d+ of them on the front")).wait_for(timeout=2 * PATIENCE)
    settled(page)
    store = sc.Store(cache)
    (swept,) = [run for run in sc.pipeline.runs(store) if run.config.sweep is not None]
    page.wait_for_url(lambda url: f"sweep={swept.id}" in url)
    expect(page.locator(".js-plotly-plot .scatterlayer .point")).to_have_count(12, timeout=PATIENCE)  # every member
    expect(page.locator(".js-plotly-plot .legendtext")).to_have_text(
        ["Pareto front", "TopK", "BatchTopK", "PCA"], timeout=PATIENCE
    )

    page.get_by_role("button", name="Use this one").click()
    page.get_by_role("heading", name="Train a dictionary").wait_for()
    page.wait_for_url(lambda url: "member=" in url)
    member = re.findall(r"member=([\w.-]+)", page.url)[0]
    name = page.get_by_label("Name of the run", exact=True)
    expect(name).to_have_value(f"small {member}", timeout=PATIENCE)
    expect(page.get_by_label("k", exact=True)).to_have_value(re.findall(r"-k(\d+)-", member)[0], timeout=PATIENCE)
    settled(page)
    assert "Traceback" not in text_of(page)
    page.reload()  # the address holds the choice
    expect(name).to_have_value(f"small {member}", timeout=PATIENCE)
