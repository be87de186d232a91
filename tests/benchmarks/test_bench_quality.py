"""Data with a known truth, runs that are made once, and how a peer's best is chosen."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import datasets, quality_runs, train_quality
from benchmarks.quality_runs import GRID, Chain, Results, Run, Setup, count, measured, mmcs, trainings

SETUP = Setup(m=32, k=4, batch=16, steps=20)


@pytest.fixture
def data(tmp_path: Path) -> datasets.DataSet:
    x, truth = datasets.synthetic(120, 16, 3, features=20)
    return datasets.keep("small", tmp_path / "data", x[:100], x[100:], truth)


def test_synthetic_rows_are_sums_of_exactly_k_features_and_small_noise() -> None:
    x, truth = datasets.synthetic(300, 64, 3, features=10)  # few features, many dimensions: the codes can be solved for
    codes = np.linalg.lstsq(truth.T, x.T, rcond=None)[0].T
    active = codes > 0.3  # magnitudes begin at 0.5
    assert (active.sum(1) == 3).all()
    assert codes[active].min() > 0.4
    assert np.abs(codes[~active]).max() < 0.1
    assert np.std(x - codes @ truth) == pytest.approx(datasets.NOISE * math.sqrt(54 / 64), rel=0.05)
    frequency = active.mean(0)
    assert frequency[0] > 2 * frequency[-1]
    np.testing.assert_allclose(np.linalg.norm(truth, axis=1), 1, atol=1e-6)


def test_synthetic_data_follow_from_their_seed_in_any_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    first = datasets.synthetic(50, 8, 2, features=10)
    np.testing.assert_array_equal(first[0], datasets.synthetic(50, 8, 2, features=10)[0])
    assert not np.array_equal(first[1], datasets.synthetic(50, 8, 2, features=10, seed=1)[1])


def test_peers_fit_and_validation_rows_are_the_training_rows(data: datasets.DataSet) -> None:
    parts = {name: np.load(data.path(name)) for name in ("train", "fit", "validate", "test")}
    assert [len(parts[name]) for name in ("train", "fit", "validate", "test")] == [100, 90, 10, 20]
    together = np.concatenate([parts["fit"], parts["validate"]])
    assert sorted(map(tuple, together)) == sorted(map(tuple, parts["train"]))


def test_mmcs_is_the_mean_of_each_true_features_largest_cosine() -> None:
    truth = np.eye(3, dtype=np.float32)
    decoder = np.array([[2, 0, 0], [0, 3, 4], [0, 0, 0]], np.float32)
    assert mmcs(truth, decoder) == pytest.approx((1 + 0.6 + 0.8) / 3, abs=1e-6)


def test_what_a_worker_wrote_is_measured_by_the_projects_definitions(data: datasets.DataSet, tmp_path: Path) -> None:
    for name in ("test", "validate", "train"):
        x = np.load(data.path(name))
        np.save(tmp_path / f"{name}.x_hat.npy", x if name == "validate" else np.tile(x.mean(0), (len(x), 1)))
        np.save(tmp_path / f"{name}.counts.npy", np.array([len(x), 0, 0, 1 if name == "train" else 0]))
    truth = data.truth()
    assert truth is not None
    np.save(tmp_path / "decoder.npy", truth)
    found = measured(data, tmp_path)
    assert found["r2"] == pytest.approx(0, abs=1e-6)  # the mean explains nothing
    assert found["validation_r2"] == 1
    assert found["l0"] == 1
    assert found["dead_fraction"] == 0.5  # one latent fires on training rows alone
    assert found["mmcs"] == pytest.approx(1, abs=1e-6)


def test_a_finished_run_is_not_made_again_even_by_another_process(tmp_path: Path) -> None:
    path = tmp_path / "quality.jsonl"
    settings = {"trainer": "x", "seed": 0, "lr": None}
    Results(path).add(settings, {"r2": 0.5})
    again = Results(path)
    assert again.get({"lr": None, "seed": 0, "trainer": "x"}) == {"settings": settings, "r2": 0.5}
    assert again.get({**settings, "lr": 1e-3}) is None
    again.add({**settings, "seed": 1}, {"r2": 0.6})
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


def chain(trainer: str, data: datasets.DataSet, tmp_path: Path, scores: dict[float | None, float]) -> tuple[Chain, list[Run]]:
    """A chain whose trainings are looked up by learning rate instead of made."""
    made: list[Run] = []

    class Fake(Chain):
        def _train(self, run: Run) -> dict[str, Any]:
            made.append(run)
            return {"validation_r2": scores[run.lr], "r2": 0.0}

    return Fake(trainer, data, SETUP, Results(tmp_path / "q.jsonl"), Path("none"), tmp_path / "log"), made


def test_a_peers_best_is_the_best_on_validation_rows_and_no_training_is_made_twice(
    data: datasets.DataSet, tmp_path: Path
) -> None:
    one, made = chain("sparsify/topk", data, tmp_path, {None: 0.1, **dict(zip(GRID, (0.2, 0.6, math.nan, 0.3), strict=True))})
    found = dict(trainings(one, 3))
    assert [record["settings"]["lr"] for record in found["best"]] == [1e-3] * 3
    assert [record["settings"]["seed"] for record in found["best"]] == [0, 1, 2]
    assert all(record["settings"]["standardise"] for record in found["best"])
    assert not any(record["settings"]["standardise"] for record in found["default"])
    assert len(made) == len(set(made)) == count("sparsify/topk", 3)
    dict(trainings(one, 3))
    assert len(made) == count("sparsify/topk", 3)


def test_the_grid_goes_on_while_its_last_rate_is_the_best(data: datasets.DataSet, tmp_path: Path) -> None:
    scores = {None: 0.1, **dict(zip(GRID, (0.2, 0.3, 0.4, 0.5), strict=True)), 3e-2: 0.45}
    found = dict(trainings(chain("sparsify/topk", data, tmp_path, scores)[0], 1))
    assert found["best"][0]["settings"]["lr"] == 1e-2


def test_a_default_that_beats_the_grid_is_the_best(data: datasets.DataSet, tmp_path: Path) -> None:
    one, made = chain("sparsify/topk", data, tmp_path, {None: 0.9, **dict.fromkeys(GRID, 0.2)})
    found = dict(trainings(one, 2))
    assert found["best"] == found["default"]
    assert len(made) == 2 + len(GRID)


@pytest.mark.parametrize("trainer", ["ours/topk", "seed/relu_l1"])
def test_ours_and_the_seeds_recipe_are_trained_as_they_are(trainer: str, data: datasets.DataSet, tmp_path: Path) -> None:
    one, made = chain(trainer, data, tmp_path, {None: 0.5})
    assert list(dict(trainings(one, 3))) == ["default"]
    assert made == [Run(trainer, seed) for seed in range(3)]


def test_results_of_our_trainer_hang_on_its_source_and_the_peers_on_their_pins() -> None:
    assert quality_runs.code_of("ours/topk") == quality_runs.code_of("ours/pca") != quality_runs.code_of("sparsify/topk")


def test_the_whole_benchmark_runs_on_our_rows_and_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, truth = datasets.synthetic(240, 16, 3, features=20)
    monkeypatch.setitem(train_quality.SETUPS, "synthetic", SETUP)
    monkeypatch.setattr(train_quality, "RESULTS", tmp_path)
    monkeypatch.setattr(quality_runs, "code_of", lambda trainer: "this source")
    monkeypatch.setattr(train_quality, "prepared", lambda name, options: datasets.keep(name, tmp_path, x[:200], x[200:], truth))
    monkeypatch.setattr(train_quality, "TRAINERS", ["ours/topk", "ours/random"])
    readme = tmp_path / "README.md"
    readme.write_text("<!-- begin train_quality synthetic -->\n<!-- end train_quality synthetic -->\n", encoding="utf-8")
    results, missing = tmp_path / "q.jsonl", tmp_path / "no-python"
    argv = [
        "x",
        "--sets",
        "synthetic",
        "--seeds",
        "2",
        "--peers",
        str(missing),
        "--results",
        str(results),
        "--readme",
        str(readme),
    ]
    monkeypatch.setattr("sys.argv", argv)
    assert train_quality.main() == 0
    text = readme.read_text(encoding="utf-8")
    assert "| ours/topk | no setting given | 0." in text
    assert "| ours/random |" in text
    before = results.read_bytes()
    assert len(before.splitlines()) == 4
    monkeypatch.setattr(Chain, "_train", lambda self, run: pytest.fail("made again"))
    assert train_quality.main() == 0
    assert results.read_bytes() == before
    readme.write_text(text.replace("ours/random", "changed"), encoding="utf-8")
    monkeypatch.setattr(train_quality, "TRAINERS", ["ours/topk", "overcomplete/topk"])
    assert train_quality.main() == 0
    assert "changed" in readme.read_text(encoding="utf-8")  # a table without the peers replaces none that has them


def test_the_plan_fits_into_its_time(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_quality, "available", lambda names, peers, say: list(names))
    monkeypatch.setattr("sys.argv", ["x", "--dry-run"])
    assert train_quality.main() == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert 5 < int(last.split()[1]) <= 25
