"""The store: keys, atomic artifacts, damage found and named."""

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_core.errors import DamagedArtifact, InputError
from sae_core.store import Store, make_key

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def commit(store: Store, content: bytes = b"abc", width: int = 1) -> str:
    record = {"stage": "train", "stage_version": 1, "config": {"width": width}, "parents": {}, "fingerprint": None}
    key = make_key("train", 1, record["config"], {}, None)
    store.partial(key).mkdir(parents=True)
    (store.partial(key) / "inner").mkdir()
    (store.partial(key) / "inner" / "file.bin").write_bytes(content)
    store.commit(key, {**record, "seconds": 0.1, "metrics": {"r2": 0.5}})
    return key


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_a_key_depends_on_content_not_on_order(config: dict[str, object]) -> None:
    turned = dict(reversed(list(config.items())))
    assert make_key("train", 1, config, {"a": "1"}, None) == make_key("train", 1, turned, {"a": "1"}, None)
    assert make_key("train", 1, config, {}, None) != make_key("train", 2, config, {}, None)
    assert make_key("train", 1, config, {}, None) != make_key("train", 1, config, {}, "data")


def test_a_committed_artifact_opens_and_verifies(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = commit(store)
    artifact = store.open(key)
    assert artifact.stage == "train"
    assert artifact.metrics == {"r2": 0.5}
    assert (artifact.path / "inner" / "file.bin").read_bytes() == b"abc"
    assert not store.partial(key).exists()
    assert store.verify(key) == []
    assert [a.key for a in store.artifacts()] == [key]


def test_a_file_of_another_size_is_damage_and_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = commit(store)
    file = store.folder(key) / "inner" / "file.bin"
    file.write_bytes(b"abcd")
    with pytest.raises(DamagedArtifact, match=r"inner/file\.bin has 4 bytes instead of 3"):
        store.open(key)
    file.unlink()
    with pytest.raises(DamagedArtifact, match=r"inner/file\.bin is missing"):
        store.open(key)
    assert store.artifacts() == []
    assert store.keys() == [key]


def test_verify_finds_what_sizes_do_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = commit(store)
    (store.folder(key) / "inner" / "file.bin").write_bytes(b"abd")
    assert store.open(key).key == key
    assert len(store.verify(key)) == 1
    (store.folder(key) / "stray").write_bytes(b"")
    assert any("stray" in fault for fault in store.verify(key))


def test_verify_derives_the_key_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = commit(store)
    manifest = json.loads((store.folder(key) / "manifest.json").read_text())
    manifest["config"]["width"] = 2
    (store.folder(key) / "manifest.json").write_text(json.dumps(manifest))
    assert any("derives" in fault for fault in store.verify(key))
    (store.folder(key) / "manifest.json").write_text("{")
    assert any("cannot be read" in fault for fault in store.verify(key))


@pytest.mark.parametrize(
    "key", ["../../etc", "train-123", "train-0123456789abcdeg", "/abs", "train-0123456789abcdef/..", "", "a\0b"]
)
def test_what_is_no_key_never_becomes_a_path(key: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no artifact key"):
        Store(tmp_path).open(key)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to cache folder"):
        Store(tmp_path / "file" / "cache").prepare()


def hold(root: str, key: str, held: "multiprocessing.synchronize.Event", end: "multiprocessing.synchronize.Event") -> None:
    with Store(root).lock(key):
        held.set()
        end.wait(30)


def test_one_writer_a_key_and_a_killed_writer_frees_it(tmp_path: Path) -> None:
    key = "train-0123456789abcdef"
    context = multiprocessing.get_context("spawn")
    held, end = context.Event(), context.Event()
    process = context.Process(target=hold, args=(str(tmp_path), key, held, end))
    process.start()
    try:
        assert held.wait(30)
        with pytest.raises(InputError, match="being made by another process"), Store(tmp_path).lock(key):
            pytest.fail("two writers")
    finally:
        process.kill()
        process.join()
    with Store(tmp_path).lock(key):
        pass


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_kill_before_the_rename_leaves_no_artifact(tmp_path: Path) -> None:
    code = (
        "import os, signal\nfrom sae_core import store as s\n"
        "def die(*a): os.kill(os.getpid(), signal.SIGKILL)\n"
        "s.os.replace = lambda a, b, r=os.replace: die() if str(b).endswith('0123456789abcdef') else r(a, b)\n"
        f"st = s.Store({str(tmp_path)!r}); k = 'train-0123456789abcdef'\n"
        "st.partial(k).mkdir(parents=True); (st.partial(k) / 'f').write_bytes(b'1')\n"
        "st.commit(k, {})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False)
    assert done.returncode == -9
    assert not Store(tmp_path).has("train-0123456789abcdef")
    assert Store(tmp_path).keys() == []
