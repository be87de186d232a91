"""Hub data sets, through the real loading code on small local ones: parquet by `datasets`, zips, CIFAR-10's binary batches."""

from __future__ import annotations

import io
import socket
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import datasets
import fsspec
import huggingface_hub
import numpy as np
import pytest
from PIL import Image

from sae_core.config import DrawnSource, FolderSource, HubSource
from sae_core.data.manifest import Manifest, fingerprint, run
from sae_core.data.sources import cifar, hub, requirements_of
from sae_core.errors import InputError, Unavailable


def made(name: object, out: Path, **fields: Any) -> Manifest:
    return run(HubSource(name=str(name), **fields), None, out / "cache" / "manifest" / "x")


@pytest.fixture
def parquet(tmp_path: Path, picture, encode) -> Path:
    """A data set as the Hub stores CIFAR-10: parquet files by split, columns img (encoded pictures) and label (class)."""
    root = tmp_path / "set"
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog", "owl"])})
    for split, first, n in (("train", 0, 8), ("test", 8, 4)):
        rows = {
            "img": [{"bytes": encode(picture(i)), "path": None} for i in range(first, first + n)],
            "label": [i % 2 for i in range(n)],
        }
        (root / "data").mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_dict(rows, features=features).to_parquet(root / "data" / f"{split}-00000-of-00001.parquet")
    return root


def test_a_data_set_by_datasets_in_streaming_mode(parquet: Path, tmp_path: Path, picture) -> None:
    manifest = made(parquet, tmp_path)
    assert manifest.n == 12
    assert manifest.classes == ["cat", "dog"]  # no picture is an owl
    assert manifest.table["file"].tolist() == [f"train/{i:06d}" for i in range(8)] + [f"test/{i:06d}" for i in range(4)]
    assert manifest.labels.tolist() == [0, 1] * 6
    assert (manifest.kind, manifest.source["via"], manifest.source["splits"]) == ("hub", "datasets", ["train", "test"])
    (parquet / "data" / "train-00000-of-00001.parquet").unlink()  # the pictures are in the artifact
    for row in (0, 7, 11):
        assert np.array_equal(np.asarray(manifest.image(row)), np.asarray(picture(row)))


def test_splits_and_limit(parquet: Path, tmp_path: Path) -> None:
    assert made(parquet, tmp_path, splits=("test",)).table["file"].tolist() == [f"test/{i:06d}" for i in range(4)]
    assert made(parquet, tmp_path, limit=5).n == 5
    with pytest.raises(InputError, match="has no split 'dev'; it has train, test"):
        made(parquet, tmp_path, splits=("dev",))


def test_columns_can_be_named_and_are_checked(tmp_path: Path, picture, encode) -> None:
    root = tmp_path / "set"
    root.mkdir()
    pictures = [{"bytes": encode(picture(i)), "path": None} for i in range(6)]
    rows = {"a": pictures, "b": pictures[::-1], "kind": ["x", "y"] * 3, "other": list(range(6))}
    features = {"a": datasets.Image(), "b": datasets.Image(), "kind": datasets.Value("string"), "other": datasets.Value("int64")}
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).to_parquet(root / "train.parquet")
    with pytest.raises(InputError, match="has no label column; it has a, b, kind, other: set label_column"):
        made(root, tmp_path)
    with pytest.raises(InputError, match="has no column 'nope'"):
        made(root, tmp_path, label_column="kind", image_column="nope")
    manifest = made(root, tmp_path, label_column="kind", image_column="b")
    assert manifest.classes == ["x", "y"]
    assert np.array_equal(np.asarray(manifest.image(0)), np.asarray(picture(5)))


def test_broken_pictures_and_missing_labels_are_listed(tmp_path: Path, picture, encode) -> None:
    root = tmp_path / "set"
    root.mkdir()
    blobs = [encode(picture(i)) for i in range(6)]
    blobs[2] = blobs[2][:60]
    labels = [0, 1, 0, None, 0, 1]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    rows = {"image": [{"bytes": blob, "path": None} for blob in blobs], "label": labels}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(root / "train.parquet")
    manifest = made(root, tmp_path)
    assert {p["file"]: p["problem"] for p in manifest.problems}.keys() == {"train/000002", "train/000003"}
    assert manifest.n == 4


def test_one_class_only(parquet: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"as streamed .limit 2. has one class only|one class only"):
        made(zipped(tmp_path, {"n01440764": 4}), tmp_path, limit=2)


def test_what_datasets_cannot_open(tmp_path: Path) -> None:
    root = tmp_path / "nothing"
    root.mkdir()
    with pytest.raises(InputError, match="cannot open") as caught:
        made(root, tmp_path)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- zips


def zipped(tmp_path: Path, classes: dict[str, int], extra: dict[str, bytes] | None = None) -> Path:
    """A zip as ImageNet-Sketch is one: sketch/<wnid>/sketch_<i>.JPEG."""
    path = tmp_path / "pictures.zip"
    seed = 0
    with zipfile.ZipFile(path, "w") as archive:
        for folder, n in classes.items():
            for i in range(n):
                image = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (24, 30, 3)).astype(np.uint8))
                buffer = io.BytesIO()
                image.save(buffer, "JPEG")
                archive.writestr(f"sketch/{folder}/sketch_{i}.JPEG", buffer.getvalue())
                seed += 1
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
    return path


