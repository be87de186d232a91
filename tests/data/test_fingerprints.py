"""Fingerprints follow content, not place; unchanged files are not read again."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from sae_core.data import fingerprints
from sae_core.data.fingerprints import STAT_CACHE, UNREADABLE, digest, hash_files, last_place, remember_place
from sae_core.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "a").mkdir(parents=True)
    (root / "a" / "1").write_bytes(b"one")
    (root / "a" / "2").write_bytes(b"two")
    return root


FILES = ["a/1", "a/2"]


def test_hashes_are_sha256(folder: Path) -> None:
    assert hash_files(folder, FILES, None) == {
        "a/1": hashlib.sha256(b"one").hexdigest(),
        "a/2": hashlib.sha256(b"two").hexdigest(),
    }


def test_digest_depends_on_names_and_content_and_not_on_order() -> None:
    assert digest({"a": "1", "b": "2"}) == digest({"b": "2", "a": "1"})
    assert len({digest(d) for d in ({"a": "1", "b": "2"}, {"a": "2", "b": "1"}, {"a": "1"}, {"a": "1", "c": "2"})}) == 4


def test_unchanged_files_are_looked_up(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "SETTLED_NS", -1)
    first = hash_files(folder, FILES, tmp_path)
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return "0" * 64

    monkeypatch.setattr(fingerprints, "sha256_file", counted)
    assert hash_files(folder, FILES, tmp_path) == first
    assert read == []
    (folder / "a" / "2").write_bytes(b"TWO")  # the same size
    changed = hash_files(folder, FILES, tmp_path)
    assert [path.name for path in read] == ["2"]
    assert changed["a/1"] == first["a/1"]
    assert changed["a/2"] == "0" * 64


def test_another_file_of_the_same_name_size_and_time_elsewhere_is_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "SETTLED_NS", -1)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "a" / "1").write_bytes(b"ONE")
    status = (folder / "a" / "1").stat()
    os.utime(other / "a" / "1", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert hash_files(folder, FILES, tmp_path)["a/1"] != hash_files(other, FILES, tmp_path)["a/1"]


def test_a_file_still_warm_is_not_remembered(folder: Path, tmp_path: Path) -> None:
    hash_files(folder, FILES, tmp_path)
    (folder / "a" / "1").write_bytes(b"ONE")
    status = (folder / "a" / "2").stat()
    os.utime(folder / "a" / "1", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert hash_files(folder, FILES, tmp_path)["a/1"] == hashlib.sha256(b"ONE").hexdigest()


def test_an_unreadable_file_is_marked_and_not_remembered(folder: Path, tmp_path: Path) -> None:
    assert hash_files(folder, [*FILES, "a/3"], tmp_path)["a/3"] == UNREADABLE
    (folder / "a" / "3").write_bytes(b"three")
    assert hash_files(folder, [*FILES, "a/3"], tmp_path)["a/3"] == hashlib.sha256(b"three").hexdigest()


def test_a_damaged_cache_is_made_again(folder: Path, tmp_path: Path) -> None:
    (tmp_path / STAT_CACHE).write_bytes(b"this is no database" * 100)
    assert hash_files(folder, FILES, tmp_path) == hash_files(folder, FILES, None)
    with sqlite3.connect(tmp_path / STAT_CACHE) as database:
        assert database.execute("SELECT count(*) FROM files").fetchone() is not None


def test_a_cache_that_cannot_be_written_is_said(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cache"):
        hash_files(folder, FILES, tmp_path / "file")


def test_places(tmp_path: Path) -> None:
    assert last_place(tmp_path, "f") is None
    for name in ("here", "there"):
        remember_place(tmp_path, "f", tmp_path / name)
    assert last_place(tmp_path, "f") == str((tmp_path / "there").resolve())
    assert last_place(tmp_path, "g") is None
