"""A loopback Hub that the client believes to be the Hub, and a small finished run to publish."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

import sae_core as sc
from sae_core.publish.hub.client import Patience
from tests.publish.loopback_hub import TOKEN, LoopbackHub

ROOT = Path(__file__).parents[3]
SMALL = [
    "name=small",
    "data.sketch.n=280",
    "data.photo.n=280",
    "sae.width=64",
    "sae.architecture.k=6",
    "sae.batch_size=64",
    "sae.steps=60",
    "evaluate.bootstrap=100",
    "evaluate.templates={sketch: ['a sketch of a {}'], photo: ['a picture of a {}']}",
    "interpret.templates=['{}']",
    "interpret.random_directions=50",
    "visualize.latents.strongest=1",
    "steer.random_directions=4",
]


@pytest.fixture(scope="session")
def small_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with one finished run. Tests only read it."""
    cache = tmp_path_factory.mktemp("published") / "cache"
    sc.run(sc.load_config(ROOT / "configs" / "demo.yaml", SMALL), cache=cache)
    return cache


@pytest.fixture
def small_run(small_cache: Path) -> sc.pipeline.Run:
    """The finished run."""
    store = sc.Store(small_cache)
    return sc.pipeline.runs(store)[0].open(store)


@pytest.fixture
def waits() -> list[float]:
    """How long our own retries waited."""
    return []


@pytest.fixture
def patience(waits: list[float]) -> Patience:
    """Tries as often as ever, and waits no time."""
    return Patience(sleep=waits.append)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    """The Hub, with a token that may write in the environment. The client's own waits take no time."""
    with LoopbackHub() as server:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}")
        # The client of 2.4 takes the Xet protocol whenever it is installed, whatever the server offers.
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "no-tokens"))
        monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        yield server
