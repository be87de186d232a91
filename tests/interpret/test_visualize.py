"""Grids of real drawings: which files come, what they say, what they show."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sae_core.activations.index import Activations
from sae_core.activations.writer import Rows, Writer
from sae_core.config import ArraySource, DrawnSource, Latents, Runtime, VisualizeConfig
from sae_core.data import manifest as manifest_stage
from sae_core.data.manifest import Manifest
from sae_core.errors import Cancelled, InputError
from sae_core.interpret import visualize
from sae_core.interpret.records import FIELDS, Names, frame
from sae_core.interpret.visualize import Grids, choose, drawable, percent
from sae_core.progress import Event, silent
from sae_core.store import Inputs

M = 12
NEVER = 11


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Drawings, photo-like pictures and embeddings without pictures; latent j fires on a few rows of each domain."""
    root = tmp_path_factory.mktemp("visualize")
    arrays = root / "arrays"
    arrays.mkdir()
    rng = np.random.default_rng(0)
    np.save(arrays / "image_embeddings.npy", rng.normal(size=(10, 512)).astype(np.float32))
    files = [f"{i}.png" for i in range(10)]
    pd.DataFrame({"file": files, "caption": ["an outsole for a shoe"] * 10}).to_csv(arrays / "metadata.csv", index=False)
    sources = {
        "sketch": DrawnSource(n=120, rendering="sketch"),
        "photo": DrawnSource(n=120, rendering="photo"),
        "texts": ArraySource(path=str(arrays)),
    }
    paths: dict[str, Path] = {}
    tables = []
    for name, source in sources.items():
        paths[f"manifest:{name}"] = root / "manifest" / name
        manifest = manifest_stage.run(source, None, paths[f"manifest:{name}"])
        group = np.arange(manifest.n) // (2 if name == "sketch" else 1)
        tables.append(Rows(name, np.arange(manifest.n), manifest.table["split"].to_numpy(dtype=str), manifest.labels, group))
    z = np.zeros((250, M), dtype=np.float32)
    z[[0, 1, 121, 245], 3] = [4.0, 3.0, 2.0, 1.0]  # rows 0 and 1 are near-duplicates
    z[:, 5] = np.linspace(1, 2, 250)
    z[7, 0] = 0.5
    paths["activations"] = root / "collect"
    paths["activations"].mkdir()
    writer = Writer(paths["activations"], M)
    writer.append(np.tile(np.arange(M), (250, 1)), z)
    writer.finish(tables, {})
    paths["names"] = root / "interpret"
    paths["names"].mkdir()
    record = dict.fromkeys(FIELDS)
    numbers = {"positives": 9, "negatives": 9, "alternatives": [], "top_images": []}
    Names(frame([{**record, **numbers, "latent": 3, "status": "ok", "label": "parallel lines"}]), {}).save(paths["names"])
    return Inputs(paths)


def make(inputs: Inputs, folder: Path, **config: object) -> Grids:
    return visualize.run(VisualizeConfig(**config), inputs, folder, silent, Runtime())  # type: ignore[arg-type]


