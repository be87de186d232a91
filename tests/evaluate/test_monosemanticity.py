"""MS against its definition over all pairs, and by hand."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sae_core.activations.index import Activations
from sae_core.activations.writer import Rows, Writer
from sae_core.errors import InputError
from sae_core.evaluate.monosemanticity import monosemanticity


def by_pairs(z: NDArray[np.float64], e: NDArray[np.float64]) -> NDArray[np.float64]:
    """The quadratic form, over all pairs i < k, as it is defined."""
    unit = e / np.linalg.norm(e, axis=1, keepdims=True)
    cosine = unit @ unit.T
    out = np.full(z.shape[1], np.nan)
    for j, column in enumerate(z.T):
        if column.max() == column.min():
            continue
        a = (column - column.min()) / (column.max() - column.min())
        upper = np.triu_indices(len(a), 1)
        weight = np.outer(a, a)[upper]
        if weight.sum() > 0:
            out[j] = np.sum(weight * cosine[upper]) / weight.sum()
    return out


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(2, 40),
    m=st.integers(1, 9),
    d=st.sampled_from((1, 3, 65, 130)),
    rate=st.sampled_from((0.1, 0.5, 1.0)),
    signed=st.booleans(),
)
def test_linear_form_is_the_quadratic_one(seed: int, n: int, m: int, d: int, rate: float, signed: bool) -> None:
    rng = np.random.default_rng(seed)
    z = rng.random((n, m)) * (rng.random((n, m)) < rate) - (0.5 if signed else 0.0)
    e = rng.normal(size=(n, d)) + 0.5
    expected = by_pairs(z, e)
    for codes in (scipy.sparse.csr_matrix(z), z):
        np.testing.assert_allclose(monosemanticity(codes, e, "second").scores, expected, atol=1e-6, rtol=0)


def test_by_hand() -> None:
    # Latent 0: images 0 and 1 alike (cos 1), 2 orthogonal; weights 1, 1/2, 1: (1/2 * 1 + 1 * 0 + 1/2 * 0) / (1/2 + 1 + 1/2).
    z = np.array([[2.0, 0, 3, 1], [1.0, 0, 0, 1], [2.0, 0, 0, 1], [0, 0, 0, 1]])
    e = np.array([[5.0, 0], [1, 0], [0, 2], [0, 1]])
    found = monosemanticity(scipy.sparse.csc_matrix(z), e, "drawn")
    np.testing.assert_allclose(found.scores, [0.25, np.nan, np.nan, np.nan])  # dead, one image, constant: undefined
    assert (found.encoder, found.n) == ("drawn", 4)
    assert found.metrics() == {"ms_mean": 0.25, "ms_median": 0.25, "ms_best": 0.25, "ms_latents": 1.0, "ms_n": 4.0}


def test_scale_of_codes_and_embeddings_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    z, e = rng.random((30, 4)) * (rng.random((30, 4)) < 0.4), rng.normal(size=(30, 6))
    scaled = monosemanticity(z * [1e-3, 1, 7, 1e4], e * rng.uniform(0.1, 9, (30, 1)), "e").scores
    np.testing.assert_allclose(scaled, monosemanticity(z, e, "e").scores, atol=1e-12)


def test_a_zero_embedding_is_like_nothing() -> None:
    z = np.array([[1.0], [1.0], [1.0], [0.0]])
    e = np.array([[1.0, 0], [2.0, 0], [0, 0], [1, 1]])
    assert monosemanticity(z, e, "e").scores[0] == pytest.approx(1 / 3)


def test_from_the_store_and_from_chosen_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    n, m, k = 50, 12, 3
    indices = np.stack([rng.choice(m, k, replace=False) for _ in range(n)])
    values = rng.integers(1, 9, (n, k)).astype(np.float32) / 4
    writer = Writer(tmp_path, m)
    writer.append(indices, values)
    writer.finish([Rows("d", np.arange(n), np.full(n, "test"), np.zeros(n, dtype=np.int64), np.arange(n))], {"encoder": "t"})
    z = np.zeros((n, m))
    np.put_along_axis(z, indices, values, axis=1)
    e = rng.normal(size=(n, 5))
    acts, rows = Activations.load(tmp_path), rng.permutation(n)[:23]
    np.testing.assert_allclose(monosemanticity(acts, e, "e").scores, by_pairs(z, e), atol=1e-6)
    chosen = by_pairs(z[rows], e[rows])
    for codes in (acts, scipy.sparse.csr_matrix(z), z):
        np.testing.assert_allclose(monosemanticity(codes, e[rows], "e", rows).scores, chosen, atol=1e-6)


def test_other_images_are_refused() -> None:
    with pytest.raises(InputError, match="4 rows of codes and embeddings"):
        monosemanticity(np.ones((4, 2)), np.ones((3, 2)), "e")
    with pytest.raises(InputError, match="twice"):
        monosemanticity(np.ones((4, 2)), np.ones((2, 2)), "e", np.array([1, 1]))
    with pytest.raises(InputError, match="rows 0 to 9 of codes that have rows 0 to 3"):
        monosemanticity(np.ones((4, 2)), np.ones((2, 2)), "e", np.array([0, 9]))


def main() -> None:
    """Print the time for 50,000 images, 8,192 latents, 32 a row, 512 dimensions: python -m tests.evaluate.test_monosemanticity"""
    rng = np.random.default_rng(0)
    n, m, k, d = 50_000, 8192, 32, 512
    at = (rng.integers(0, m, (n, k)).ravel(), np.repeat(np.arange(n), k))
    z = scipy.sparse.csr_matrix((rng.random(n * k, dtype=np.float32), at[::-1]), shape=(n, m))
    e = rng.normal(size=(n, d)).astype(np.float32) + 1
    start = time.perf_counter()
    found = monosemanticity(z, e, "random vectors")
    print(
        f"{n} x {m}, {z.nnz} codes, {d} dimensions: {time.perf_counter() - start:.1f} s, mean MS {found.metrics()['ms_mean']:.3f}"
    )


if __name__ == "__main__":
    main()
