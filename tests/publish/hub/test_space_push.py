"""A Space pushed by the real client to a loopback Hub: made private as a Docker Space, sent once, brought up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

import sae_core as sc
from sae_core.publish.hub.client import Patience
from sae_core.publish.space import push_space, write_bundle
from tests.publish.loopback_hub import TOKEN, LoopbackHub


def push(run: sc.pipeline.Run, patience: Patience, private: bool = True) -> int:
    """Push to me/lab; how many files the bundle has."""
    return len(push_space(run, "me/lab", token=TOKEN, private=private, patience=patience).files)


def test_a_space_is_private_and_holds_the_bundle(
    hub: LoopbackHub, small_run: sc.pipeline.Run, patience: Patience, tmp_path: Path
) -> None:
    push(small_run, patience)
    repo = hub.repos["me/lab"]
    bundle = write_bundle(small_run, tmp_path / "space")
    assert (repo.type, repo.private) == ("space", True)
    assert {name for name in repo.files if name != ".gitattributes"} == set(bundle.files)
    assert all(repo.files[name] == (bundle.out / name).read_bytes() for name in bundle.files)
    assert not [name for name, content in repo.files.items() if TOKEN.encode() in content]


def test_the_same_space_again_is_no_commit_and_an_old_file_goes(
    hub: LoopbackHub, small_run: sc.pipeline.Run, patience: Patience
) -> None:
    push(small_run, patience)
    repo = hub.repos["me/lab"]
    before = len(repo.messages)
    push(small_run, patience)
    assert len(repo.messages) == before
    repo.commit("main", {**repo.files, "pages/gone.py": b"old", "notes.txt": b"the owner's"}, "by hand")
    push(small_run, patience)
    assert "pages/gone.py" not in repo.files
    assert repo.files["notes.txt"] == b"the owner's"


def test_a_public_space_is_not_written_to_as_a_private_one(
    hub: LoopbackHub, small_run: sc.pipeline.Run, patience: Patience
) -> None:
    push(small_run, patience, private=False)
    with pytest.raises(sc.InputError, match="public already"):
        push(small_run, patience)