def test_files_and_index(inputs: Inputs, tmp_path: Path) -> None:
    (tmp_path / "latent_0777.png").write_bytes(b"left by a killed attempt")
    grids = make(inputs, tmp_path, latents=Latents(ids=(3, 0, 3)), images=4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.json", "latent_0000.png", "latent_0003.png"]
    again = Grids.load(tmp_path)
    assert again.latents == grids.latents == [3, 0]
    assert again.metrics() == {"grids": 2.0, "grids_of_dead": 0.0}
    assert again.path(3) == tmp_path / "latent_0003.png"
    entry = json.loads((tmp_path / "index.json").read_text())["latents"][0]
    assert (entry["label"], entry["count"], entry["rate"], entry["max"]) == ("parallel lines", 4, pytest.approx(4 / 250), 4.0)
    assert entry["domains"] == {
        "sketch": {"count": 2, "rate": pytest.approx(2 / 120)},
        "photo": {"count": 1, "rate": pytest.approx(1 / 120)},
        "texts": {"count": 1, "rate": pytest.approx(0.1)},
    }
    shown = [(one["domain"], one["image"], one["value"], one["copies"]) for one in entry["shown"]]
    assert shown == [("sketch", 0, 4.0, 2), ("photo", 1, 2.0, 1), ("texts", 5, 1.0, 1)]
    with pytest.raises(InputError, match=r"latent 5 has no grid"):
        again.path(5)


def test_a_grid_holds_its_pictures(inputs: Inputs, tmp_path: Path) -> None:
    cell = 64
    sheet = Image.open(make(inputs, tmp_path, latents=Latents(ids=(3,)), cell=cell, columns=3).path(3)).convert("RGB")
    pixels = np.asarray(sheet)
    drawing = np.asarray(Manifest.load(inputs["manifest:sketch"]).image(0).convert("L"), dtype=float)
    # The first tile is framed in the sketches' blue; find its corner, then compare what is inside with the drawing.
    blue = (pixels == (0x1B, 0x6C, 0xA8)).all(axis=2)
    rows = np.flatnonzero(blue.sum(axis=1) >= cell)
    columns = np.flatnonzero(blue[rows[0]])
    top, left = rows[0] + 2, columns[0] + 2
    tile = np.asarray(
        Image.fromarray(pixels[top : top + cell - 4, left : left + cell - 4]).convert("L").resize((64, 64)), dtype=float
    )
    assert np.corrcoef(tile.ravel(), drawing.ravel())[0, 1] > 0.9
    orange = (pixels == (0xD1, 0x72, 0x2E)).all(axis=2)
    assert (orange.sum(axis=1) >= cell).any()


@pytest.mark.parametrize("columns", [1, 4, 16])
@pytest.mark.parametrize("cell", [32, 112])
def test_headings_fit(inputs: Inputs, tmp_path: Path, columns: int, cell: int) -> None:
    sheet = Image.open(make(inputs, tmp_path, latents=Latents(ids=(5,)), columns=columns, cell=cell, images=3).path(5))
    dark = np.asarray(sheet.convert("L")) < 128
    # Text that ran over the edge would leave ink in the outermost columns.
    assert dark.any()
    assert not dark[:, :4].any()
    assert not dark[:, -4:].any()


def test_never_fires(inputs: Inputs, tmp_path: Path) -> None:
    grids = make(inputs, tmp_path, latents=Latents(ids=(NEVER,)))
    assert grids.metrics() == {"grids": 1.0, "grids_of_dead": 1.0}
    assert grids.index["latents"][0]["shown"] == []
    with Image.open(grids.path(NEVER)) as sheet:
        assert np.asarray(sheet.convert("L")).min() < 128


def test_which_latents(inputs: Inputs) -> None:
    acts = Activations.load(inputs["activations"])
    assert choose(Latents(strongest=2), acts).tolist() == [5, 3]
    assert choose(Latents(), acts).tolist() == [0, 3, 5]
    assert choose(Latents(ids=(9, 2, 9)), acts).tolist() == [9, 2]
    with pytest.raises(InputError, match=r"no latent 12; this dictionary has latents 0 to 11"):
        choose(Latents(ids=(3, 12)), acts)


def test_equal_grids_are_equal_bytes(inputs: Inputs, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        make(inputs, tmp_path / name, latents=Latents(ids=(5,)))
    assert (tmp_path / "a/latent_0005.png").read_bytes() == (tmp_path / "b/latent_0005.png").read_bytes()


def test_can_be_stopped(inputs: Inputs, tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if event.step == 2:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        visualize.run(VisualizeConfig(latents=Latents()), inputs, tmp_path, stop, Runtime())
    with pytest.raises(InputError, match="no grids"):
        Grids.load(tmp_path)


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (0.00012345, "0.012 %"), (0.0345, "3.5 %"), (0.0996, "10 %"), (0.123, "12 %"), (1.0, "100 %")]
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


def test_letters_without_a_glyph() -> None:
    assert drawable("façade × 2 – 平行\n“ß”") == "facade x 2 - ?? “ss”"
