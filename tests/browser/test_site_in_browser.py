"""The static site in a real Chromium: opened from a disk with the network cut, and below a path of a web server."""

from __future__ import annotations

import dataclasses
import functools
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sae_core as sc

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

VIEWS = ("#/gallery", "#/latent/{alive}", "#/latent/{dead}", "#/maps/shift", "#/maps/directions", "#/maps/geometry", "#/report")
EVIL = "</script><img src=x onerror=\"document.title='taken'\"><b>bold</b>"


@pytest.fixture(scope="module")
def run(two_runs: Path, small_run: sc.pipeline.Recorded) -> sc.pipeline.Run:
    return small_run.open(sc.Store(two_runs))


@pytest.fixture(scope="module")
def site(run: sc.pipeline.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run with everything, as a site; its folder has a space in its name."""
    return sc.write_site(run, tmp_path_factory.mktemp("static") / "my site").out


@pytest.fixture
def disk(context: BrowserContext) -> Iterator[Callable[..., Page]]:
    """Opens a site's address from the disk, offline; fails on a request elsewhere or an error in the console."""
    faults: list[str] = []
    context.set_offline(True)
    context.on("request", lambda request: None if request.url.startswith("file://") else faults.append(request.url))

    def open_(site: Path, address: str = "") -> Page:
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{(site / 'index.html').as_uri()}{address}")
        page.wait_for_selector("html.ready")
        return page

    yield open_
    assert faults == []


def heading(page: Page, said: str) -> None:
    page.wait_for_selector(f"h1:visible:has-text('{said}')")


def some(run: sc.pipeline.Run) -> dict[str, int]:
    """A latent that fires and one that does not (else one that is not there)."""
    acts = run.load("collect")
    silent = [j for j in range(acts.m) if j not in set(acts.alive().tolist())]
    return {"alive": int(acts.strongest(1)[0]), "dead": silent[0] if silent else acts.m}


def shown(page: Page) -> list[int]:
    return [int(one.get_attribute("data-latent") or -1) for one in page.query_selector_all(".tile")]


def test_search_filter_sort_and_pages(disk: Callable[..., Page], site: Path, run: sc.pipeline.Run) -> None:
    acts, names = run.load("collect"), run.load("interpret")
    page = disk(site)
    heading(page, "Latents")
    assert shown(page) == acts.strongest(48).tolist()
    page.wait_for_function(
        "[...document.querySelectorAll('.tile img')].slice(0, 6).every((one) => one.complete && one.naturalWidth)"
    )
    page.select_option("#sort", "id")
    assert shown(page)[:10] == acts.alive()[:10].tolist()
    page.fill("#q", "#12")
    assert shown(page) == [12]
    labelled = next((j for j in acts.alive().tolist() if names.label(j)), None)
    if labelled is not None:
        word = str(names.label(labelled))
        page.fill("#q", word.upper())
        assert labelled in shown(page)
        assert all(word in page.inner_text(f"[data-latent='{j}']") or j != labelled for j in shown(page))
    page.fill("#q", "no latent is called this")
    page.wait_for_selector("text=No latent passes.")
    page.click("text=start again")
    page.wait_for_selector(".tile")
    assert page.input_value("#q") == ""
    page.click("#groups button:has-text('all')")
    assert page.inner_text(".told").startswith(f"{acts.m} latents")
    if acts.m > 48:
        pages = -(-acts.m // 48)
        page.click("#page-after")
        page.wait_for_selector(f".told:has-text('page 2 of {pages}')")
        page.go_back()
        page.wait_for_selector(f".told:has-text('page 1 of {pages}')")
    page.fill("#low", "5")
    rates = acts.stats["rate"]
    assert sorted(shown(page)) == [j for j in range(acts.m) if rates[j] >= 0.05][:48] or len(shown(page)) == 48
    verdicts = run.load("geometry").latents
    one = str(verdicts["verdict"].iat[0])
    page.fill("#low", "")
    page.select_option("#verdict", one)
    own = set(verdicts.loc[verdicts["verdict"] == one, "latent"].tolist())
    assert set(shown(page)) <= own


def test_the_keyboard_alone_reaches_a_card_and_comes_back(disk: Callable[..., Page], site: Path) -> None:
    page = disk(site)
    heading(page, "Latents")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.focus(".tile")
    first, second = shown(page)[:2]
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Number(document.activeElement.dataset.latent)") == second
    page.keyboard.press("Enter")
    page.wait_for_selector("h2:has-text('Strongest images')")
    assert page.evaluate("location.hash") == f"#/latent/{second}"
    assert page.evaluate("document.activeElement.tagName") == "H1", "what was opened is read out"
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"location.hash === '#/latent/{first}'")
    page.keyboard.press("r")
    page.wait_for_function(f"location.hash !== '#/latent/{first}'")
    page.go_back()
    page.go_back()
    page.wait_for_function(f"location.hash === '#/latent/{second}'")
    page.go_back()
    heading(page, "Latents")


def test_back_returns_to_the_place_in_the_list(disk: Callable[..., Page], site: Path) -> None:
    page = disk(site, "#/gallery?sort=id")
    page.wait_for_selector(".tile")
    last = shown(page)[-1]
    page.locator(f"[data-latent='{last}']").scroll_into_view_if_needed()
    page.wait_for_function("scrollY > 100")
    before = page.evaluate("scrollY")
    page.click(f"[data-latent='{last}']")
    page.wait_for_selector("h2:has-text('Strongest images')")
    assert page.evaluate("scrollY") == 0
    page.go_back()
    page.wait_for_selector(f"[data-latent='{last}']")
    page.wait_for_function(f"Math.abs(scrollY - {before}) < 50")
    assert page.evaluate("Number(document.activeElement.dataset.latent)") == last


def test_a_card_shows_all_there_is(disk: Callable[..., Page], site: Path, run: sc.pipeline.Run) -> None:
    acts, latent = run.load("collect"), some(run)["alive"]
    page = disk(site, f"#/latent/{latent}")
    page.wait_for_selector("h2:has-text('Related latents')")
    for domain in acts.domains:
        side = page.locator(".side", has=page.locator(f"h3:has-text('{domain}')")).first
        assert side.locator("figure.picture").count() == len(acts.top(latent, 12, domain=domain))
    assert page.locator(".band").count() == 6
    assert page.locator("svg.plot rect").count() > 0
    loaded = "[...document.querySelectorAll('.picture image')].length"
    assert page.evaluate(loaded) > 10
    near = page.locator(".mini").first
    target = near.get_attribute("href")
    near.click()
    page.wait_for_function(f"location.hash === '{target}'")
    page.wait_for_selector("h2:has-text('Related latents')")
    assert "null" not in page.inner_text("main")
    assert "undefined" not in page.inner_text("main")


def test_addresses_that_lead_nowhere_say_so(disk: Callable[..., Page], site: Path) -> None:
    for address in ("#/latent/99999", "#/latent/-1", "#/latent/x%00", "#/latent/../../etc"):
        heading(disk(site, address), "No such latent")
    for address in ("#/nothing", "#/gallery?sort=__proto__&page=-3&group=%3Cb%3E&low=x&cls=y", "#/gallery?page=1e9"):
        page = disk(site, address)
        heading(page, "Latents")
        assert shown(page)
    heading(disk(site, "#/maps/nothing?colour=constructor"), "Maps")


def test_maps_by_mouse_keyboard_and_table(disk: Callable[..., Page], site: Path, run: sc.pipeline.Run) -> None:
    for kind in ("shift", "directions", "geometry"):
        page = disk(site, f"#/maps/{kind}")
        page.wait_for_selector(".points > *")
        for colour in page.eval_on_selector_all("#colour option", "all => all.map((one) => one.value)"):
            page.select_option("#colour", colour)
            page.wait_for_selector(".points > *")
            assert page.locator(".legend li").count() >= 1
        page.focus("svg.map")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert "latent" in page.inner_text(".bubble") or page.inner_text(".bubble")[0].isdigit()
        assert page.inner_text("#said") != ""
        page.click("text=/As a table/")
        page.wait_for_selector(".as-table tbody tr")
        rows = page.locator(".as-table tbody tr").count()
        assert rows == min(200, page.locator(".points > *").count())
        page.focus("svg.map")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        page.wait_for_function("location.hash.startsWith('#/latent/')")
        page.close()
    page = disk(site, "#/maps/directions")
    point = page.locator(".points > *").last
    box = point.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("h2")
    assert page.evaluate("location.hash").startswith("#/latent/")


def test_the_report_and_the_theme(disk: Callable[..., Page], site: Path) -> None:
    page = disk(site, "#/report")
    heading(page, "Report")
    page.click("text=Provenance")
    assert page.evaluate("location.hash") == "#provenance"
    assert page.is_visible("#provenance table >> nth=0")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark", "the choice is kept"


def test_without_javascript_the_report_is_there(browser: Browser, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    assert page.is_visible("noscript p")
    assert page.is_visible("#zero-shot table >> nth=0")
    assert not page.is_visible("nav.views")
    context.close()


def test_a_site_that_was_copied_in_part_says_so(browser: Browser, site: Path, tmp_path: Path) -> None:
    import shutil

    half = tmp_path / "half"
    shutil.copytree(site, half)
    (half / "data" / "cards-000.js").unlink()
    page = browser.new_page()
    page.goto(f"{(half / 'index.html').as_uri()}#/latent/1")
    page.wait_for_selector("text=cards-000.js cannot be read; the site is not complete")
    (half / "data" / "about.js").unlink()
    page.reload()
    page.wait_for_selector("text=data/about.js cannot be read; copy its whole folder again")
    page.close()


def test_hostile_names_are_text(disk: Callable[..., Page], run: sc.pipeline.Run, tmp_path: Path) -> None:
    names = run.load("interpret")
    latent = some(run)["alive"]
    table = names.table.copy()
    table["label"], table["status"], table["candidate"], table["reason"] = EVIL, "ok", EVIL, EVIL
    dataclasses.replace(names, table=table).save(tmp_path)
    outcomes = {**run.outcomes, "interpret": dataclasses.replace(run.outcomes["interpret"], path=tmp_path)}
    out = sc.write_site(dataclasses.replace(run, outcomes=outcomes), tmp_path / "site").out
    for address in ("", f"#/latent/{latent}", "#/maps/shift", "#/report"):
        page = disk(out, address)
        page.wait_for_selector("h1:visible")
        if address.startswith("#/maps"):
            page.focus("svg.map")
            page.keyboard.press("ArrowRight")
        assert page.title() != "taken"
        assert page.locator("img[onerror], main b").count() == 0
        assert EVIL in (page.text_content("body") or "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(scheme: str, browser: Browser, site: Path, run: sc.pipeline.Run) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    context = browser.new_context(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    context.set_default_timeout(120_000)
    page, found = context.new_page(), []
    for view in VIEWS:
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 3000})
            page.goto("about:blank")
            page.goto(f"{(site / 'index.html').as_uri()}{view.format(**some(run))}")
            page.wait_for_selector("html.ready h1:visible")
            page.wait_for_function(
                "!document.querySelector('h1').textContent.startsWith('Loading') || !document.querySelector('#report').hidden"
            )
            for closed in page.query_selector_all("#view details:not([open]) summary"):
                closed.click()
            # Nothing may be wider than the window.
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            found += [f"{view} at {width}: {wide} pixels too wide"] if wide > 0 else []
            result: dict[str, Any] = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response
            assert result["passes"], "axe looked at something"
            found += [f"{view} at {width}: {one['id']}: {one['nodes'][0]['target']}" for one in result["violations"]]
    context.close()
    assert found == []


def test_below_a_path_of_a_web_server(context: BrowserContext, site: Path, run: sc.pipeline.Run) -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Says nothing."""

    handler = functools.partial(Quiet, directory=str(site.parent))
    asked: list[str] = []
    faults: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}/"
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("response", lambda one: faults.append(one.url) if one.status >= 400 and "favicon" not in one.url else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{root}my%20site/#/latent/{some(run)['alive']}")
        page.wait_for_selector("h2:has-text('Related latents')")
        page.click(".views a:has-text('Gallery')")
        page.wait_for_selector(".tile img")
        page.wait_for_function("document.querySelector('.tile img').naturalWidth > 0")
        server.shutdown()
    assert faults == []
    assert [url for url in asked if not url.startswith(f"{root}my%20site/") and "favicon" not in url] == []
    assert re.search(r"cards-\d+\.js", " ".join(asked))
