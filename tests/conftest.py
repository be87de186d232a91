"""Fixtures every test may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest


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
