"""What a dictionary computes: the same in every way of asking, affine in the code, blind to the order of its latents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_core.config import Architecture, BatchTopK, Gated, JumpRelu, KMeans, Matryoshka, ReluL1, Splice, TopK
from sae_core.errors import InputError
from sae_core.sae import architectures as module
from sae_core.sae.architectures import SAE
from sae_core.sae.quality import Quality
from sae_core.sae.rules import shapes_of

Make = Callable[..., SAE]
ARCHITECTURES = [
    TopK(k=1),
    TopK(k=4),
    TopK(k=20),
    ReluL1(),
    BatchTopK(k=4),
    Matryoshka(k=4),
    Gated(),
    JumpRelu(),
    KMeans(),
]


@pytest.fixture(params=ARCHITECTURES, ids=str)
def sae(request: pytest.FixtureRequest, make_sae: Make) -> SAE:
    return make_sae(request.param)


def rows(n: int = 30, seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, 6)) * 4 + 3).astype(np.float32)


def by_hand(sae: SAE, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    w = {name: tensor.double().numpy() for name, tensor in sae.weights.items()}
    mean = sae.mean.double().numpy()
    pre = (x.astype(float) - mean) * sae.scale @ w["W_enc"].T + w.get("b_enc", 0.0)
    match sae.architecture:
        case TopK(k=k):
            z = np.maximum(pre, 0)
            np.put_along_axis(z, np.argsort(-pre, axis=1, kind="stable")[:, k:], 0.0, axis=1)
        case BatchTopK() | Matryoshka() | JumpRelu():
            z = pre * (pre > w["threshold"])
        case Gated():
            z = (pre + w["b_gate"] > 0) * np.maximum(pre * np.exp(w["r_mag"]) + w["b_mag"], 0)
        case KMeans():
            z = (pre == pre.max(1, keepdims=True)).astype(float)
        case _:
            z = np.maximum(pre, 0)
    return z, (z @ w["W_dec"] + w["b_dec"]) / sae.scale + mean


def test_it_computes_its_formula(sae: SAE) -> None:
    x = rows()
    z, x_hat = by_hand(sae, x)
    np.testing.assert_allclose(sae.encode(x), z, atol=2e-5)
    np.testing.assert_allclose(sae(x), x_hat, atol=2e-4)
    np.testing.assert_allclose(sae.decode(sae.encode(x)), x_hat, atol=2e-4)


def test_sparse_and_dense_codes_are_the_same(sae: SAE) -> None:
    x = rows()
    indices, values = sae.encode_sparse(x)
    dense = np.zeros((30, 20), dtype=np.float32)
    np.add.at(dense, (np.arange(30)[:, None], indices), values)
    np.testing.assert_array_equal(dense, sae.encode(x))
    np.testing.assert_allclose(sae.decode_sparse(indices, values), sae.decode(dense), atol=1e-4)
    assert indices.dtype == np.int64
    assert values.dtype == np.float32
    assert (values >= 0).all()
    if sae.k is not None:
        assert indices.shape == (30, sae.k)


def test_torch_in_torch_out_numpy_in_numpy_out(sae: SAE) -> None:
    x = rows()
    for given_rows, kind in ((x, np.ndarray), (torch.from_numpy(x), torch.Tensor)):
        answers = [sae.encode(given_rows), *sae.encode_sparse(given_rows), sae(given_rows), sae.decode(sae.encode(given_rows))]
        assert all(isinstance(answer, kind) for answer in answers)
    assert np.array_equal(sae(torch.from_numpy(x)).numpy(), sae(x))
    assert sae(x.astype(np.float16)).dtype == np.float32


def test_read_only_arrays_are_taken_as_they_are(sae: SAE, recwarn: pytest.WarningsRecorder) -> None:
    x = rows()
    expected = sae(x)
    x.setflags(write=False)
    indices, values = sae.encode_sparse(x)
    indices.setflags(write=False)
    values.setflags(write=False)
    np.testing.assert_array_equal(sae.decode_sparse(indices, values), expected)
    quality = Quality(6, 20)
    quality.update(x, expected, indices, values)
    assert quality.n == len(x)
    assert not recwarn.list


def test_row_chunks_change_nothing(sae: SAE, monkeypatch: pytest.MonkeyPatch) -> None:
    x = rows()
    whole = sae.encode(x), *sae.encode_sparse(x)
    monkeypatch.setattr(module, "CHUNK", 60)  # three rows at a time
    cut = sae.encode(x), *sae.encode_sparse(x)
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_no_rows(sae: SAE) -> None:
    none = np.zeros((0, 6), dtype=np.float32)
    assert sae.encode(none).shape == (0, 20)
    assert sae(none).shape == (0, 6)


@settings(max_examples=25, deadline=None)
@given(st.floats(-3, 3), st.integers(0, 10_000), st.sampled_from(ARCHITECTURES))
def test_decoding_is_affine(weight: float, seed: int, architecture: Architecture) -> None:
    sae = _seeded(seed % 7, architecture)
    rng = np.random.default_rng(seed)
    one, other = (rng.random((4, 20)).astype(np.float32) for _ in range(2))
    mixed = sae.decode((weight * one + (1 - weight) * other).astype(np.float32))
    np.testing.assert_allclose(mixed, weight * sae.decode(one) + (1 - weight) * sae.decode(other), atol=2e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 20), st.integers(0, 10_000))
def test_topk_never_has_more_than_k_codes(k: int, seed: int) -> None:
    z = _seeded(seed % 7, TopK(k=k)).encode(rows(12, seed))
    assert ((z > 0).sum(1) <= k).all()
    assert (z >= 0).all()


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(20)), st.sampled_from([*ARCHITECTURES, Splice(k=4)]))
def test_the_order_of_latents_changes_nothing(order: list[int], architecture: Architecture) -> None:
    sae, x = _seeded(3, architecture), rows()
    shuffled = {name: tensor[order] if tensor.shape[:1] == (20,) else tensor for name, tensor in sae.weights.items()}
    other = SAE(architecture, shuffled, sae.mean, sae.scale)
    np.testing.assert_allclose(other(x), sae(x), atol=1e-4)
    np.testing.assert_allclose(other.encode(x), sae.encode(x)[:, order], atol=1e-5)


def _seeded(seed: int, architecture: Architecture = ARCHITECTURES[1]) -> SAE:
    g = torch.Generator().manual_seed(seed)
    made = {name: torch.randn(shape, generator=g) for name, shape in shapes_of(architecture, 6, 20).items()}
    if "threshold" in made:
        made["threshold"] = made["threshold"].abs()
    return SAE(architecture, made, scale=0.5)


def test_a_threshold_looks_at_no_other_row(make_sae: Make) -> None:
    x = rows()
    for architecture in (BatchTopK(k=4), Matryoshka(k=4), JumpRelu()):
        sae = make_sae(architecture)
        np.testing.assert_allclose(sae.encode(x)[3:4], sae.encode(x[3:4]), atol=1e-5)


def test_a_negative_threshold_is_refused(make_sae: Make) -> None:
    sae = make_sae(JumpRelu())
    with pytest.raises(InputError, match="threshold is negative"):
        SAE(JumpRelu(), {**sae.weights, "threshold": -sae.weights["threshold"]})


def test_decoder_raw_is_the_step_of_the_reconstruction(sae: SAE) -> None:
    z = np.zeros((1, 20), dtype=np.float32)
    base = sae.decode(z)
    z[0, 7] = 1
    np.testing.assert_allclose(sae.decode(z) - base, sae.decoder_raw[7:8].numpy(), atol=1e-4)


def test_the_hash_is_of_the_weights(make_sae: Make) -> None:
    one = make_sae()
    assert one.sha256 == make_sae().sha256
    assert one.sha256 != make_sae(seed=1).sha256
    assert one.sha256 != make_sae(TopK(k=5)).sha256
    assert one.sha256 != SAE(one.architecture, one.weights, one.mean, 0.31).sha256


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda sae: sae.encode(np.zeros((2, 5), dtype=np.float32)), r"x has shape \[2, 5\]; this dictionary takes \[n, 6\]"),
        (lambda sae: sae.encode(np.zeros(6, dtype=np.float32)), r"x has shape \[6\]"),
        (lambda sae: sae.decode(np.zeros((2, 19), dtype=np.float32)), r"z has shape \[2, 19\]"),
        (lambda sae: sae.decode_sparse(np.array([[20]]), np.ones((1, 1), dtype=np.float32)), "there are 0 to 19"),
        (lambda sae: sae.decode_sparse(np.array([[1, 2]]), np.ones((1, 1), dtype=np.float32)), "give both as"),
    ],
)
def test_wrong_arrays_are_named(call: Callable[[SAE], object], said: str, make_sae: Make) -> None:
    with pytest.raises(InputError, match=said):
        call(make_sae())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"W_enc": torch.zeros(20, 5)}, r"W_enc has shape \[20, 5\]; with W_dec \[20, 6\] it must be \[20, 6\]"),
        ({"b_enc": torch.full((20,), torch.nan)}, "b_enc holds NaN"),
        ({"threshold": torch.zeros(20)}, "a topk dictionary has the weights W_enc, b_enc, W_dec, b_dec; there is"),
        ({"W_dec": torch.zeros(6)}, "W_dec as a matrix"),
    ],
)
def test_weights_that_do_not_fit_are_named(change: dict[str, torch.Tensor], said: str, make_sae: Make) -> None:
    sae = make_sae()
    with pytest.raises(InputError, match=said):
        SAE(sae.architecture, {**sae.weights, **change})


def test_k_above_the_dictionary_is_refused(make_sae: Make) -> None:
    with pytest.raises(InputError, match="k = 21 is above the dictionary size, 20"):
        make_sae(TopK(k=21))
