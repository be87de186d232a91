"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data for tests (`SAE_LAB_SHARED`, else `../shared/data`); skips where it is absent."""
    place = Path(os.environ.get("SAE_LAB_SHARED", Path(__file__).parents[2] / "shared" / "data"))
    for folder in (place, place / "data"):
        if (folder / "design-patents-2007").is_dir():
            return folder.resolve()
    pytest.skip(f"no real test data in {place} (set SAE_LAB_SHARED)")