def test_a_zip_of_class_folders(tmp_path: Path) -> None:
    extra = {
        "readme.txt": b"x",
        "sketch/n01440764/notes.txt": b"x",
        "__MACOSX/sketch/n01440764/._a.JPEG": b"x",
        "sketch/n02123045/bad.JPEG": b"x",
    }
    manifest = made(zipped(tmp_path, {"n02123045": 3, "n01440764": 12}, extra), tmp_path)
    assert manifest.classes == ["tench", "tabby cat"]
    assert manifest.n == 15
    assert manifest.table["file"].iat[0] == "n02123045/sketch_0.JPEG"
    assert {p["file"] for p in manifest.problems} == {"readme.txt", "n01440764/notes.txt", "n02123045/bad.JPEG"}
    assert manifest.image(14).size == (30, 24)


def test_a_limit_is_spread_over_the_classes(tmp_path: Path) -> None:
    path = zipped(tmp_path, {f"c{i}": 10 for i in range(5)})
    manifest = made(path, tmp_path, limit=10)
    assert manifest.n == 10
    assert np.bincount(manifest.labels).tolist() == [2] * 5


def test_a_remote_zip_is_read_in_place(tmp_path: Path) -> None:
    """The same code as for hf:// addresses, on another of fsspec's file systems."""
    from sae_core.data.sources.archive import opened

    memory = fsspec.filesystem("memory")
    memory.pipe("/remote/pictures.zip", zipped(tmp_path, {"a": 3, "b": 2}).read_bytes())
    with opened("memory://remote/pictures.zip") as (items, folders, problems):
        assert folders == ["a", "b"]
        assert [item.file for item in items] == [f"a/sketch_{i}.JPEG" for i in range(3)] + [
            f"b/sketch_{i}.JPEG" for i in range(2)
        ]
        assert problems == []


def test_bad_zips(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match="is no zip of pictures"):
        made(tmp_path / "text.zip", tmp_path)
    with pytest.raises(InputError, match="holds no picture in a class folder"):
        made(zipped(tmp_path, {}, {"x.png": b"x"}), tmp_path)
    path = zipped(tmp_path, {"a": 3, "b": 3})
    data = bytearray(path.read_bytes())
    data[data.index(b"\xff\xd8") + 200] ^= 0xFF  # one flipped byte: the member's checksum no longer matches
    path.write_bytes(data)
    manifest = made(path, tmp_path)
    assert manifest.n == 5
    assert "cannot be unpacked" in manifest.problems[0]["problem"]


def test_imagenet_sketch_is_taken_from_the_hub_clients_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path, {"n01440764": 3, "n02123045": 3})

    def cached(repo: str, file: str, repo_type: str) -> str:
        assert (repo, file, repo_type) == ("songweig/imagenet_sketch", "data/ImageNet-Sketch.zip", "dataset")
        return str(path)

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert requirements_of(HubSource(name="imagenet_sketch"))["present"] is True
    manifest = made("imagenet_sketch", tmp_path)
    assert manifest.classes == ["tench", "tabby cat"]
    assert manifest.source["repository"] == "songweig/imagenet_sketch"


# ---------------------------------------------------------------- CIFAR-10's own archive


@pytest.fixture
def batches(tmp_path: Path) -> Path:
    """Five training batches and a test batch in CIFAR-10's binary format, four pictures each."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        records = rng.integers(0, 256, (4, 3073)).astype(np.uint8)
        records[:, 0] = rng.permutation(10)[:4]
        records.tofile(folder / name)
    return folder


def test_binary_batches_become_pictures(batches: Path) -> None:
    items = list(cifar.batches(batches))
    assert len(items) == 24
    assert [items[i].file for i in (0, 19, 20)] == ["train/000000", "train/000019", "test/000000"]
    raw = np.fromfile(batches / "data_batch_2.bin", dtype=np.uint8)[3073 * 1 :][:3073]
    image = np.asarray(Image.open(io.BytesIO(items[5].read())))
    assert items[5].folder == cifar.CLASSES[raw[0]]
    assert image[3, 7].tolist() == [raw[1 + c * 1024 + 3 * 32 + 7] for c in range(3)]
    assert len(list(cifar.batches(batches, ("test",)))) == 4


@pytest.mark.parametrize(
    ("data", "said"), [(b"x" * 3072, "no multiple of 3073"), (b"", "no multiple"), (b"\x0b" * 3073, "label 11")]
)
def test_damaged_batches(batches: Path, data: bytes, said: str) -> None:
    (batches / "data_batch_1.bin").write_bytes(data)
    with pytest.raises(InputError, match=said):
        list(cifar.batches(batches))
    (batches / "data_batch_1.bin").unlink()
    with pytest.raises(InputError, match="is missing"):
        list(cifar.batches(batches))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub's address leads to a closed port, and nothing else is reached either."""

    def refused(*args: object, **named: object) -> None:
        raise OSError("Network is unreachable")

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(cifar.socket, "create_connection", refused)


