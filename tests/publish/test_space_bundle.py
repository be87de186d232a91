"""The bundle of a Docker Space: what is in it, what is not, and what stops it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import sae_core as sc
from sae_core.publish.licences import Licences
from sae_core.publish.space import Bundle, push_space, write_bundle

ROOT = Path(__file__).parents[2]
CANARY = "canary-5f1b9c-do-not-tell"
SMALL = [
    "name=baked",
    "data.sketch.n=160",
    "data.photo.n=160",
    "sae.width=32",
    "sae.architecture.k=4",
    "sae.batch_size=32",
    "sae.steps=40",
    "evaluate.bootstrap=100",
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the run that is baked, and with another dictionary that must stay out of the Space."""
    folder = tmp_path_factory.mktemp("space") / "cache"
    sc.run(ROOT / "configs" / "demo.yaml", cache=folder, stage="train", overrides=[*SMALL, "name=secret other", "sae.seed=7"])
    for stage in ("evaluate", "collect"):
        sc.run(ROOT / "configs" / "demo.yaml", cache=folder, stage=stage, overrides=SMALL)
    return folder


def opened(cache: Path, name: str = "baked") -> sc.pipeline.Run:
    store = sc.Store(cache)
    return next(run for run in sc.pipeline.runs(store) if run.name == name).open(store)


