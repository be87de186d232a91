"""A Space pushed by the real client to a loopback Hub: made private as a Docker Space, sent once, brought up to date."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sae_core as sc
from sae_core.cli import main
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


def test_a_static_space_holds_the_site(hub: LoopbackHub, small_run: sc.pipeline.Run, patience: Patience, tmp_path: Path) -> None:
    sent = push_space(small_run, "me/site", token=TOKEN, static=True, patience=patience)
    repo = hub.repos["me/site"]
    site = sc.write_site(small_run, tmp_path / "site")
    written = {path.relative_to(site.out).as_posix(): path.read_bytes() for path in site.out.rglob("*") if path.is_file()}
    assert (repo.type, repo.private) == ("space", True)
    assert {name: content for name, content in repo.files.items() if name != ".gitattributes"} == written
    assert (set(sent.files), sent.bytes) == (set(written), site.bytes)
    assert b'sdk: "static"' in repo.files["README.md"]
    before = len(repo.messages)
    repo.commit("main", {**repo.files, "data/cards-999.js": b"of an earlier dictionary", "notes.txt": b"the owner's"}, "by hand")
    push_space(small_run, "me/site", token=TOKEN, static=True, patience=patience)
    assert len(repo.messages) == before + 2
    assert "data/cards-999.js" not in repo.files
    assert repo.files["notes.txt"] == b"the owner's"


@pytest.mark.parametrize("static", [True, False])
def test_the_command_writes_a_folder_says_every_file_and_pushes(
    hub: LoopbackHub,
    demo_cache: Path,
    small_run: sc.pipeline.Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    static: bool,
) -> None:
    config = demo_cache / "runs" / small_run.id / "config.yaml"
    argv = ["publish", "space", "me/lab", "--config", str(config), "--cache", str(demo_cache), "--json", "--license", "mit"]
    argv += ["--static"] * static
    assert main([*argv, "--dry-run", "--out", str(tmp_path / "space")]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == ("static" if static else "docker")
    written = {path.relative_to(tmp_path / "space").as_posix() for path in (tmp_path / "space").rglob("*") if path.is_file()}
    assert {"README.md", "site.json" if static else "Dockerfile"} <= written
    assert main([*argv, "--dry-run"]) == 0
    assert set(json.loads(capsys.readouterr().out)["files"]) == written
    assert hub.requests == []
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out)["private"] is True
    assert set(hub.repos["me/lab"].files) - {".gitattributes"} == written


def test_the_command_writes_a_site_with_its_licences(
    demo_cache: Path, small_run: sc.pipeline.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = demo_cache / "runs" / small_run.id / "config.yaml"
    argv = ["publish", "site", str(tmp_path / "site"), "--config", str(config), "--cache", str(demo_cache), "--json"]
    assert main([*argv, "--license", "cc-by-4.0"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"] > 10
    assert "cc-by-4.0" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert main(["publish", "space", "me/lab", *argv[3:], "--images"]) == 2
    assert "--images is for --static" in capsys.readouterr().err
