"""CKNNA against the peers' formula written out with loops, and its invariances."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sae_core.errors import InputError
from sae_core.evaluate.alignment import cknna


def peers(a: NDArray[np.float64], b: NDArray[np.float64], k: int) -> float:
    """The definition of Huh et al. and MSAE in plain loops, with their 1e-6."""
    m = len(a)

    def neighbours(kernel: NDArray[np.float64], i: int) -> set[int]:
        return set(sorted((j for j in range(m) if j != i), key=lambda j: -kernel[i, j])[:k])

    def align(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
        p, q = np.zeros((m, m)), np.zeros((m, m))
        for i in range(m):
            for j in neighbours(first, i) & neighbours(second, i):
                p[i, j], q[i, j] = first[i, j], second[i, j]
        direct = sum(p[i, j] * q[j, i] for i in range(m) for j in range(m))
        chain = sum(p[i, j] * q[j, o] for i in range(m) for j in range(m) for o in range(m))
        return (direct + p.sum() * q.sum() / ((m - 1) * (m - 2)) - 2 * chain / (m - 2)) / (m * (m - 3))

    kernels = a @ a.T, b @ b.T
    root = np.sqrt(align(kernels[0], kernels[0]) * align(kernels[1], kernels[1]))
    return float(align(*kernels) / (root + 1e-6))


@pytest.mark.parametrize("seed", range(3))
def test_is_the_peers_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(24, 6)) + 1.0
    b = a + 0.7 * rng.normal(size=a.shape)
    assert cknna(a, b, k=5).value == pytest.approx(peers(a, b, 5), abs=1e-5)


def test_equal_representations_have_one() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(64, 8))
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    assert cknna(a, a).value == pytest.approx(1.0, abs=1e-12)
    assert cknna(a, 3.0 * a @ turn).value == pytest.approx(1.0, abs=1e-9)  # inner products keep under rotation, and scale cancels


def test_unrelated_representations_have_about_none() -> None:
    rng = np.random.default_rng(1)
    assert abs(cknna(rng.normal(size=(1024, 32)), rng.normal(size=(1024, 32))).value) < 0.02


def test_is_the_mean_over_full_batches_and_says_which() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=(150, 6))
    b = a + rng.normal(size=a.shape)
    found = cknna(a, b, k=4, batch=60)
    assert (found.k, found.batch, found.batches) == (4, 60, 2)
    assert found.value == pytest.approx((cknna(a[:60], b[:60], 4).value + cknna(a[60:120], b[60:120], 4).value) / 2)
    assert cknna(a, b, k=4, batch=1000).batch == 150
    assert found.metrics() == {"cknna": found.value, "cknna_k": 4.0, "cknna_batch": 60.0}


def test_depends_on_the_batch() -> None:
    rng = np.random.default_rng(3)
    a = rng.normal(size=(400, 6))
    b = a + rng.normal(size=a.shape)
    assert abs(cknna(a, b, batch=50).value - cknna(a, b, batch=400).value) > 0.05


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InputError, match="same rows"):
        cknna(np.ones((5, 2)), np.ones((6, 2)))
    with pytest.raises(InputError, match="10 neighbours in batches of 8 rows"):
        cknna(np.ones((8, 2)), np.ones((8, 2)))
