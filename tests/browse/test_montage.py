"""Montages: the right pictures in the right places, and what a latent that fires rarely or never gets."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sae_core.activations.index import Activations
from sae_core.activations.writer import Rows, Writer
from sae_core.browse.montage import GAP, latent_montage
from sae_core.config import DrawnSource
from sae_core.data import manifest as manifest_stage
from sae_core.data.manifest import Manifest
from sae_core.errors import InputError

N = 120
Opened = tuple[Activations, dict[str, Manifest]]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Latent 0 fires on images 4, 2, 9, 7 and 1, of which 2 and 9 are near-duplicates; latent 1 on one; latent 2 never."""
    root = tmp_path_factory.mktemp("montage")
    manifest = manifest_stage.run(DrawnSource(n=N, rendering="sketch"), None, root / "manifest")
    z = np.zeros((N, 3), dtype=np.float32)
    z[[4, 2, 9, 7, 1], 0] = [5, 4, 3, 2, 1]
    z[6, 1] = 1.0
    group = np.arange(N)
    group[9] = 2
    (root / "collect").mkdir()
    writer = Writer(root / "collect", 3)
    writer.append(np.tile(np.arange(3), (N, 1)), z)
    splits = manifest.table["split"].to_numpy(dtype=str)
    writer.finish([Rows("sketch", np.arange(N), splits, manifest.labels, group)], {})
    return Activations.load(root / "collect"), {"sketch": Manifest.load(Path(root / "manifest"))}


def tiles(data: bytes, side: int, across: int = 2) -> list[np.ndarray]:
    """The places of a montage, row by row, as grey numbers."""
    sheet = np.asarray(Image.open(io.BytesIO(data)).convert("L"), dtype=float)
    assert sheet.shape == (across * side + (across - 1) * GAP,) * 2
    step = side + GAP
    return [sheet[r * step : r * step + side, c * step : c * step + side] for r in range(across) for c in range(across)]


def test_the_strongest_stand_in_their_order_and_near_duplicates_once(opened: Opened) -> None:
    side = 64
    data = latent_montage(*opened, 0, side=side)
    assert data is not None
    for tile, image in zip(tiles(data, side), [4, 2, 7, 1], strict=True):
        likeness = {}
        for other in range(N):
            drawing = Image.open(io.BytesIO(opened[1]["sketch"].thumbnail(other))).convert("L").resize((side, side))
            likeness[other] = np.corrcoef(tile.ravel(), np.asarray(drawing, dtype=float).ravel())[0, 1]
        assert max(likeness, key=likeness.__getitem__) == image


def test_places_without_an_image_are_white_and_a_dead_latent_has_no_montage(opened: Opened) -> None:
    data = latent_montage(*opened, 1)
    assert data is not None
    first, *others = tiles(data, 96)
    assert first.min() < 128
    assert all(tile.min() >= 250 for tile in others)
    assert latent_montage(*opened, 2) is None


def test_equal_montages_are_equal_bytes_and_nonsense_is_refused(opened: Opened) -> None:
    assert latent_montage(*opened, 0) == latent_montage(*opened, 0)
    with pytest.raises(InputError, match="at least 1"):
        latent_montage(*opened, 0, across=0)
    with pytest.raises(InputError, match="no latent 3"):
        latent_montage(*opened, 3)