@pytest.mark.usefixtures("offline")
def test_both_ways_to_cifar_give_the_same_manifest(batches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "_download", lambda scratch, reason, embedded: batches)
    own = made("cifar10", tmp_path / "own")
    assert own.source["via"] == "torchvision"
    assert {path.name for path in own.folder.iterdir()} >= {"images.bin", "images_offsets.npy"}
    assert not (own.folder / ".cifar10").exists()
    root = tmp_path / "set"
    root.mkdir()
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=list(cifar.CLASSES))})
    for split in ("train", "test"):
        rows: dict[str, list[Any]] = {"img": [], "label": []}
        for item in cifar.batches(batches, (split,)):
            buffer = io.BytesIO()
            Image.open(io.BytesIO(item.read())).save(buffer, "PNG", compress_level=9)  # other bytes, the same pixels
            assert buffer.getvalue() != item.read()
            rows["img"].append({"bytes": buffer.getvalue(), "path": None})
            rows["label"].append(cifar.CLASSES.index(item.folder))
        datasets.Dataset.from_dict(rows, features=features).to_parquet(root / f"{split}.parquet")
    assert made(root, tmp_path / "hub").table.equals(own.table)


# ---------------------------------------------------------------- what cannot be reached


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "cifar10",
            r"cannot fetch CIFAR-10 from huggingface.co \(.+\) nor from www.cs.toronto.edu \(170 MB: Network is unreachable\)",
        ),
        (
            "imagenet_sketch",
            r"cannot fetch ImageNet-Sketch \(50,889 pictures\) from huggingface.co/datasets/songweig/imagenet_sketch \(7.6 GB\)",
        ),
        ("some/where", r"cannot fetch some/where from huggingface.co/datasets/some/where \(size unknown\)"),
    ],
)
def test_unreachable_data_is_one_line_with_the_alternative(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(Unavailable, match=said) as caught:
        made(name, tmp_path)
    assert "embedded drawn world" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.alone
def test_a_silent_network_is_given_up_on() -> None:
    began = time.perf_counter()
    reason, commit = hub.within(0.1, lambda: (time.sleep(5), (None, "never"))[1])
    assert time.perf_counter() - began < 2
    assert (reason, commit) == ("no answer within 0 s", "")


@pytest.mark.parametrize(
    ("code", "said"), [("RepoNotFound", "no data set foo/bar on the Hub"), ("RevisionNotFound", "foo/bar has no revision v9")]
)
def test_names_the_hub_does_not_know(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, said: str) -> None:
    class Answer(BaseHTTPRequestHandler):
        """A Hub on this machine that answers as the real one does when it knows no such thing."""

        def do_GET(self) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(InputError, match=said):
            made("foo/bar", tmp_path, revision="v9")
        server.shutdown()


def test_a_name_that_cannot_be_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data set a/b/c on the Hub"):
        made("a/b/c", tmp_path)


def test_a_stream_that_breaks_off_says_where(parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = hub._rows

    def breaking(*args: Any) -> Any:
        yield from list(really(*args))[:3]
        raise ConnectionResetError("Connection reset by peer")

    monkeypatch.setattr(hub, "_rows", breaking)
    with pytest.raises(Unavailable, match="broke off after 3 pictures: Connection reset by peer; run again"):
        made(parquet, tmp_path)


# ---------------------------------------------------------------- fingerprints, doctor


def test_fingerprints_of_hub_sources() -> None:
    base = {"name": "cifar10"}
    variants = [
        base,
        {**base, "limit": 10},
        {**base, "revision": "v2"},
        {**base, "splits": ("test",)},
        {"name": "imagenet_sketch"},
    ]
    assert len({fingerprint(HubSource(**fields)) for fields in variants}) == len(variants)
    assert fingerprint(HubSource(name="cifar10")) == fingerprint(HubSource(name="uoft-cs/cifar10"))
    assert fingerprint(HubSource(name="cifar10", revision="main")) == fingerprint(HubSource(name="cifar10"))


def test_a_local_data_set_is_known_by_its_content(parquet: Path, tmp_path: Path) -> None:
    first = fingerprint(HubSource(name=str(parquet)))
    moved = parquet.rename(tmp_path / "moved")
    assert fingerprint(HubSource(name=str(moved))) == first
    (moved / "data" / "test-00000-of-00001.parquet").unlink()
    assert fingerprint(HubSource(name=str(moved))) != first


def test_requirements(tmp_path: Path, parquet: Path) -> None:
    found = requirements_of(HubSource(name="cifar10"))
    assert found == {
        "what": "CIFAR-10 (60,000 pictures)",
        "from": "huggingface.co/datasets/uoft-cs/cifar10 or www.cs.toronto.edu",
        "size": "144 MB",
        "present": False,
    }
    assert requirements_of(HubSource(name=str(parquet)))["present"] is True
    assert requirements_of(FolderSource(path=str(tmp_path)))["present"] is True
    assert requirements_of(FolderSource(path=str(tmp_path / "gone")))["present"] is False
    assert requirements_of(DrawnSource())["present"] is True
