"""What fires how often, by hand; and the numbers other packages print for the same codes and reconstructions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import torch

from sae_core.errors import InputError
from sae_core.evaluate.sparsity import Sparsity, sparsity
from sae_core.sae.quality import Quality


def test_by_hand() -> None:
    z = scipy.sparse.csr_matrix(np.array([[1.0, 0, 2, 0], [0.5, 0, 0, 0], [3, 0, 0, 0], [1, 0, 4, 0]]))
    found = sparsity(z)
    assert found.active.tolist() == [2, 1, 1, 2]
    assert found.counts.tolist() == [4, 0, 2, 0]
    assert found.rates.tolist() == [1.0, 0.0, 0.5, 0.0]
    assert found.l0_distribution().to_numpy().tolist() == [[1, 2], [2, 2]]
    metrics = found.metrics()
    assert (metrics["l0"], metrics["dead_fraction"], metrics["dense_fraction"]) == (1.5, 0.5, 0.5)
    assert (metrics["l0_q05"], metrics["l0_q50"], metrics["l0_q95"]) == (1.0, 1.5, 2.0)
    assert sparsity(z, np.array([1, 2])).counts.tolist() == [2, 0, 0, 0]


def test_negative_codes_do_not_fire() -> None:
    assert sparsity(np.array([[-1.0, 2.0], [0.0, 3.0]])).counts.tolist() == [0, 2]


@pytest.mark.parametrize(("count", "almost"), [(0, 0.0), (1, 0.5), (4, 0.5), (5, 0.0)])
def test_almost_dead_is_below_one_in_ten_thousand(count: int, almost: float) -> None:
    found = Sparsity(np.ones(50_000, dtype=np.int64), np.array([count, 5000]))
    assert found.metrics()["almost_dead_fraction"] == almost
    assert found.metrics()["dense_fraction"] == 0.0  # exactly a tenth is not more than a tenth


def test_spectrum_counts_every_alive_latent_once_at_its_decade() -> None:
    n = 1000
    counts = np.array([0, 1, 9, 10, 11, 99, 100, 999, 1000])
    table = Sparsity(np.ones(n, dtype=np.int64), counts).spectrum(per_decade=1)
    np.testing.assert_allclose(table[["low", "high"]], [[1e-3, 1e-2], [1e-2, 1e-1], [1e-1, 1.0]])
    assert table["latents"].tolist() == [2, 3, 3]


@pytest.mark.parametrize(("n", "per_decade"), [(7, 4), (1000, 3), (48_321, 5)])
def test_spectrum_covers_all_rates(n: int, per_decade: int) -> None:
    counts = np.arange(0, n + 1, max(1, n // 500))
    table = Sparsity(np.ones(n, dtype=np.int64), counts).spectrum(per_decade)
    assert table["latents"].sum() == np.sum(counts > 0)
    assert table["low"].iloc[0] <= 1 / n * (1 + 1e-9)
    assert table["high"].iloc[-1] == 1.0
    np.testing.assert_allclose(np.diff(np.log10(table["low"])), 1 / per_decade)


def test_no_rows_is_an_error() -> None:
    with pytest.raises(InputError, match="no rows"):
        sparsity(np.ones((3, 2)), np.zeros(0, dtype=np.int64))


# ---------------------------------------------------------------- what other packages print


def test_peers_l0() -> None:
    rng = np.random.default_rng(0)
    z = rng.uniform(0.01, 1, (40, 25)) * (rng.random((40, 25)) < 0.3)
    z[:, 0] = 5e-4  # fires, but below the seed project's threshold
    ours = sparsity(scipy.sparse.csr_matrix(z)).metrics()["l0"]
    assert ours == np.mean(np.sum(z > 0, axis=1))
    assert np.mean(np.sum(z > 1e-3, axis=1)) == pytest.approx(ours - 1)  # the seed project
    assert np.mean(z != 0) == pytest.approx(ours / 25)  # overcomplete
    assert np.mean(z == 0) == pytest.approx(1 - ours / 25)  # MSAE's l0


def test_peers_explained_variance() -> None:
    """The same reconstruction in five conventions; ours is the vector mean, and both of ours are always printed."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 6)) * [1, 1, 1, 3, 0.2, 1] + np.array([4.0, 0, 0, 0, 1, -2])
    x_hat = x + 0.5 * rng.normal(size=x.shape) + 0.3
    quality = Quality(6, 2)
    quality.add(x, x_hat, torch.zeros(2, dtype=torch.int64), 0.0)
    ours = quality.metrics()
    error = np.sum((x - x_hat) ** 2)
    assert ours["r2"] == pytest.approx(1 - error / np.sum((x - x.mean(axis=0)) ** 2))
    patchsae = 1 - error / np.sum(x**2)
    assert ours["r2_uncentred"] == pytest.approx(patchsae)
    overcomplete = 1 - error / np.sum((x - x.mean()) ** 2)  # one scalar mean over all elements
    monoloss = np.mean(1 - np.sum((x - x_hat) ** 2, axis=0) / np.sum((x - x.mean(axis=0)) ** 2, axis=0))
    msae = np.mean((x - x_hat).var(axis=1, ddof=1) / x.var(axis=1, ddof=1))  # what it calls explained is the unexplained part
    sae_for_vlm = 1 - np.sum((x - x_hat).var(axis=0)) / np.sum(x.var(axis=0))  # a constant bias goes unnoticed
    assert ours["r2"] < overcomplete < patchsae
    assert monoloss < ours["r2"] < sae_for_vlm
    assert msae < 0.5 < ours["r2"]
    shifted = 1 - np.sum((x - x_hat - 9).var(axis=0)) / np.sum(x.var(axis=0))
    assert shifted == pytest.approx(sae_for_vlm)
