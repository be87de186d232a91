"""Precomputed embeddings: both layouts, what each row is, and every bad array in one line."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sae_core.config import ArraySource
from sae_core.data.manifest import Manifest, fingerprint, run
from sae_core.errors import InputError

N, WIDTH = 12, 512


def embeddings(n: int = N, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    root = tmp_path / "arrays"
    root.mkdir()
    np.save(root / "image_embeddings.npy", embeddings())
    np.save(root / "text_embeddings.npy", embeddings(seed=1))
    write_metadata(root)
    return root


def write_metadata(root: Path, n: int = N, **columns: list[Any]) -> None:
    table = {"row": list(range(n)), "file": [f"f{i}.png" for i in range(n)], "caption": [f"caption {i}" for i in range(n)]}
    pd.DataFrame({**table, **columns}).to_csv(root / "metadata.csv", index=False)


def made(root: Path, **fields: Any) -> Manifest:
    return run(ArraySource(path=str(root), **fields), None, root.parent / "cache" / "manifest" / "x")


def test_the_flat_layout(flat: Path) -> None:
    manifest = made(flat)
    assert (manifest.n, manifest.kind, manifest.width) == (N, "arrays", WIDTH)
    assert manifest.captions == [f"caption {i}" for i in range(N)]
    assert manifest.classes == []
    assert set(manifest.labels.tolist()) == {-1}
    assert manifest.has_embeddings
    assert not manifest.has_images
    assert np.array_equal(manifest.embedding_rows(3, 7), embeddings()[3:7])
    assert np.array_equal(manifest.text_rows(), embeddings(seed=1))
    assert len(manifest.split_rows("test")) == round(0.2 * N)
    assert Image.open(io.BytesIO(manifest.thumbnail(0))).size == (64, 64)  # a box that says there is no picture
    with pytest.raises(InputError, match="has no picture"):
        manifest.image(0)
    with pytest.raises(InputError, match="no rows"):
        manifest.embedding_rows(0, N + 1)


def test_nothing_is_copied(flat: Path) -> None:
    manifest = made(flat)
    assert sum(path.stat().st_size for path in manifest.folder.iterdir()) < 20_000 < embeddings().nbytes


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_layout_of_clip_retrieval(tmp_path: Path, dtype: type) -> None:
    root = tmp_path / "cr"
    rows = [3, 8, 2]
    for folder in ("img_emb", "text_emb", "metadata"):
        (root / folder).mkdir(parents=True)
    # Eleven parts would sort wrongly by letters: part 10 comes after part 2.
    for number, (part, n) in enumerate(zip((0, 2, 10), rows, strict=True)):
        np.save(root / "img_emb" / f"img_emb_{part}.npy", embeddings(n, seed=number).astype(dtype))
        np.save(root / "text_emb" / f"text_emb_{part}.npy", embeddings(n, seed=10 + number).astype(dtype))
        table = pd.DataFrame(
            {"image_path": [f"/abs/{part}_{i}.jpg" for i in range(n)], "caption": [f"{part} {i}" for i in range(n)]}
        )
        table.to_parquet(root / "metadata" / f"metadata_{part}.parquet")
    manifest = made(root)
    whole = np.concatenate([embeddings(n, seed=number) for number, n in enumerate(rows)]).astype(dtype).astype(np.float32)
    assert np.array_equal(manifest.embedding_rows(0, 13), whole)
    for start in range(14):
        for stop in range(start, 14):
            assert np.array_equal(manifest.embedding_rows(start, stop), whole[start:stop])
    assert manifest.embedding_rows(0, 1).dtype == np.float32
    assert manifest.captions[3] == "2 0"
    assert manifest.captions[-1] == "10 1"
    texts = manifest.text_rows()
    assert texts is not None
    assert np.array_equal(texts[11:], embeddings(2, seed=12).astype(dtype).astype(np.float32))


def test_labels_by_column(flat: Path) -> None:
    write_metadata(flat, kind=["b", "a", "a10", "a2"] * 3)
    manifest = made(flat, label_column="kind")
    assert manifest.classes == ["a", "a2", "a10", "b"]
    assert manifest.labels[:4].tolist() == [3, 0, 2, 1]
    for label in range(4):
        assert set(manifest.table["split"][manifest.labels == label]) == {"train", "test"}


def test_a_column_called_label_needs_no_setting_and_may_have_gaps(flat: Path) -> None:
    write_metadata(flat, label=["x", "y", ""] * 4)
    manifest = made(flat)
    assert manifest.labels[:3].tolist() == [0, 1, -1]


def test_pictures_beside_the_arrays(flat: Path, picture, encode) -> None:
    (flat / "images").mkdir()
    for i in range(N - 2):
        (flat / "images" / f"f{i}.png").write_bytes(encode(picture(i)))
    (flat / "images" / f"f{N - 2}.png").write_bytes(b"text")
    shutil.copy(flat / "images" / "f0.png", flat / "images" / "f5.png")
    manifest = made(flat)
    assert manifest.has_images
    assert np.array_equal(np.asarray(manifest.image(2)), np.asarray(picture(2)))
    assert Image.open(io.BytesIO(manifest.thumbnail(2))).size == (80, 60)
    assert manifest.groups[5] == 0
    problems = {problem["file"]: problem["problem"] for problem in manifest.problems}
    assert set(problems) == {f"f{N - 1}.png", f"images/f{N - 2}.png"}
    assert [manifest.has_image(row) for row in (0, N - 2, N - 1)] == [True, False, False]
    assert manifest.n == N  # an embedding without its picture is still an embedding


def test_a_picture_outside_the_folder_is_not_read(flat: Path, picture, encode) -> None:
    (flat.parent / "secret.png").write_bytes(encode(picture(0)))
    (flat / "link.png").symlink_to(flat.parent / "secret.png")
    write_metadata(flat, file=["../secret.png", str(flat.parent / "secret.png"), "link.png"] + [f"f{i}" for i in range(N - 3)])
    assert not made(flat).has_images


def test_equal_embeddings_stay_together(flat: Path) -> None:
    x = embeddings()
    x[7] = x[2]
    np.save(flat / "image_embeddings.npy", x)
    for seed in range(8):
        manifest = made(flat, split_seed=seed)
        assert manifest.groups[7] == manifest.groups[2] == 2
        assert manifest.table["split"][7] == manifest.table["split"][2]


def spoil(value: float) -> np.ndarray:
    x = embeddings()
    x[7, 3] = value
    return x


def zeroed() -> np.ndarray:
    x = embeddings()
    x[4] = 0
    return x


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (spoil(np.nan), "row 7 of image_embeddings.npy .* holds NaN or infinity"),
        (spoil(np.inf), "row 7 of image_embeddings.npy .* holds NaN or infinity"),
        (zeroed(), "row 4 of image_embeddings.npy .* is all zeros"),
        (embeddings(width=300), "is 300 wide instead of 512"),
        (embeddings(n=N + 3), "metadata.csv .* is shorter than the array: 12 rows for 15"),
        (embeddings(n=N - 3), "metadata.csv .* is longer than the array: 12 rows for 9"),
        (embeddings()[0], "has shape .512,."),
        (embeddings().astype(np.int64), "has dtype int64"),
        (embeddings().astype(complex), "has dtype complex128"),
    ],
)
def test_bad_arrays(flat: Path, array: np.ndarray, said: str) -> None:
    np.save(flat / "image_embeddings.npy", array)
    (flat / "text_embeddings.npy").unlink()
    with pytest.raises(InputError, match=said) as caught:
        made(flat)
    assert "\n" not in str(caught.value)


def test_an_array_of_objects_is_never_unpickled(flat: Path) -> None:
    np.save(flat / "image_embeddings.npy", np.array([[1, "x"]] * N, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="Python objects"):
        made(flat)


def test_a_file_that_is_no_array(flat: Path) -> None:
    whole = (flat / "image_embeddings.npy").read_bytes()
    for data in (b"", b"hello", whole[: len(whole) // 2]):
        (flat / "image_embeddings.npy").write_bytes(data)
        with pytest.raises(InputError, match=r"cannot read image_embeddings\.npy"):
            made(flat)


def test_text_embeddings_must_match(flat: Path) -> None:
    np.save(flat / "text_embeddings.npy", embeddings(N - 1))
    with pytest.raises(InputError, match="11 text embeddings for 12 images"):
        made(flat)
    np.save(flat / "text_embeddings.npy", embeddings(width=100))
    with pytest.raises(InputError, match=r"text_embeddings\.npy .* is 100 wide"):
        made(flat)


def test_any_width_of_an_encoder_nobody_knows(flat: Path) -> None:
    np.save(flat / "image_embeddings.npy", embeddings(width=300))
    (flat / "text_embeddings.npy").unlink()
    manifest = made(flat, encoder="my-own/v1")
    assert manifest.width == 300
    assert manifest.text_rows() is None
    assert manifest.source["encoder"] == "my-own/v1"


@pytest.mark.parametrize(
    ("fields", "columns", "said"),
    [
        ({"label_column": "nope"}, {}, "has no column 'nope'; its columns are row, file, caption"),
        ({"caption_column": "nope"}, {}, "has no column 'nope'"),
        ({"caption_column": None}, {}, "neither class nor caption"),
        ({"label_column": "kind"}, {"kind": ["x"] * N}, "one class only"),
        ({"label_column": "kind"}, {"kind": [""] * N}, "is empty"),
        ({}, {"row": list(range(1, N + 1))}, "does not count 0, 1, 2"),
    ],
)
def test_bad_metadata(flat: Path, fields: dict[str, Any], columns: dict[str, list[Any]], said: str) -> None:
    write_metadata(flat, **columns)
    with pytest.raises(InputError, match=said):
        made(flat, **fields)


def test_missing_and_broken_files(flat: Path, tmp_path: Path) -> None:
    config = ArraySource(path=str(flat))
    (flat / "metadata.csv").write_bytes(b"\xff\xfe\x00broken\x80")
    with pytest.raises(InputError, match=r"cannot read metadata.csv"):
        fingerprint(config)
    (flat / "metadata.csv").write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot read metadata.csv"):
        fingerprint(config)
    (flat / "metadata.csv").unlink()
    with pytest.raises(InputError, match="no metadata"):
        fingerprint(config)
    (flat / "image_embeddings.npy").unlink()
    with pytest.raises(InputError, match="no embeddings"):
        fingerprint(config)
    with pytest.raises(InputError, match="no folder at"):
        fingerprint(ArraySource(path=str(tmp_path / "gone")))
    for name in ("a.npy", "b.npy"):
        np.save(flat / name, embeddings())
    with pytest.raises(InputError, match="cannot tell which array"):
        fingerprint(config)


def test_the_fingerprint_follows_content_not_place(flat: Path, tmp_path: Path) -> None:
    config = ArraySource(path=str(flat))
    first = fingerprint(config)
    other = shutil.copytree(flat, tmp_path / "other")
    assert fingerprint(ArraySource(path=str(other))) == first
    write_metadata(flat, caption=["new"] * N)
    assert fingerprint(config) != first


def test_arrays_that_changed_or_moved_are_not_read(flat: Path, tmp_path: Path) -> None:
    manifest = made(flat)
    np.save(flat / "image_embeddings.npy", embeddings(N + 1))
    with pytest.raises(InputError, match="are not the 12 x 512 of this manifest any more"):
        manifest.embedding_rows(0, 1)
    flat.rename(tmp_path / "moved")
    with pytest.raises(InputError, match="is gone"):
        manifest.embedding_rows(0, 1)


def test_the_real_patents(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "design-patents-2007"
    manifest = run(ArraySource(path=str(root)), None, tmp_path / "cache" / "manifest" / "x")
    counted = manifest.metrics()
    assert (counted["n"], counted["test"], counted["captioned"], counted["problems"]) == (1000, 200, 1000, 0)
    whole = np.load(root / "image_embeddings.npy")
    assert np.array_equal(manifest.embedding_rows(0, 1000), whole)
    assert manifest.captions[:2] == ["Pet chew", "Outsole for a shoe"]
    assert manifest.image(0).size == (224, 224)
    texts = manifest.text_rows()
    assert texts is not None
    assert texts.shape == (1000, 512)
    labelled = run(ArraySource(path=str(root), label_column="design_class"), None, tmp_path / "cache" / "manifest" / "y")
    assert labelled.classes[:2] == ["D1", "D2"]
    assert (labelled.labels >= 0).all()
