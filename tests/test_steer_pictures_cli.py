"""`steer --decoder`: pictures and a strip in a folder; what cannot be drawn is refused first; doctor lists decoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sae_core.cli import main
from sae_core.steer import pictures
from sae_core.steer.decoders import catalogue
from sae_core.steer.decoders.draw import NotDrawn
from sae_core.steer.pictures import Pictured
from tests.pages.conftest import ROOT

DEMO = str(ROOT / "configs" / "demo.yaml")


@pytest.fixture
def cache(tmp_path: Path) -> list[str]:
    """A demo of few images: the arguments that make it."""
    small = ["data.sketch.n=320", "data.photo.n=320", "sae.width=64", "sae.architecture.k=6", "sae.batch_size=64", "sae.steps=60"]
    small += ["interpret.random_directions=50", "steer.random_directions=4"]
    return ["--config", DEMO, "--cache", str(tmp_path / "c"), "--json", *(part for pair in small for part in ("--set", pair))]


def test_pictures_the_strip_and_the_recipe_are_written(
    cache: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><path d="M0 0L9 9"/></svg>'

    def picture(x: Any, recipe: Any, sae: Any, decoder: Any, **how: Any) -> Any:
        asked.append((len(x), how["offload"], how["fetch"]))
        return Pictured(tuple(Image.new("RGB", (8, 8)) for _ in x), tuple(svg for _ in x), recipe)

    monkeypatch.setattr(pictures, "picture", picture)
    out = tmp_path / "out"
    assert main(["steer", *cache, "--decoder", "drawn-strokes", "--out", str(out)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert asked == [(3 + 14, False, False)]
    assert said["decoder"] == "drawn-strokes"
    assert sorted(Path(file).name for file in said["files"]) == sorted(file.name for file in out.iterdir())
    kinds = {"recipe.json", "strip.png", "strip.svg", "strip.gif", "unsteered.png", "steered.svg", "random.png"}
    assert kinds <= {file.name for file in out.iterdir()}

    monkeypatch.setattr(pictures, "picture", lambda x, recipe, *rest, **how: NotDrawn(recipe, "memory ran out"))
    assert main(["steer", *cache, "--decoder", "drawn-strokes", "--out", str(tmp_path / "none")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["files"], said["reason"], said["stage"]) == ([], "memory ran out", "steer")


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["--decoder", "dall-e"], "no decoder 'dall-e'; there are drawn-strokes, kandinsky-2.2"),
        (["--out", "somewhere"], "--out: these belong to --decoder ID"),
        (["--decoder", "kandinsky-2.2", "--scan"], "--scan rates every latent and draws nothing"),
        (["--decoder", "kandinsky-2.2", "--out", __file__], "this is a file; give a folder"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_made(
    options: list[str], cause: str, cache: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["steer", *cache, *options]) == 2
    assert cause in capsys.readouterr().err
    assert not (tmp_path / "c" / "train").exists()


def test_a_decoder_of_another_clip_is_refused(cache: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["steer", *cache, "--decoder", "kandinsky-2.2", "--out", str(out)]) == 2
    assert "kandinsky-2.2 draws embeddings of ViT-bigG-14/laion2b_s39b_b160k" in capsys.readouterr().err
    assert not out.exists()


def test_doctor_lists_every_decoder_and_which_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, fits in (("demo", {catalogue.STROKES.id}), ("kandinsky_bigG", {"kandinsky-2.2"}), ("cifar10", set())):
        argv = ["doctor", "--config", str(ROOT / "configs" / f"{name}.yaml"), "--cache", str(tmp_path / "c"), "--json"]
        assert main(argv) == 0
        said = json.loads(capsys.readouterr().out)["decoders"]
        assert [one["id"] for one in said] == [catalogue.STROKES.id, *catalogue.PRETRAINED]
        assert {one["id"] for one in said if one["fits"]} == fits
        assert all(one["size"] for one in said)
        assert {one["id"]: one["present"] for one in said}[catalogue.STROKES.id] == catalogue.STROKES.present()
