"""The folder source: layout, order, names, what is passed over, and every bad folder in one line."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from sae_core.config import FolderSource, Runtime
from sae_core.data.manifest import Manifest, fingerprint, run
from sae_core.data.sources.folder import natural
from sae_core.data.sources.imagenet import class_names, names_by_wnid
from sae_core.errors import InputError


def made(root: Path, out: Path, **fields: object) -> Manifest:
    return run(FolderSource(path=str(root), **fields), None, out / "cache" / "manifest" / "x")


def files(manifest: Manifest) -> list[str]:
    return manifest.table["file"].tolist()


def test_rows_are_in_natural_order_with_their_classes(make_folder, tmp_path: Path) -> None:
    root = make_folder({"b10": 3, "b2": 12, "Apple_pie": 2})
    manifest = made(root, tmp_path)
    assert manifest.classes == ["Apple pie", "b2", "b10"]
    assert manifest.class_folders == ["Apple_pie", "b2", "b10"]
    expected = [f"{folder}/x{i}.png" for folder, n in (("Apple_pie", 2), ("b2", 12), ("b10", 3)) for i in range(n)]
    assert files(manifest) == expected
    assert manifest.labels.tolist() == [0] * 2 + [1] * 12 + [2] * 3
    assert manifest.table["id"].tolist() == list(range(17))
    assert (manifest.table["width"].iat[0], manifest.table["height"].iat[0]) == (80, 60)
    assert manifest.metrics() == {
        "n": 17, "train": 13, "test": 4, "classes": 3, "captioned": 0, "near_duplicates": 0, "problems": 0
    }  # fmt: skip


def test_pictures_and_thumbnails_are_the_files(make_folder, tmp_path: Path, picture) -> None:
    manifest = made(make_folder({"a": 2, "b": 2}), tmp_path)
    for row in range(4):
        assert np.array_equal(np.asarray(manifest.image(row)), np.asarray(picture(row)))
        assert Image.open(io.BytesIO(manifest.thumbnail(row))).size == (80, 60)
    assert [image.size for image in manifest.images([1, 3])] == [(80, 60)] * 2
    assert manifest.has_images
    assert not manifest.has_embeddings
    assert manifest.truth is None
    assert manifest.scene(0) is None
    with pytest.raises(InputError, match="no row 4"):
        manifest.image(4)


def test_the_same_pictures_elsewhere_are_the_same_manifest(make_folder, tmp_path: Path) -> None:
    root = make_folder({"a": 6, "b": 6})
    other = shutil.copytree(root, tmp_path / "elsewhere" / "deep")
    first, second = made(root, tmp_path / "1"), made(other, tmp_path / "2", split_seed=0)
    assert first.table.equals(second.table)
    assert first.source["fingerprint"] == second.source["fingerprint"]
    assert fingerprint(FolderSource(path=str(root))) == first.source["fingerprint"]
    (other / "a" / "x0.png").write_bytes((root / "b" / "x0.png").read_bytes())
    assert fingerprint(FolderSource(path=str(other))) != first.source["fingerprint"]


def test_workers_change_nothing(make_folder, tmp_path: Path) -> None:
    root = make_folder({"a": 20, "b": 20})
    config = FolderSource(path=str(root))
    runs = [run(config, None, tmp_path / str(w), runtime=Runtime(workers=w)) for w in (1, 5)]
    for name in ("rows.parquet", "thumbs.bin", "thumbs.npy", "problems.json", "classes.json", "source.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "5" / name).read_bytes()
    assert runs[0].n == 40


def test_max_per_class(make_folder, tmp_path: Path) -> None:
    assert files(made(make_folder({"a": 5, "b": 3}), tmp_path, max_per_class=2)) == [
        "a/x0.png",
        "a/x1.png",
        "b/x0.png",
        "b/x1.png",
    ]


def test_bad_files_are_listed_and_never_fatal(make_folder, tmp_path: Path, picture, encode) -> None:
    root = make_folder({"a": 3, "b": 3})
    whole = encode(picture(50, (200, 200)))
    (root / "a" / "half.png").write_bytes(whole[: len(whole) // 2])
    (root / "a" / "text.jpg").write_bytes(b"no picture at all\n" * 10)
    (root / "a" / "empty.png").write_bytes(b"")
    (root / "a" / "notes.txt").write_text("x")
    (root / "a" / "deeper").mkdir()
    (root / "a" / "deeper" / "y.png").write_bytes(whole)
    (root / "loose.png").write_bytes(whole)
    (root / ".hidden").mkdir()
    (root / "a" / ".DS_Store").write_bytes(b"x")
    (root / "b" / "outside.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "secret.png").write_bytes(whole)
    (root / "b" / "inside.png").symlink_to(root / "b" / "x0.png")
    (root / "b" / "nowhere.png").symlink_to(root / "gone.png")
    manifest = made(root, tmp_path)
    said = {problem["file"]: problem["problem"] for problem in manifest.problems}
    assert set(said) == {
        "a/half.png", "a/text.jpg", "a/empty.png", "a/notes.txt", "a/deeper", "loose.png", "b/outside.png", "b/nowhere.png"
    }  # fmt: skip
    assert "broken" in said["a/half.png"]
    assert "text" in said["a/text.jpg"]
    assert "only one level" in said["a/deeper"]
    assert "out of the folder" in said["b/outside.png"]
    assert files(manifest) == ["a/x0.png", "a/x1.png", "a/x2.png", "b/inside.png", "b/x0.png", "b/x1.png", "b/x2.png"]
    assert manifest.metrics()["problems"] == 8
    assert manifest.groups[3] == manifest.groups[4]  # the link and what it leads to are one picture


def test_the_report_says_what_was_not_used(make_folder, tmp_path: Path) -> None:
    root = make_folder({"a": 2, "b": 2})
    (root / "a" / "bad.png").write_bytes(b"")
    events = []
    run(FolderSource(path=str(root)), None, tmp_path / "out", events.append)
    assert "1 file was not used" in events[-1].message
    assert "a/bad.png is empty" in events[-1].message


def test_a_file_that_may_not_be_read_is_a_problem(make_folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder({"a": 2, "b": 2})
    locked, really = root / "a" / "x0.png", Path.open

    def refused(path: Path, *rest: object, **named: object) -> object:  # root, who may run this, reads a file of mode 000
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return really(path, *rest, **named)

    monkeypatch.setattr(Path, "open", refused)
    assert [p["file"] for p in made(root, tmp_path).problems] == ["a/x0.png"]


def test_copies_and_mirror_images_stay_together(make_folder, tmp_path: Path, encode) -> None:
    root = make_folder({"a": 20, "b": 20})
    for i in range(20):
        image = Image.open(root / "a" / f"x{i}.png")
        (root / "a" / f"y{i}.jpg").write_bytes(encode(ImageOps.mirror(image), "JPEG", quality=90))
        shutil.copy(root / "b" / f"x{i}.png", root / "b" / f"y{i}.png")
    manifest = made(root, tmp_path, test_fraction=0.4)
    table = manifest.table.set_index("file")
    for folder, suffix in (("a", "jpg"), ("b", "png")):
        for i in range(20):
            one, two = table.loc[f"{folder}/x{i}.png"], table.loc[f"{folder}/y{i}.{suffix}"]
            assert one["group"] == two["group"]
            assert one["split"] == two["split"]
    assert manifest.metrics()["near_duplicates"] == 40
    assert len(manifest.split_rows("test")) == 32
    train, test = manifest.split_rows("train"), manifest.split_rows("test")
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(80))


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ({}, "is empty"),
        ({"a": 3}, "one class only"),
        ({"a": 3, "b": 0}, "class b in .* has no picture"),
    ],
)
def test_bad_folders(make_folder, tmp_path: Path, classes: dict[str, int], said: str) -> None:
    root = make_folder(classes)
    root.mkdir(exist_ok=True)
    with pytest.raises(InputError, match=said) as caught:
        made(root, tmp_path)
    assert "\n" not in str(caught.value)
    assert str(root) in str(caught.value)


def test_a_missing_folder_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name, said in (("gone", "no folder at"), ("file", "is a file")):
        for act in (made, lambda root, _: fingerprint(FolderSource(path=str(root)), None)):
            with pytest.raises(InputError, match=said):
                act(tmp_path / name, tmp_path)


def test_pictures_without_class_folders(tmp_path: Path, picture, encode) -> None:
    root = tmp_path / "flat"
    root.mkdir()
    (root / "x.png").write_bytes(encode(picture(0)))
    with pytest.raises(InputError, match="1 pictures but no class subfolder"):
        made(root, tmp_path)


def test_a_class_with_no_readable_picture_is_named_with_the_reason(make_folder, tmp_path: Path) -> None:
    root = make_folder({"a": 2, "b": 1})
    (root / "b" / "x0.png").write_bytes(b"text")
    with pytest.raises(InputError, match=r"class b in .* has no readable picture \(x0.png is text, not a picture\)"):
        made(root, tmp_path)


def test_only_copies_of_one_picture_cannot_be_split(make_folder, tmp_path: Path) -> None:
    root = make_folder({"a": 1, "b": 1})
    shutil.copy(root / "a" / "x0.png", root / "b" / "x0.png")
    with pytest.raises(InputError, match="near-duplicates of one another"):
        made(root, tmp_path)


def test_a_folder_that_moved_is_found_again(make_folder, tmp_path: Path) -> None:
    root = make_folder({"a": 2, "b": 2})
    cache = tmp_path / "cache"
    mark = fingerprint(FolderSource(path=str(root)), cache)
    manifest = made(root, tmp_path)
    before = np.asarray(manifest.image(0))
    moved = root.rename(tmp_path / "moved")
    with pytest.raises(InputError, match="is gone; run again with path"):
        manifest.image(0)
    assert fingerprint(FolderSource(path=str(moved)), cache) == mark
    assert np.array_equal(np.asarray(manifest.image(0)), before)
    (moved / "a" / "x0.png").unlink()
    with pytest.raises(InputError, match=r"cannot read a/x0\.png"):
        manifest.image(0)


def test_leftovers_of_a_killed_attempt_are_gone(make_folder, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "old").mkdir(parents=True)
    (out / "images.npy").write_bytes(b"half")
    run(FolderSource(path=str(make_folder({"a": 2, "b": 2}))), None, out)
    names = {"rows.parquet", "classes.json", "problems.json", "source.json", "thumbs.bin", "thumbs.npy"}
    assert {path.name for path in out.iterdir()} == names


def test_wnids_get_imagenets_names() -> None:
    from timm.data.imagenet_info import ImageNetInfo

    known = names_by_wnid()
    assert len(known) == 1000
    assert [known[wnid] for wnid in ("n01440764", "n02123045", "n15075141")] == ["tench", "tabby cat", "toilet paper"]
    # A list out of step by one would still have 1,000 names: WordNet's own words for each id must agree with them.
    lemmas = ImageNetInfo("imagenet-1k").label_descriptions(as_dict=True)
    agree = sum(
        bool(set(name.lower().split()) & set(lemmas[wnid].lower().replace(",", " ").split())) for wnid, name in known.items()
    )
    assert agree > 900
    assert class_names(["n01440764", "my_class", "n99999999"]) == ["tench", "my class", "n99999999"]
    assert class_names(["ice_cream", "ice cream", "x"]) == ["ice_cream", "ice cream", "x"]


def test_the_seed_layout_of_wnid_folders(make_folder, tmp_path: Path) -> None:
    manifest = made(make_folder({"n02123045": 2, "n01440764": 2}), tmp_path)
    assert manifest.classes == ["tench", "tabby cat"]
    assert manifest.class_folders == ["n01440764", "n02123045"]


def test_natural_order() -> None:
    names = ["x10", "X2", "x1", "a", "10", "9", "x1b"]
    assert sorted(names, key=natural) == ["9", "10", "a", "x1", "x1b", "X2", "x10"]


@pytest.mark.parametrize(
    ("name", "n", "classes"), [("pacs-subset/sketch", 240, 3), ("pacs-subset/photo", 240, 3), ("cifar10-subset", 600, 10)]
)
def test_real_folders(shared_data: Path, tmp_path: Path, name: str, n: int, classes: int) -> None:
    manifest = made(shared_data / name, tmp_path)
    counted = manifest.metrics()
    assert (counted["n"], counted["classes"], counted["problems"]) == (n, classes, 0)
    assert counted["test"] == n // 5
    assert manifest.image(0).mode == "RGB"