@pytest.fixture(scope="module")
def bundle(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(opened(cache), tmp_path_factory.mktemp("out") / "space")


def front_matter(bundle: Bundle) -> dict[str, object]:
    found = yaml.safe_load((bundle.out / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert isinstance(found, dict)
    return found


def test_it_holds_the_app_and_this_run_alone(bundle: Bundle, cache: Path) -> None:
    run = opened(cache)
    assert {"README.md", "Dockerfile", ".dockerignore", "app.py", "serve.py", ".streamlit/config.toml"} <= set(bundle.files)
    assert {"pages/overview.py", "sae_core/__init__.pyi", "sae_core/clip/bundled/open_clip_model.safetensors"} <= set(
        bundle.files
    )
    keys = {Path(name).parts[2] for name in bundle.files if re.match(r"demo/(?!runs)[a-z]+/[a-z]+-[0-9a-f]{16}/", name)}
    assert keys == {*run.keys.values()}
    assert [name for name in bundle.files if name.startswith("demo/runs/")] == [
        f"demo/runs/{run.id}/config.yaml",
        f"demo/runs/{run.id}/run.json",
    ]
    assert bundle.bytes == sum((bundle.out / name).stat().st_size for name in bundle.files)


def test_nothing_hidden_compiled_or_of_others_is_in_it(bundle: Bundle) -> None:
    hidden = {name for name in bundle.files if any(part.startswith(".") for part in Path(name).parts)}
    assert hidden == {".dockerignore", ".streamlit/config.toml"}
    assert not [name for name in bundle.files if "__pycache__" in name or name.endswith((".pyc", "secrets.toml"))]
    assert not [name for name in bundle.files if name.startswith(("tests/", "cache/", "benchmarks/", "notebooks/"))]
    assert not [path for path in bundle.out.rglob("*") if path.is_symlink()]


def test_the_baked_run_is_sound_and_opens_from_another_place(bundle: Bundle, cache: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(bundle.out / "demo", moved)
    store = sc.Store(moved)
    assert not any(store.verify(artifact.key) for artifact in store.artifacts())
    assert opened(moved).metrics == opened(cache).metrics


def test_the_front_matter_is_what_a_docker_space_needs(bundle: Bundle) -> None:
    said = front_matter(bundle)
    docker = (bundle.out / "Dockerfile").read_text(encoding="utf-8")
    assert (said["sdk"], said["app_port"]) == ("docker", 7860)
    assert f"EXPOSE {said['app_port']}" in docker
    assert (said["license"], said["license_name"]) == ("other", "not-stated"), "nothing is claimed that nobody stated"


def test_the_readme_says_that_it_may_cost_and_names_the_free_way(bundle: Bundle) -> None:
    text = (bundle.out / "README.md").read_text(encoding="utf-8")
    assert "may need a paid plan" in text
    assert "publish site" in text


def test_the_container_runs_as_another_user_in_public_behind_tini(bundle: Bundle) -> None:
    docker = (bundle.out / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER 1000$", docker, re.M)
    assert docker.index("COPY . .") < docker.index("chmod -R a-w") < docker.index("USER 1000")
    assert re.search(r'^ENTRYPOINT \["tini", "--"\]$', docker, re.M)
    assert re.search(r"^HEALTHCHECK .*_stcore/health", docker, re.M)
    environment = dict(re.findall(r"^ENV (\w+)=(.*)$", docker, re.M))
    assert (environment["SAE_LAB_PUBLIC"], environment["SAE_LAB_CACHE"]) == ("1", "demo")
    command = json.loads(re.findall(r"^CMD (.*)$", docker, re.M)[0])
    assert {"serve.py", "--server.port=7860", "--server.enableXsrfProtection=true", "--browser.gatherUsageStats=false"} <= {
        *command
    }


def test_the_code_in_it_imports_without_this_checkout(bundle: Bundle, tmp_path: Path) -> None:
    code = "import sae_core, sae_core.cli, pages._ui.guarding; print(sae_core.__file__)"
    done = subprocess.run(
        [sys.executable, "-B", "-P", "-c", code],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(bundle.out), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().startswith(str(bundle.out))


def test_writing_it_again_replaces_it(bundle: Bundle, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "space"
    first = write_bundle(opened(cache), out)
    (out / "pages" / "left_over.py").write_text("old = True\n")
    second = write_bundle(opened(cache), out)
    assert second == first
    assert not (out / "pages" / "left_over.py").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["space"], "no draft stays behind"


def test_a_folder_of_something_else_is_left_alone(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(sc.InputError, match="choose another"):
        write_bundle(opened(cache), tmp_path)
    assert (tmp_path / "letters.txt").read_text() == "dear"


def test_a_run_with_nothing_to_browse_is_refused(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(sc.InputError, match="no evaluate and no collect"):
        write_bundle(opened(cache, "secret other"), tmp_path / "space")


def test_a_damaged_artifact_is_named_and_nothing_is_written(cache: Path, tmp_path: Path) -> None:
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    run = opened(copy)
    weights = run.paths["train"] / "sae.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(sc.DamagedArtifact, match=run.keys["train"]):
        write_bundle(run, tmp_path / "space")
    assert not (tmp_path / "space").exists()


def test_a_secret_of_the_environment_stops_it_and_is_not_said(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    run = opened(copy)
    (run.paths["train"].parents[1] / "runs" / run.id / "run.json").write_text(
        json.dumps({"id": run.id, "name": CANARY, "created": 0.0, "keys": run.keys}), encoding="utf-8"
    )
    monkeypatch.setenv("MY_SERVICE_TOKEN", CANARY)
    with pytest.raises(sc.InputError, match="MY_SERVICE_TOKEN") as refusal:
        write_bundle(run, tmp_path / "space")
    assert CANARY not in str(refusal.value)
    assert not (tmp_path / "space").exists()


def test_a_canary_in_the_environment_is_nowhere_in_it(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SAE_LAB_VISION_KEY", "OPENROUTER_API_KEY", "HF_TOKEN", "ANY_SECRET"):
        monkeypatch.setenv(name, CANARY)
    made = write_bundle(opened(cache), tmp_path / "space")
    assert not [name for name in made.files if CANARY.encode() in (made.out / name).read_bytes()]


def test_no_path_of_this_machine_is_in_it(bundle: Bundle, cache: Path) -> None:
    for place in (str(ROOT), str(cache), str(Path.home()) + "/"):
        assert not [name for name in bundle.files if place.encode() in (bundle.out / name).read_bytes()], place


def pictures(folder: Path) -> None:
    """Two classes of small pictures."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("circle", "square"):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / name / f"{number}.png")


def test_images_of_a_folder_need_a_licence_and_lose_their_place(tmp_path: Path) -> None:
    pictures(tmp_path / "my drawings")
    raw = {
        "name": "own",
        "data": {"sketch": {"source": "folder", "path": str(tmp_path / "my drawings")}},
        "clip": {"model": "bundled"},
        "sae": {"architecture": {"kind": "topk", "k": 2}, "width": 8, "batch_size": 8, "steps": 10},
        "evaluate": {"bootstrap": 100},
    }
    config = sc.config.validate(sc.RunConfig, raw, "test")
    for stage in ("evaluate", "collect"):
        sc.run(config, cache=tmp_path / "cache", stage=stage)
    run = opened(tmp_path / "cache", "own")
    with pytest.raises(sc.InputError, match="licence"):
        write_bundle(run, tmp_path / "space")
    made = write_bundle(run, tmp_path / "space", licences=Licences("mit", {"sketch": "CC BY 4.0, by me"}))
    assert front_matter(made)["license"] == "mit"
    assert "CC BY 4.0, by me" in (made.out / "README.md").read_text(encoding="utf-8")
    place = str(tmp_path / "my drawings").encode()
    assert not [name for name in made.files if place in (made.out / name).read_bytes()]
    store = sc.Store(made.out / "demo")
    assert not any(store.verify(artifact.key) for artifact in store.artifacts())
    assert opened(made.out / "demo", "own").metrics == run.metrics


@pytest.mark.parametrize("repo", ["", "name", "../../x/y", "a/b/c", "owner/", "owner/na me", "https://host/owner/name", "o/n\0"])
def test_push_refuses_what_is_no_space(cache: Path, repo: str) -> None:
    with pytest.raises(sc.InputError, match="owner/name"):
        push_space(opened(cache), repo, token="token-of-a-test", dry_run=True)


def test_a_dry_run_asks_nobody_and_says_every_file(cache: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object) -> None:
        raise AssertionError("a dry run opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    events: list[sc.Event] = []
    made = push_space(opened(cache), "owner/name", token=None, dry_run=True, report=events.append)
    assert made.files == bundle.files
    assert any("may need a paid plan" in event.message for event in events)


def test_a_push_without_a_token_says_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(sc.InputError, match="HF_TOKEN"):
        push_space(opened(cache), "owner/name", token=None)
