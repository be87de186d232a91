"""The command line as a stranger meets it: exit codes, one line for every mistake, exactly one JSON object."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sae_core.cli import main

ROOT = Path(__file__).parents[1]
ARRAYS = str(ROOT / "configs" / "embeddings.yaml")
DEMO = str(ROOT / "configs" / "demo.yaml")
FOLDERS = str(ROOT / "configs" / "folders.yaml")
SMALL = ["sae.width=32", "sae.architecture.k=4", "sae.batch_size=64", "sae.steps=30", "evaluate.bootstrap=100"]
SMALL += ["data.encoder=test-encoder"]
SMALL += ["interpret.random_directions=50", "visualize.latents.strongest=2", "steer.random_directions=4"]

Captured = pytest.CaptureFixture[str]


def sets(*pairs: str) -> list[str]:
    return [word for pair in pairs for word in ("--set", pair)]


def refuse(argv: list[str], capsys: Captured) -> str:
    """Runs a command that must end with exit code 2 and one line on standard error; that line."""
    code = main(argv)
    out, err = capsys.readouterr()
    last = err.strip().splitlines()[-1]
    assert code == 2, err
    assert out == ""
    assert last.startswith("error: ")
    assert "Traceback" not in err
    return last


def test_run_prints_one_json_object_and_the_second_time_everything_is_cached(
    captioned_arrays: Callable[..., Path], tmp_path: Path, capsys: Captured
) -> None:
    argv = ["run", "--config", ARRAYS, "--cache", str(tmp_path / "cache"), "--json"]
    argv += sets(f"data.path={captioned_arrays()}", *SMALL)
    assert main(argv) == 0
    first = json.loads(capsys.readouterr().out)
    assert {stage["node"] for stage in first["stages"]} >= {"manifest:sketch", "embed:sketch", "train", "steer"}
    assert {"stage", "key", "path", "cached", "seconds", "metrics"} <= set(first["stages"][0])
    assert {"r2", "l0", "dead_fraction", "sketch.recall_1_clip", "sketch.recall_10_sae", "sketch.n"} <= set(first["metrics"])
    assert main(argv) == 0
    second = json.loads(capsys.readouterr().out)
    assert all(stage["cached"] for stage in second["stages"])
    assert second["metrics"] == first["metrics"]

    assert main(["verify", "--cache", str(tmp_path / "cache")]) == 0
    assert main(["ls", "--cache", str(tmp_path / "cache"), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [run["run"] for run in listed["runs"]] == [first["run"]]
    assert len(listed["artifacts"]) == len(first["stages"])
    assert main(["show", first["run"], "--cache", str(tmp_path / "cache"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == first["metrics"]
    assert main(["compare", first["run"], first["run"], "--cache", str(tmp_path / "cache"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["r2"] == [first["metrics"]["r2"]] * 2


def test_a_stage_makes_its_missing_parents_and_prints_its_own_object(
    captioned_arrays: Callable[..., Path], tmp_path: Path, capsys: Captured
) -> None:
    argv = ["evaluate", "--config", ARRAYS, "--cache", str(tmp_path / "c"), "--json"]
    argv += sets(f"data.path={captioned_arrays()}", *SMALL)
    assert main(argv) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["stage"] == "evaluate"
    assert printed["key"].startswith("evaluate-")
    assert not printed["cached"]
    assert sorted(p.name for p in (tmp_path / "c").iterdir() if p.is_dir() and p.name != "runs") == [
        "embed",
        "evaluate",
        "manifest",
        "train",
    ]


def test_the_selected_latents_are_drawn(captioned_arrays: Callable[..., Path], tmp_path: Path, capsys: Captured) -> None:
    argv = ["visualize", "--config", ARRAYS, "--cache", str(tmp_path / "c"), "--latents", "3,17", "--json"]
    assert main([*argv, *sets(f"data.path={captioned_arrays()}", *SMALL)]) == 0
    folder = Path(json.loads(capsys.readouterr().out)["path"])
    assert sorted(p.name for p in folder.glob("*.png")) == ["latent_0003.png", "latent_0017.png"]
    for name in ("latent_0003.png", "latent_0017.png"):
        with Image.open(folder / name) as grid:
            assert min(grid.size) > 100


def test_edits_on_the_command_line(captioned_arrays: Callable[..., Path], tmp_path: Path, capsys: Captured) -> None:
    common = ["--config", ARRAYS, "--cache", str(tmp_path / "c"), *sets(f"data.path={captioned_arrays()}", *SMALL)]
    assert main(["train", *common]) == 0
    capsys.readouterr()
    assert "LATENT:OP:VALUE" in refuse(["steer", *common, "--edit", "x:clamp:2"], capsys)
    assert "steer.edits.0.op" in refuse(["steer", *common, "--edit", "1:bend:2"], capsys)
    assert "no latent 99" in refuse(["steer", *common, "--edit", "99:clamp:2"], capsys)
    assert "--latents" in refuse(["visualize", *common, "--latents", "1;2"], capsys)


def test_publish_export_and_import(captioned_arrays: Callable[..., Path], tmp_path: Path, capsys: Captured) -> None:
    import sae_core as sc

    common = ["--config", ARRAYS, "--cache", str(tmp_path / "c"), *sets(f"data.path={captioned_arrays()}", *SMALL)]
    out = tmp_path / "published"
    assert main(["publish", *common, "--out", str(out)]) == 0
    assert {"README.md", "run.yaml", "publication.json", "dictionary", "evaluation", "names"} == {p.name for p in out.iterdir()}
    assert main(["publish", "folder", str(tmp_path / "same"), *common]) == 0
    assert (tmp_path / "same" / "publication.json").read_bytes() == (out / "publication.json").read_bytes()
    x = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    sae = sc.load_sae(out / "dictionary")
    capsys.readouterr()
    assert main(["import", str(out / "dictionary"), "--out", str(tmp_path / "again")]) == 0
    np.testing.assert_array_equal(sc.load_sae(tmp_path / "again")(x), sae(x))
    capsys.readouterr()
    assert "not an empty folder" in refuse(["publish", *common, "--out", str(tmp_path)], capsys)
    assert main(["ls", "--cache", str(tmp_path / "c"), "--json"]) == 0
    key = next(
        a["key"] for a in json.loads(capsys.readouterr().out.splitlines()[-1])["artifacts"] if a["key"].startswith("train")
    )
    assert main(["export", key, "--cache", str(tmp_path / "c"), "--out", str(tmp_path / "x")]) == 0
    np.testing.assert_array_equal(sc.load_sae(tmp_path / "x")(x), sae(x))


# ---------------------------------------------------------------- bad input: exit 2, one line, what and where


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (["sae.widht=3"], "unknown key sae.widht"),
        (["sae.width=wide"], "sae.width"),
        (["sae.architecture.k=99999"], "k = 99999 is above the dictionary size"),
        (["clip.model=ViT-B-3"], "did you mean"),
        (["clip.model=ViT-B-32", "clip.pretrained=openia"], "openia"),
    ],
)
def test_bad_configuration(pairs: list[str], said: str, tmp_path: Path, capsys: Captured) -> None:
    small = ["data.sketch.n=60", "data.photo.n=60"]
    argv = ["embed", "--config", DEMO, "--cache", str(tmp_path / "c"), *sets(*small, *pairs)]
    assert said in refuse(argv, capsys)


def picture(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(shade).integers(0, 255, size=(40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def test_bad_folders(tmp_path: Path, capsys: Captured) -> None:
    def embed(sketch: Path) -> str:
        good = f"data.photo.path={tmp_path / 'good'}"
        argv = ["embed", "--config", FOLDERS, "--cache", str(tmp_path / "c"), *sets(f"data.sketch.path={sketch}", good)]
        return refuse(argv, capsys)

    for i in range(4):
        picture(tmp_path / "good" / f"class{i % 2}" / f"{i}.png", i)
    assert str(tmp_path / "none") in embed(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in embed(tmp_path / "empty")
    for i in range(4):
        picture(tmp_path / "hollow" / "full" / f"{i}.png", i)
    (tmp_path / "hollow" / "void").mkdir()
    assert "void" in embed(tmp_path / "hollow")
    for i in range(4):
        picture(tmp_path / "single" / "only" / f"{i}.png", i)
    assert "only" in embed(tmp_path / "single")


def test_bad_arrays(captioned_arrays: Callable[..., Path], tmp_path: Path, capsys: Captured) -> None:
    def embed(folder: Path) -> str:
        argv = ["embed", "--config", ARRAYS, "--cache", str(tmp_path / "c")]
        return refuse([*argv, *sets(f"data.path={folder}", "data.encoder=e")], capsys)

    nan = captioned_arrays(name="nan")
    x = np.load(nan / "image_embeddings.npy")
    x[7, 3] = np.nan
    np.save(nan / "image_embeddings.npy", x)
    assert "7" in embed(nan)
    wide = captioned_arrays(name="wide")
    np.save(wide / "text_embeddings.npy", np.zeros((240, 8), dtype=np.float32))
    assert "8" in embed(wide)
    short = captioned_arrays(name="short")
    pd.read_csv(short / "metadata.csv").head(200).to_csv(short / "metadata.csv", index=False)
    line = embed(short)
    assert "200" in line
    assert "240" in line
    pickled = captioned_arrays(name="pickled")
    np.save(pickled / "image_embeddings.npy", np.array([{"a": 1}] * 240, dtype=object), allow_pickle=True)
    assert "image_embeddings.npy" in embed(pickled)


def test_domains_of_different_width_are_refused(captioned_arrays: Callable[..., Path], tmp_path: Path, capsys: Captured) -> None:
    wide, narrow = captioned_arrays(name="wide", d=16), captioned_arrays(name="narrow", d=8)
    data = f"data={{a: {{source: arrays, path: {wide}, encoder: e}}, b: {{source: arrays, path: {narrow}, encoder: e}}}}"
    small = [pair for pair in SMALL if not pair.startswith("data.")]
    argv = ["train", "--config", ARRAYS, "--cache", str(tmp_path / "c"), *sets(data, *small)]
    line = refuse(argv, capsys)
    assert "16" in line
    assert "8" in line


def test_a_corrupted_checkpoint(captioned_arrays: Callable[..., Path], tmp_path: Path, capsys: Captured) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\xff" * 100)
    assert "broken.safetensors" in refuse(["import", str(broken), "--out", str(tmp_path / "o")], capsys)
    assert "none.pt" in refuse(["import", str(tmp_path / "none.pt"), "--out", str(tmp_path / "o")], capsys)
    argv = ["train", "--config", ARRAYS, "--cache", str(tmp_path / "c"), "--json"]
    argv += sets(f"data.path={captioned_arrays()}", *SMALL)
    assert main(argv) == 0
    folder = Path(json.loads(capsys.readouterr().out)["path"])
    weights = folder / "sae.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    line = refuse(["evaluate", *argv[1:]], capsys)
    assert folder.name in line
    assert "rm" in line
    assert main(["rm", folder.name, "--cache", str(tmp_path / "c")]) == 0
    assert main(argv) == 0


def test_a_cache_that_cannot_be_written(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot write to cache folder" in refuse(["embed", "--config", DEMO, "--cache", str(tmp_path / "file")], capsys)


@pytest.mark.parametrize(
    "argv", [["bake"], [], ["train"], ["show", "train-1"], ["show", "run-1"], ["verify", "../x"], ["rm", "x"]]
)
def test_bad_commands(argv: list[str], tmp_path: Path, capsys: Captured) -> None:
    if argv and argv[0] in ("show", "verify", "rm"):
        argv = [*argv, "--cache", str(tmp_path)]
    refuse(argv, capsys)


def test_doctor_names_what_is_missing_without_fetching_it(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name, wanted in {
        "imagenet_sketch": ["ViT-B-32/openai", "songweig/imagenet_sketch"],
        "cifar10": ["ViT-B-32/openai", "cifar10"],
        "sketch_vs_cifar": ["ViT-B-32/openai", "songweig/imagenet_sketch", "cifar10"],
    }.items():
        argv = ["doctor", "--config", str(ROOT / "configs" / f"{name}.yaml"), "--cache", str(tmp_path / "c"), "--json"]
        assert main(argv) == 0
        said = json.loads(capsys.readouterr().out)
        text = json.dumps(said["needs"])
        assert all(word in text for word in wanted)
        assert all(need["size"] for need in said["needs"])
    assert main(["doctor", "--config", DEMO, "--cache", str(tmp_path / "c"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == []


@pytest.mark.parametrize("debug", [False, True])
def test_a_traceback_only_with_debug(debug: bool, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "sae_core", "train", "--config", str(tmp_path / "none.yaml"), *(["--debug"] if debug else [])]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 2
    assert ("Traceback" in done.stderr) is debug
