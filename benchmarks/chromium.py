"""The app on a free port, and a real Chromium that looks at it."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.workers import ROOT
from sae_core.errors import InputError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'
"""Matches when the page's script has run."""

# Components draw into shadow roots, which a plain querySelectorAll does not see.
DEEP = """
const deep = (root, selector) => [...root.querySelectorAll(selector),
  ...[...root.querySelectorAll('*')].filter((e) => e.shadowRoot).flatMap((e) => deep(e.shadowRoot, selector))];
const painted = (selector, least) => {
  const inSight = deep(document, selector).filter((image) => {
    const box = image.getBoundingClientRect();
    return box.width > 0 && box.bottom > 0 && box.top < innerHeight;
  });
  return inSight.length >= least && inSight.every((image) => image.complete && image.naturalWidth > 0);
};
"""
"""JavaScript: what matches a selector, shadow roots included; whether enough pictures are in sight and all of them loaded."""
PAINTED = "([selector, least]) => {" + DEEP + "return painted(selector, least); }"


@dataclass(frozen=True)
class Server:
    """A running app: where, and its process."""

    url: str
    pid: int

    def memory(self) -> float:
        """Resident memory in MiB."""
        import psutil

        return float(psutil.Process(self.pid).memory_info().rss / 2**20)


@contextmanager
def serving(cache: Path, log: Path, script: Path = ROOT / "app.py", **environment: str) -> Iterator[Server]:
    """The app (or another Streamlit script) on a free port of this machine, its output in `log`; ended when the block is left.

    Raises: InputError when the app does not answer within three minutes.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port), "--server.headless", "true"]
    known = {**os.environ, "SAE_LAB_CACHE": str(cache), "OMP_NUM_THREADS": "1", **environment}
    with log.open("ab") as out:
        process = subprocess.Popen([*command, "--server.address", "127.0.0.1"], cwd=ROOT, env=known, stdout=out, stderr=out)
        try:
            _wait_for(port, process, log)
            yield Server(f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            line.request("GET", "/_stcore/health")
            if line.getresponse().status == http.client.OK:
                return
        except OSError:
            time.sleep(0.2)
        finally:
            line.close()
    raise InputError(f"the app did not answer on port {port}: its log is {log}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless. Raises InputError where there is none."""
    if not CHROMIUM.is_file():
        raise InputError(f"no Chromium at {CHROMIUM}; install the chromium package, or set CHROMIUM")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise InputError("playwright is not installed: pip install -r requirements-dev.txt") from None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


def settled(page: Page, wait: int = 300) -> None:
    """Wait until the script has run; `wait` milliseconds are what it gets to begin, and to begin once more."""
    for _ in range(2):
        page.wait_for_timeout(wait)
        page.wait_for_selector(IDLE)
