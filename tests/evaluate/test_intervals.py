"""Bootstrap intervals of a reconstruction's numbers."""

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st

from sae_core.config import TopK
from sae_core.evaluate.domains import _encoded
from sae_core.evaluate.intervals import reconstruction_intervals
from sae_core.evaluate.metrics import bootstrap_mean, bootstrap_ratio
from sae_core.sae.architectures import SAE
from sae_core.sae.quality import Quality


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, scipy.sparse.csr_matrix]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 5)).astype(np.float32) + 2
    x_hat = x + 0.3 * rng.standard_normal((n, 5)).astype(np.float32)
    return x, x_hat, scipy.sparse.csr_matrix(rng.random((n, 8)) * (rng.random((n, 8)) < 0.4))


def test_the_intervals_hold_what_the_one_definition_measures() -> None:
    x, x_hat, codes = rows(400, 0)
    found = reconstruction_intervals(x, x_hat, codes, np.arange(400), 500, np.random.default_rng(0))
    quality = Quality(5, 8)
    dense = codes.toarray().astype(np.float32)
    quality.update(x, x_hat, np.tile(np.arange(8), (400, 1)), dense)
    measured = quality.metrics()
    for name in ("r2", "r2_uncentred", "cosine", "l0"):
        low, high = found[f"{name}_ci_low"], found[f"{name}_ci_high"]
        assert low < measured[name] < high
        assert high - low < 0.1 * max(1.0, measured[name])


def test_the_interval_of_r2_covers_as_often_as_it_says() -> None:
    # R² of the whole population: noise variance over row variance.
    truth, held = 1 - 0.3**2, 0
    for seed in range(100):
        x, x_hat, codes = rows(150, seed)
        found = reconstruction_intervals(x, x_hat, codes, np.arange(150), 300, np.random.default_rng(seed))
        held += found["r2_ci_low"] <= truth <= found["r2_ci_high"]
    assert 85 <= held <= 100


def test_copies_widen_it() -> None:
    x, x_hat, codes = rows(60, 1)
    five = np.tile(np.arange(60), 5)
    copied = (x[five], x_hat[five], codes[five])
    together = reconstruction_intervals(*copied, five, 500, np.random.default_rng(0))
    alone = reconstruction_intervals(*copied, np.arange(300), 500, np.random.default_rng(0))
    single = reconstruction_intervals(x, x_hat, codes, np.arange(60), 500, np.random.default_rng(0))

    def width(found: dict[str, float]) -> float:
        return found["r2_ci_high"] - found["r2_ci_low"]

    assert width(together) == pytest.approx(width(single), rel=1e-6)
    assert width(alone) < 0.6 * width(together)


@given(st.integers(1, 40), st.integers(0, 5))
def test_a_ratio_over_ones_is_a_mean(n: int, seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal(n)
    a = bootstrap_mean(values, 100, np.random.default_rng(1))
    assert a == bootstrap_ratio(values, np.ones(n), 100, np.random.default_rng(1))


def test_a_ratio_without_a_denominator_is_nan() -> None:
    assert np.isnan(bootstrap_ratio(np.ones(3), np.zeros(3), 100, np.random.default_rng(0))).all()
    assert np.isnan(bootstrap_ratio(np.ones(0), np.ones(0), 100, np.random.default_rng(0))).all()


def test_reconstructions_of_rows_with_few_codes_are_their_own() -> None:
    # Tidying the codes' padding once moved values of other rows under the reconstructions.
    rng = np.random.default_rng(2)
    encoder = torch.from_numpy(rng.standard_normal((12, 4)).astype(np.float32))
    weights = {"W_enc": encoder, "b_enc": torch.full((12,), -1.5), "W_dec": encoder.clone(), "b_dec": torch.zeros(4)}
    sae = SAE(TopK(k=6), weights)
    x = rng.standard_normal((50, 4)).astype(np.float32)
    codes, x_hat = _encoded(sae, x)
    assert codes.nnz < 50 * 6, "some rows have padding"
    np.testing.assert_allclose(x_hat, sae(x), atol=1e-6)
    np.testing.assert_allclose(codes.toarray(), sae.encode(x), atol=1e-6)
