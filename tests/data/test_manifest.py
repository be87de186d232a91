"""The manifest of the drawn world, and what holds for every manifest."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sae_core.config import DrawnSource, Runtime
from sae_core.data import drawn
from sae_core.data.manifest import VERSION, Manifest, fingerprint, run
from sae_core.data.pack import THUMBNAILS, Pack, PackWriter
from sae_core.data.sources.drawn import BATCH
from sae_core.errors import Cancelled, InputError
from sae_core.pipeline import STAGES
from sae_core.progress import Event

SMALL = {"n": BATCH + 20, "seed": 3}


@pytest.fixture(scope="module")
def sketch(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return run(DrawnSource(**SMALL), None, tmp_path_factory.mktemp("sketch"))


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return run(DrawnSource(**SMALL, rendering="photo"), None, tmp_path_factory.mktemp("photo"))


@pytest.mark.parametrize("rendering", ["sketch", "photo"])
def test_everything_that_was_drawn_is_kept(rendering: str, request: pytest.FixtureRequest) -> None:
    manifest: Manifest = request.getfixturevalue(rendering)
    made = drawn.draw(SMALL["n"], SMALL["seed"], rendering)
    assert manifest.labels.tolist() == made.labels.tolist()
    assert manifest.captions == made.captions
    assert manifest.classes == list(drawn.CLASSES)
    assert (manifest.kind, manifest.rendering) == ("drawn", rendering)
    truth = manifest.truth
    assert truth is not None
    assert np.array_equal(truth[list(drawn.PRIMITIVES)].to_numpy(), made.counts)
    for row in (0, BATCH - 1, BATCH, manifest.n - 1):
        picture = np.asarray(Image.fromarray(made.images[row]).convert("RGB"))
        assert np.array_equal(np.asarray(manifest.image(row)), picture)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(manifest.thumbnail(row))).convert("RGB")), picture)
        assert manifest.table["sha256"][row] == hashlib.sha256(made.images[row].tobytes()).hexdigest()
        scene = manifest.scene(row)
        assert scene is not None
        assert scene.to_json() == made.scenes[row].to_json()
        assert np.array_equal(drawn.render(scene, rendering), made.images[row])


def test_the_files_are_those_of_the_contract(sketch: Manifest) -> None:
    names = {
        "rows.parquet",
        "classes.json",
        "problems.json",
        "source.json",
        "thumbs.bin",
        "thumbs.npy",
        "images.npy",
        "truth.parquet",
    }
    assert {path.name for path in sketch.folder.iterdir()} == names
    schema = pq.read_schema(sketch.folder / "rows.parquet")
    assert {field.name: str(field.type) for field in schema} == {
        "id": "int64", "file": "string", "sha256": "string", "group": "int64", "split": "string", "label": "int64",
        "caption": "string", "width": "int32", "height": "int32",
    }  # fmt: skip
    assert np.load(sketch.folder / "images.npy", allow_pickle=False).shape == (sketch.n, 64, 64)
    offsets = np.load(sketch.folder / "thumbs.npy", allow_pickle=False)
    assert (offsets.dtype, len(offsets)) == (np.int64, sketch.n + 1)
    assert offsets[-1] == (sketch.folder / "thumbs.bin").stat().st_size
    assert json.loads((sketch.folder / "source.json").read_text())["fingerprint"] == fingerprint(DrawnSource(**SMALL))
    assert STAGES["manifest"].version == VERSION
    assert STAGES["manifest"].load(sketch.folder).n == sketch.n


def test_a_scene_is_on_the_same_side_in_both_renderings(sketch: Manifest, photo: Manifest) -> None:
    assert sketch.table["split"].tolist() == photo.table["split"].tolist()
    counts = np.bincount(sketch.labels[sketch.split_rows("test")], minlength=len(drawn.CLASSES))
    assert counts.min() == counts.max() == 1


def test_the_same_config_gives_the_same_bytes(sketch: Manifest, tmp_path: Path) -> None:
    again = run(DrawnSource(**SMALL), None, tmp_path / "again")
    for path in sketch.folder.iterdir():
        assert (again.folder / path.name).read_bytes() == path.read_bytes(), path.name


def test_other_processes_give_the_same_bytes(sketch: Manifest, tmp_path: Path) -> None:
    made = run(DrawnSource(**SMALL), None, tmp_path / "made", runtime=Runtime(workers=2, executor="processes"))
    for path in sketch.folder.iterdir():
        assert (made.folder / path.name).read_bytes() == path.read_bytes(), path.name


def test_fingerprints_of_drawings() -> None:
    variants = [{}, {"n": 10}, {"seed": 1}, {"rendering": "photo"}, {"size": 64}]
    assert len({fingerprint(DrawnSource(**fields)) for fields in variants}) == len(variants)
    # How they are split is the config's part of the key, not the content's.
    assert fingerprint(DrawnSource(split_seed=5, test_fraction=0.5)) == fingerprint(DrawnSource())


def test_size_and_fraction(tmp_path: Path) -> None:
    manifest = run(DrawnSource(n=108, size=96, test_fraction=0.5), None, tmp_path / "x")
    assert manifest.image(0).size == (96, 96)
    assert len(manifest.split_rows("test")) == 54


def test_equal_drawings_stay_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = drawn.draw

    def repeating(*args: object) -> drawn.Drawn:
        made = really(*args)
        made.images[5] = made.images[2]
        made.images[60] = made.images[2][:, ::-1]
        return made

    monkeypatch.setattr(drawn, "draw", repeating)
    manifest = run(DrawnSource(n=108), None, tmp_path / "x")
    assert manifest.groups[[2, 5, 60]].tolist() == [2, 2, 2]
    assert manifest.metrics()["near_duplicates"] == 2
    assert len(set(manifest.table["split"][[2, 5, 60]])) == 1


def test_progress_is_reported_and_can_cancel(tmp_path: Path) -> None:
    events: list[Event] = []
    run(DrawnSource(**SMALL), None, tmp_path / "x", events.append)
    steps = [(event.step, event.total) for event in events]
    assert steps == [(BATCH, SMALL["n"]), (SMALL["n"], SMALL["n"]), (SMALL["n"], SMALL["n"])]

    def stop(event: Event) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        run(DrawnSource(**SMALL), None, tmp_path / "y", stop)
    assert run(DrawnSource(**SMALL), None, tmp_path / "y").n == SMALL["n"]


def test_unknown_splits_and_rows(sketch: Manifest) -> None:
    with pytest.raises(InputError, match="no split 'dev'"):
        sketch.split_rows("dev")  # type: ignore[arg-type]
    for row in (-1, sketch.n):
        with pytest.raises(InputError, match="no row"):
            sketch.thumbnail(row)
    with pytest.raises(InputError, match="has no embeddings"):
        sketch.embedding_rows(0, 1)
    with pytest.raises(InputError, match="has no folder outside the cache"):
        _ = sketch.root
    assert sketch.text_rows() is None
    assert sketch.width is None


def test_packs_keep_every_blob(tmp_path: Path) -> None:
    for blobs in ([b"one", b"", b"three" * 1000], [b"", b""], []):
        writer = PackWriter(tmp_path, THUMBNAILS)
        writer.extend(blobs)
        writer.close()
        pack = Pack(tmp_path, THUMBNAILS)
        assert [pack[i] for i in range(len(pack))] == blobs
