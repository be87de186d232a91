"""Photographs every page of a running app, wide and narrow, light and dark: `python -m tests.browser.shots --url URL --out DIR`.

For the eyes of whoever builds a page; nothing is compared.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.chromium import ARGUMENTS, CHROMIUM, IDLE

PAGES = ("", "train", "sweep", "zero_shot", "geometry", "gallery", "latent", "draw", "interpret", "steer", "publish")
WIDTHS = (1280, 390)
TALL = {1280: 2000, 390: 3400}


def main() -> int:
    """Take the pictures; the exit code is 1 when a page wrote an error to the console."""
    parser = argparse.ArgumentParser(description="Photograph every page of a running app.")
    parser.add_argument("--url", default="http://localhost:8501")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pages", nargs="*", default=list(PAGES), help="page paths; an empty one is the overview")
    parser.add_argument("--query", default="", help="such as latent=7")
    parser.add_argument("--wait", type=float, default=4.0, help="seconds a page gets to settle")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    args.out.mkdir(parents=True, exist_ok=True)
    faults: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        for scheme in ("light", "dark"):
            for width in WIDTHS:
                context = browser.new_context(viewport={"width": width, "height": TALL[width]}, color_scheme=scheme)
                for name in args.pages:
                    page = context.new_page()
                    page.on(
                        "console",
                        lambda m: faults.append(m.text) if m.type == "error" and "_stcore" not in m.location["url"] else None,
                    )
                    page.goto(f"{args.url}/{name}" + (f"?{args.query}" if args.query else ""))
                    page.wait_for_selector("h1", timeout=60_000)
                    page.wait_for_timeout(1000 * args.wait)
                    page.wait_for_selector(IDLE, timeout=120_000)
                    page.wait_for_timeout(1000)
                    page.screenshot(path=args.out / f"{name or 'overview'}-{width}-{scheme}.png")
                    page.close()
                context.close()
        browser.close()
    print(*faults, sep="\n", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
