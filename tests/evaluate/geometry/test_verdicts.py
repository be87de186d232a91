"""Planted truth: on codes that strokes, class, both or neither drive, the verdicts must say so."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from sae_core.errors import Cancelled, InputError
from sae_core.evaluate.geometry.verdicts import UNTESTED, VERDICTS, Geometry, judge, prepare

N, CLASSES, MEASURES = 3000, 16, 9


def drawings(rng: np.random.Generator, spread: float = 0.7) -> tuple[NDArray[np.int64], pd.DataFrame]:
    """Classes, and stroke measures that are correlated, that differ by class, and are skewed, counted or smooth in turn."""
    labels = rng.integers(0, CLASSES, N)
    mixing = np.eye(MEASURES) + rng.normal(size=(MEASURES, MEASURES)) / 3
    latent = spread * rng.normal(size=(CLASSES, MEASURES))[labels] + rng.normal(size=(N, MEASURES)) @ mixing
    for column in range(MEASURES):
        if column % 3 == 0:
            latent[:, column] = np.exp(latent[:, column] / 2)
        elif column % 3 == 1:
            latent[:, column] = np.maximum(0, np.round(2 * latent[:, column]))
    return labels, pd.DataFrame(latent, columns=[f"measure_{c}" for c in range(MEASURES)])


def plant(
    rng: np.random.Generator, labels: NDArray[np.int64], measures: pd.DataFrame, kinds: Sequence[str]
) -> scipy.sparse.csc_matrix:
    """One latent a kind: a noisy drive, of which the top 1 to 10 % of the images fire."""
    values = measures.to_numpy()
    columns = []
    for kind in kinds:
        q = rng.integers(values.shape[1])
        stroke = norm.ppf((rankdata(values[:, q] + 1e-9 * rng.random(N)) - 0.5) / N) * rng.choice((-1, 1))
        member = np.isin(labels, rng.choice(CLASSES, rng.integers(1, 4), replace=False))
        noise = rng.normal(size=N)
        drive = {
            "geometric": stroke + 0.4 * noise,
            "semantic": 2.5 * member + 0.7 * noise,
            "both": stroke + 2.5 * member + 0.4 * noise,
            "neither": noise,
        }[kind]
        rate = np.exp(rng.uniform(np.log(0.01), np.log(0.1)))
        columns.append(np.maximum(drive - np.quantile(drive, 1 - rate), 0))
    return scipy.sparse.csc_matrix(np.stack(columns, axis=1))


def test_planted_truth_is_found() -> None:
    right, firings = [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        labels, measures = drawings(rng)
        kinds = np.repeat(VERDICTS, 50)
        codes = plant(rng, labels, measures, kinds)
        found = judge(codes, prepare(measures, labels, rng, draws=300))
        right.append(found.latents["verdict"].to_numpy() == kinds)
        firings.append(codes.getnnz() / N / len(kinds))
    assert np.mean(right) >= 0.95
    assert all(one[np.repeat(VERDICTS, 50) == kind].mean() >= 0.9 for one in right for kind in VERDICTS)
    assert 0.01 < np.mean(firings) < 0.1  # as rare as latents are


def test_null_is_not_found() -> None:
    """Codes that follow nothing: no more than 5 % of them may be called anything, and p values must be honest."""
    rng = np.random.default_rng(10)
    labels, measures = drawings(rng)
    found = judge(plant(rng, labels, measures, ["neither"] * 600), prepare(measures, labels, rng, draws=300)).latents
    assert (found["verdict"] != "neither").mean() <= 0.05
    for kind in ("geometric", "semantic"):
        assert (found[f"{kind}_p"] <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)


def test_class_shaped_strokes_are_not_semantics() -> None:
    """Strokes tell the class of six in ten drawings here; a latent that follows strokes must still not count as semantic."""
    rng = np.random.default_rng(11)
    labels, measures = drawings(rng, spread=1.0)
    setting = prepare(measures, labels, rng, draws=300)
    assert setting.metrics()["class_from_strokes"] > 0.6
    found = judge(plant(rng, labels, measures, ["geometric"] * 200 + ["semantic"] * 200), setting).latents
    assert found["verdict"].isin(["semantic", "both"])[:200].mean() <= 0.05
    assert found["verdict"].isin(["geometric", "both"])[200:].mean() <= 0.05


def test_the_measure_that_is_followed_is_named() -> None:
    rng = np.random.default_rng(12)
    labels, measures = drawings(rng)
    stroke = measures["measure_5"].to_numpy()
    codes = np.stack([np.maximum(sign * (stroke - np.quantile(stroke, 0.5 + 0.45 * sign)), 0) for sign in (1, -1)], axis=1)
    found = judge(codes, prepare(measures, labels, rng, draws=200))
    assert found.latents["measure"].tolist() == ["measure_5"] * 2
    assert np.sign(found.latents["rho"]).tolist() == [1, -1]
    assert found.rho[0, 5] == found.latents["rho"][0]
    assert (found.p[:, 5] <= found.p.min(axis=1)).all()


def test_rare_and_dead_latents_are_not_judged_and_not_counted() -> None:
    rng = np.random.default_rng(13)
    labels, measures = drawings(rng)
    codes = plant(rng, labels, measures, ["geometric", "neither", "neither"]).tolil()
    codes[:, 1] = 0
    codes[:, 2] = 0
    codes[:9, 2] = 1.0
    found = judge(codes.tocsc(), prepare(measures, labels, rng, draws=100))
    assert found.latents["verdict"].tolist() == ["geometric", UNTESTED, UNTESTED]
    assert found.latents["count"].tolist()[1:] == [0, 9]
    assert np.isnan(found.rho[1:]).all()
    shares = found.shares()
    assert shares["latents"].tolist() == [1, 0, 0, 0]
    assert found.metrics()["geometric_share"] == 1.0


def test_shares_have_the_binomial_interval() -> None:
    verdicts = np.repeat([*VERDICTS, UNTESTED], [100, 50, 30, 20, 400])
    found = Geometry(pd.DataFrame({"verdict": verdicts}), np.zeros((0, 0)), np.zeros((0, 0)), ())
    table = found.shares().set_index("verdict")
    assert table["share"].tolist() == [0.5, 0.25, 0.15, 0.1]
    half = 1.96 * np.sqrt(0.25 * 0.75 / 200)
    assert table.loc["semantic", ["low", "high"]].tolist() == pytest.approx([0.25 - half, 0.25 + half], abs=0.01)
    none = Geometry(pd.DataFrame({"verdict": ["geometric"] * 10}), np.zeros((0, 0)), np.zeros((0, 0)), ()).shares()
    # Wilson: of 0 in n the upper end is z² / (n + z²).
    assert none.set_index("verdict").loc["both", "high"] == pytest.approx(1.96**2 / (10 + 1.96**2), abs=1e-3)


def test_only_labelled_distinct_images_of_real_classes_are_used() -> None:
    rng = np.random.default_rng(14)
    labels = np.repeat([-1, 3, 5, 9], [10, 20, 20, 4])
    groups = np.arange(54)
    groups[11] = groups[10]
    setting = prepare(pd.DataFrame({"a": rng.random(54)}), labels, rng, groups, draws=10)
    assert setting.class_labels.tolist() == [3, 5]
    assert setting.rows.tolist() == [10, *range(12, 50)]
    assert setting.metrics()["geometry_n"] == 39
    chosen = prepare(pd.DataFrame({"a": rng.random(54)}), labels, rng, rows=np.arange(20, 40), draws=10)
    assert chosen.rows.tolist() == list(range(20, 40))


def test_dense_controls_and_sparse_copies_get_the_same_verdicts() -> None:
    rng = np.random.default_rng(15)
    labels, measures = drawings(rng)
    setting = prepare(measures, labels, rng, draws=100)
    x = rng.normal(size=(N, 3)) + measures.to_numpy()[:, :3]
    dense, sparse = judge(x, setting), judge(scipy.sparse.csr_matrix(x), setting)
    pd.testing.assert_frame_equal(dense.latents, sparse.latents)
    assert (dense.latents["geometric_effect"] > 0.3).all()


def test_can_be_stopped_and_says_how_far_it_is() -> None:
    rng = np.random.default_rng(16)
    labels, measures = drawings(rng)
    setting = prepare(measures, labels, rng, draws=10)
    seen = []
    judge(plant(rng, labels, measures, ["neither"] * 3), setting, tick=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (3, 3)

    def stop(done: int, total: int) -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        judge(plant(rng, labels, measures, ["neither"] * 3), setting, tick=stop)


def test_what_cannot_be_judged_is_refused() -> None:
    rng = np.random.default_rng(17)
    labels = np.repeat([0, 1], 10)
    with pytest.raises(InputError, match="20 lines of measures, 19 labels"):
        prepare(pd.DataFrame({"a": rng.random(20)}), labels[1:], rng)
    with pytest.raises(InputError, match="finite number in every row: b"):
        prepare(pd.DataFrame({"a": rng.random(20), "b": [np.nan, *range(19)]}), labels, rng)
    with pytest.raises(InputError, match="not a number"):
        prepare(pd.DataFrame({"a": ["x"] * 20}), labels, rng)
    with pytest.raises(InputError, match="two classes of 5 distinct images"):
        prepare(pd.DataFrame({"a": rng.random(20)}), np.zeros(20, dtype=int), rng)


def main() -> None:
    """Print verdict accuracy on planted truth, and the time for a real size: python -m tests.evaluate.geometry.test_verdicts"""
    print("spread  class from strokes  right   " + "  ".join(f"{kind:>9}" for kind in VERDICTS))
    kinds = np.repeat(VERDICTS, 50)
    for spread in (0.4, 0.7, 1.0, 1.4):
        told, right = [], []
        for seed in range(5):
            rng = np.random.default_rng(100 + seed)
            labels, measures = drawings(rng, spread)
            setting = prepare(measures, labels, rng)
            told.append(setting.metrics()["class_from_strokes"])
            right.append(judge(plant(rng, labels, measures, kinds), setting).latents["verdict"].to_numpy() == kinds)
        each = "  ".join(f"{np.mean(np.stack(right)[:, kinds == kind]):9.3f}" for kind in VERDICTS)
        print(f"{spread:6.1f}  {np.mean(told):18.2f}  {np.mean(right):5.3f}   {each}")
    rng = np.random.default_rng(0)
    n, m, q = 10_000, 4000, 20
    codes = scipy.sparse.random(n, m, 32 / m, format="csc", random_state=rng)
    start = time.perf_counter()
    setting = prepare(pd.DataFrame(rng.random((n, q))), rng.integers(0, 50, n), rng)
    ready = time.perf_counter()
    found = judge(codes, setting).latents
    print(f"{m} latents x {n} images x {q} measures: prepare {ready - start:.0f} s, judge {time.perf_counter() - ready:.0f} s")
    print(f"of these random codes {(found['verdict'] != 'neither').mean():.2%} are called anything")


if __name__ == "__main__":
    main()
