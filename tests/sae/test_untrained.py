"""The frozen random dictionary: directions that nothing chose, k codes a row, the best single scale."""

import numpy as np
import pytest

from sae_core.sae.batches import Arrays, Pool
from sae_core.sae.untrained import random_dictionary

N, D, M, K = 400, 24, 96, 6


@pytest.fixture
def x() -> np.ndarray:
    rng = np.random.default_rng(3)
    return (5 + rng.normal(size=(N, D)) * rng.uniform(0.5, 2, D)).astype(np.float32)


def made(x: np.ndarray, seed: int = 0):  # type: ignore[no-untyped-def]
    return random_dictionary(M, K, Pool([(Arrays([x]), np.arange(len(x)))], D), "test", seed)


def test_it_fires_exactly_k_and_its_encoder_is_its_dictionary(x: np.ndarray) -> None:
    sae = made(x)
    assert (sae.encode(x) > 0).sum(axis=1).max() <= K
    assert (sae.encode(x) > 0).sum(axis=1).mean() > K - 0.5
    encoder, decoder = (sae.weights[name].numpy() for name in ("W_enc", "W_dec"))
    np.testing.assert_allclose(np.linalg.norm(decoder, axis=1), 1, rtol=1e-5)
    factor = encoder[0, 0] / decoder[0, 0]
    np.testing.assert_allclose(encoder, factor * decoder, rtol=1e-4)
    assert factor > 0
    assert sae.encoder_id == "test"


def test_no_other_scale_reconstructs_better(x: np.ndarray) -> None:
    sae = made(x)
    codes, bias = sae.encode(x).astype(np.float64), sae.bias_raw.numpy()
    part, target = codes @ sae.decoder_raw.numpy(), x - bias
    np.testing.assert_allclose((part * target).sum() / (part * part).sum(), 1, rtol=1e-3)


def test_its_directions_are_isotropic_and_follow_the_seed_only(x: np.ndarray) -> None:
    decoder = made(x).weights["W_dec"].numpy()
    np.testing.assert_array_equal(made(3 * x[::-1] + 1).weights["W_dec"].numpy(), decoder)
    assert abs(decoder - made(x, seed=1).weights["W_dec"].numpy()).max() > 0.1
    assert np.linalg.eigvalsh(decoder.T @ decoder / M).max() < 3 / D  # a data-driven one has far more along the first axis
