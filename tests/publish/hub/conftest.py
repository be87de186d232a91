"""A loopback Hub that the client believes to be the Hub, and a small finished run to publish."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import sae_core as sc
from sae_core.publish.hub.client import Patience
from tests.publish.hub_client import taken_for_the_hub
from tests.publish.loopback_hub import TOKEN, LoopbackHub


@pytest.fixture
def small_run(demo_cache: Path) -> sc.pipeline.Run:
    """The finished run."""
    store = sc.Store(demo_cache)
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
    with taken_for_the_hub(monkeypatch, tmp_path, TOKEN) as server:
        yield server
