"""The benchmark of a visitor's waits on the small run: it measures everything, prints its table, and bounds what is sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sae_core as sc
from benchmarks import browser as waits
from benchmarks.chromium import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_every_wait_is_measured_and_a_gallery_page_is_light(
    browser: Browser, server: Server, two_runs: Path, small_run: sc.pipeline.Recorded, tmp_path: Path
) -> None:
    with waits.serving_empty(tmp_path) as empty:
        found = waits.measure(browser, server, empty, small_run.open(sc.Store(two_runs)), visits=2)
    print(waits.table([found], "**The small run of the tests.**"))
    assert set(found.found) == {*waits.LIMITS, "empty"}, "every quantity of the table"
    assert all(len(values) == 2 and min(values) > 0 for values in found.found.values())
    assert found.first > 0
    assert max(found.found["bytes"]) <= waits.LIMITS["bytes"]
    assert max(found.found["paging bytes"]) <= waits.LIMITS["paging bytes"]


def test_the_table_gives_each_runs_median_and_worst() -> None:
    one = waits.Waits(1000, 64, first=3.0, memory=(100.0, 150.0), found={"gallery": [0.5, 0.9, 0.7], "bytes": [20.0, 30.0]})
    lines = waits.rows([one])
    assert lines[0] == ["gallery page ready, s", "2", "0.70", "0.90"]
    assert lines[1][1:] == ["", "", ""], "no bar, and not measured"
    assert lines[2][2:] == ["25.0", "30.0"]
    assert lines[4][2:] == ["", ""], "what was not measured is left empty"
    assert lines[-1][2] == "100 to 150"
