"""The sparse kernels against the dense arithmetic that they stand for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sae_core.sae.codes import Codes, top_k


def by_sorting(pre: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    values, indices = torch.sort(pre, dim=1, descending=True, stable=True)
    return indices[:, :k], values[:, :k].clamp_min(0)


def as_dense(indices: torch.Tensor, values: torch.Tensor, m: int) -> torch.Tensor:
    return torch.zeros(len(indices), m, dtype=values.dtype).scatter_add_(1, indices, values)


@settings(max_examples=200, deadline=None)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.sampled_from([1, 3, 40, 64])), elements=st.integers(-3, 3)),
    st.data(),
)
def test_top_k_is_a_stable_sort_cut_off_whatever_ties_there_are(pre: np.ndarray, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, pre.shape[1]))
    rows = torch.from_numpy(pre)
    indices, values = top_k(rows, k)
    expected_indices, expected_values = by_sorting(rows, k)
    assert torch.equal(values, expected_values)
    assert torch.equal(as_dense(indices, values, pre.shape[1]), as_dense(expected_indices, expected_values, pre.shape[1]))


@pytest.mark.parametrize(("m", "k"), [(1024, 16), (1000, 16), (64, 64), (64, 1), (4096, 200)])
def test_top_k_of_reals(m: int, k: int) -> None:
    pre = torch.randn(33, m, generator=torch.Generator().manual_seed(m + k))
    indices, values = top_k(pre, k)
    expected_indices, expected_values = by_sorting(pre, k)
    assert torch.equal(values, expected_values)
    # Equal values inside the cut may come in either order, so what is compared is which were chosen.
    assert torch.equal(as_dense(indices, values, m), as_dense(expected_indices, expected_values, m))


@pytest.fixture(params=["padded", "dense", "empty rows"])
def pair(request: pytest.FixtureRequest) -> tuple[Codes, torch.Tensor]:
    """Codes of 9 rows over 17 latents, and the same as a matrix."""
    g = torch.Generator().manual_seed(1)
    if request.param == "padded":
        indices, values = top_k(torch.randn(9, 17, generator=g, dtype=torch.float64), 6)
        return Codes.padded(indices, values, 17), as_dense(indices, values, 17)
    z = torch.randn(9, 17, generator=g, dtype=torch.float64).relu()
    if request.param == "empty rows":
        z[[0, 4, 8]] = 0
    return Codes.dense(z), z


def test_kernels_are_the_dense_products(pair: tuple[Codes, torch.Tensor]) -> None:
    codes, z = pair
    g = torch.Generator().manual_seed(2)
    dictionary = torch.randn(17, 5, generator=g, dtype=torch.float64)
    rows = torch.randn(9, 5, generator=g, dtype=torch.float64)
    close = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(codes.decode(dictionary), z @ dictionary, **close)
    torch.testing.assert_close(codes.transposed(rows), z.T @ rows, **close)
    torch.testing.assert_close(codes.sums(), z.sum(0), **close)
    assert torch.equal(codes.counts(), (z > 0).sum(0))
    owner = torch.repeat_interleave(codes.ptr.diff())
    torch.testing.assert_close(codes.products(rows, dictionary), (rows @ dictionary.T)[owner, codes.latents], **close)
    doubled = codes.with_values(2 * codes.values)
    torch.testing.assert_close(doubled.transposed(rows), 2 * z.T @ rows, **close)


def test_no_codes_at_all() -> None:
    codes = Codes.dense(torch.zeros(3, 4))
    assert torch.equal(codes.decode(torch.ones(4, 2)), torch.zeros(3, 2))
    assert torch.equal(codes.transposed(torch.ones(3, 2)), torch.zeros(4, 2))
    assert codes.products(torch.ones(3, 2), torch.ones(4, 2)).numel() == 0
