"""Fixtures every test may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from tests import caches

settings.register_profile("patient", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("patient")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Why a test in the browser was tried again: without it a second try that passes would hide the fault."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"failed once: {report.nodeid}")
        terminalreporter.line(report.longreprtext)


@pytest.fixture(scope="session", autouse=True)
def visitors_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test makes as a stranger does not land in the home folder of whoever runs it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SAE_LAB_VISITORS", str(tmp_path_factory.mktemp("strangers") / "visitors"))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data for tests (`SAE_LAB_SHARED`, else `../shared/data`); skips where it is absent."""
    place = Path(os.environ.get("SAE_LAB_SHARED", Path(__file__).parents[2] / "shared" / "data"))
    for folder in (place, place / "data"):
        if (folder / "design-patents-2007").is_dir():
            return folder.resolve()
    pytest.skip(f"no real test data in {place} (set SAE_LAB_SHARED)")


@pytest.fixture
def captioned_arrays(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of precomputed embeddings: `n` images around 12 centres in `d` dimensions, each with a caption."""

    def make(n: int = 240, d: int = 16, seed: int = 0, name: str = "arrays") -> Path:
        rng = np.random.default_rng(seed)
        centres = rng.normal(size=(12, d))
        which = np.arange(n) % 12
        folder = tmp_path / name
        folder.mkdir()
        np.save(folder / "image_embeddings.npy", (centres[which] + 0.3 * rng.normal(size=(n, d))).astype(np.float32))
        np.save(folder / "text_embeddings.npy", (centres[which] + 0.1 * rng.normal(size=(n, d))).astype(np.float32))
        files, captions = [f"{i}.png" for i in range(n)], [f"thing {w}" for w in which]
        pd.DataFrame({"row": range(n), "file": files, "caption": captions}).to_csv(folder / "metadata.csv", index=False)
        return folder

    return make


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of pytest-xdist see; without workers, this session's own."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def demo_cache(shared_folder: Path) -> Path:
    """A cache with one finished run, the demo made small. Shared: tests only read it."""
    return caches.made_once(shared_folder / "demo", caches.make_demo)


@pytest.fixture(scope="session")
def sweep_cache(demo_cache: Path, shared_folder: Path) -> Path:
    """The demo's cache with a small sweep of its data. Shared: tests only read it."""
    return caches.made_once(shared_folder / "sweep", lambda cache: caches.make_sweep(demo_cache, cache))


@pytest.fixture(scope="session")
def judged_cache(demo_cache: Path, shared_folder: Path) -> Path:
    """The demo's cache with its geometry and map of directions, and those of a dictionary that saw photos alone.

    Shared: tests only read it.
    """
    return caches.made_once(shared_folder / "judged", lambda cache: caches.make_judged(demo_cache, cache))
