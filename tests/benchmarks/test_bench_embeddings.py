"""The experiments on embeddings with captions: real numbers of made-up data, each dictionary made once."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import clip_patents, pareto
from benchmarks.clip_patents import conclusion, gaps
from benchmarks.dictionaries import SEED, Recipe, make, r2
from benchmarks.worlds import patents

N, D = 80, 512  # the width of the encoder that configs/embeddings.yaml names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Embeddings near those of their captions."""
    rng = np.random.default_rng(5)
    texts = (rng.normal(size=(N, 6)) @ rng.normal(size=(6, D))).astype(np.float32)
    path = tmp_path / "data"
    path.mkdir()
    np.save(path / "image_embeddings.npy", texts + 0.5 * rng.normal(size=(N, D)).astype(np.float32))
    np.save(path / "text_embeddings.npy", texts)
    with (path / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([["file", "caption"], *([f"{i}.png", f"caption {i}"] for i in range(N))])
    return path


def readme(tmp_path: Path, *names: str) -> Path:
    path = tmp_path / "README.md"
    path.write_text("".join(f"<!-- begin {name} -->\n<!-- end {name} -->\n" for name in names), encoding="utf-8")
    return path


def arguments(tmp_path: Path, folder: Path, out: Path, *more: str) -> list[str]:
    where = ["--data", str(folder), "--cache", str(tmp_path / "cache"), "--results", str(tmp_path / "r.jsonl")]
    return ["x", "--quick", *where, "--readme", str(out), *more]


def test_r2_of_the_mean_is_0_and_of_the_rows_themselves_1() -> None:
    x = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    assert r2(x, np.tile(x.mean(0), (50, 1))) == pytest.approx(0, abs=1e-6)
    assert r2(x, x) == 1


def test_pca_of_all_components_is_the_rows_and_its_l0_is_their_number() -> None:
    x = np.random.default_rng(2).normal(size=(60, 5)).astype(np.float32)
    x_hat, l0 = make(Recipe("pca", 16, 5), x)(x)
    assert r2(x, x_hat) == pytest.approx(1, abs=1e-5)
    assert l0 == 5


def test_the_seeds_recipe_leaves_the_global_generator_alone_and_follows_its_seed() -> None:
    import torch

    x = np.random.default_rng(2).normal(size=(60, 5)).astype(np.float32)
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first, again, other = (make(Recipe(SEED, 16, steps=5, seed=seed), x)(x)[0] for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_splits_hold_out_a_fifth_and_differ(folder: Path, tmp_path: Path) -> None:
    world = patents(str(folder), tmp_path / "cache")
    one, two = world.held_out(0), world.held_out(1)
    assert one.sum() == two.sum() == N // 5
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(one, world.held_out(0))


def test_clip_patents_writes_its_table_and_is_resumed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = readme(tmp_path, "clip_patents")
    monkeypatch.setattr("sys.argv", arguments(tmp_path, folder, out, "--splits", "2"))
    assert clip_patents.main() == 0
    text = out.read_text(encoding="utf-8")
    assert "| ours/topk | 4.0 ± 0.0 | 0." in text
    assert "**TopK at L0 4 is " in text
    results = (tmp_path / "r.jsonl").read_bytes()
    assert len(results.splitlines()) == 2 * len(clip_patents.RECIPES)
    monkeypatch.setattr(clip_patents, "measured", lambda *a: pytest.fail("made again"))
    assert clip_patents.main() == 0
    assert (tmp_path / "r.jsonl").read_bytes() == results
    capsys.readouterr()


def test_data_without_captions_embeddings_and_a_single_split_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = readme(tmp_path, "clip_patents")
    monkeypatch.setattr("sys.argv", arguments(tmp_path, folder, out, "--splits", "1"))
    assert clip_patents.main() == 2
    (folder / "text_embeddings.npy").unlink()
    monkeypatch.setattr("sys.argv", arguments(tmp_path, folder, out))
    assert clip_patents.main() == 2
    errors = capsys.readouterr().err
    assert "an interval needs at least 2" in errors
    assert "no text_embeddings.npy" in errors


def records(ours: list[tuple[float, float]], pca: list[tuple[float, float]]) -> dict[str, list[dict[str, Any]]]:
    named = {"ours/topk": ours, "PCA": pca}
    return {name: [{"r2": a, "recall": b} for a, b in values] for name, values in named.items()}


@pytest.mark.parametrize(
    ("pca", "words"),
    [
        ([(0.5, 0.2), (0.51, 0.21)], "is ahead of PCA-32:"),
        ([(0.9, 0.9), (0.91, 0.91)], "is behind PCA-32:"),
        ([(0.5, 0.9), (0.51, 0.91)], "is not ahead on both of PCA-32:"),
        ([(0.5, 0.2), (0.9, 0.9)], "is not ahead on both of PCA-32:"),
    ],
)
def test_the_sentence_on_pca_follows_the_paired_intervals(pca: list[tuple[float, float]], words: str) -> None:
    found = records([(0.7, 0.5), (0.71, 0.51)], pca)
    assert words in conclusion(gaps(found, "PCA"), "PCA", 32)


def test_pareto_of_captioned_data(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = readme(tmp_path, "pareto patents")
    more = ["--parts", "patents", "--families", "topk", "pca", SEED]
    monkeypatch.setattr(pareto, "K", 8)
    monkeypatch.setattr("sys.argv", arguments(tmp_path, folder, out, *more))
    assert pareto.main() == 0
    text = out.read_text(encoding="utf-8")
    assert "| topk | 8 | 3 | 8.0 | " in text
    assert f"{SEED} at its L0 of" in text
    monkeypatch.setattr(pareto, "measured", lambda *a: pytest.fail("made again"))
    assert pareto.main() == 0


def task(before: str) -> pareto.Task:
    """A task whose test rows were right as `before` says."""
    x = np.zeros((len(before), 1), np.float32)
    hits = np.array([float(hit) for hit in before])
    return pareto.Task("drawn", "zero-shot accuracy", x, x, np.arange(len(before)), lambda rows: hits, "", None, 8)


def test_delta_is_paired_and_the_sentence_follows_its_interval() -> None:
    asked = task("1" * 40)
    fine, poor = {"hits": "1" * 39 + "0", "l0": 8.0}, {"hits": "01" * 20, "l0": 300.0}
    assert pareto.delta(asked, [poor]).value == -0.5
    assert pareto.delta(asked, [fine, poor]).value == pytest.approx(-0.2625)
    wanted = {"topk": [Recipe("topk", 16, pareto.K)], SEED: [Recipe(SEED, 16)]}
    better = pareto.verdicts(asked, {"topk": [[fine]], SEED: [[poor]]}, wanted)
    assert f"TopK at L0 32 loses less than {SEED} at its L0 of 300" in better[0]
    worse = pareto.verdicts(asked, {"topk": [[poor]], SEED: [[fine]]}, wanted)
    assert "loses more than" in worse[0]
    equal = pareto.verdicts(asked, {"topk": [[poor]], SEED: [[poor]]}, wanted)
    assert "cannot be told from" in equal[0]


def test_pareto_of_the_drawn_world_needs_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = readme(tmp_path, "pareto drawn")
    where = ["--cache", str(tmp_path / "cache"), "--results", str(tmp_path / "r.jsonl"), "--readme", str(out)]
    monkeypatch.setattr("sys.argv", ["x", "--quick", *where, "--families", "kmeans", "topk"])
    assert pareto.main() == 0
    text = out.read_text(encoding="utf-8")
    assert "| kmeans |  | 1 | 1.0 | 0." in text


def test_an_unknown_family_is_refused(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", arguments(tmp_path, folder, tmp_path / "no", "--parts", "patents", "--families", "nonsense"))
    assert pareto.main() == 2
