"""Controls against scikit-learn and SciPy, through the interface of every dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import Lasso, lars_path_gram

from sae_core.config import Architecture, KMeans, Pca, SaeConfig, Splice, TopK
from sae_core.errors import Cancelled, InputError
from sae_core.progress import Event
from sae_core.sae import controls
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Arrays, Pool
from sae_core.sae.recipe import scaling

Floats = NDArray[np.float32]


def rows(n: int = 2500, d: int = 8, seed: int = 0) -> Floats:
    """Rows far from the origin, of another spread in each direction; 2,500 are more than one block."""
    rng = np.random.default_rng(seed)
    return (7 + rng.standard_normal((n, d)) * np.linspace(0.2, 2, d) @ rng.standard_normal((d, d))).astype(np.float32)


def pool_of(*arrays: Floats) -> Pool:
    source = Arrays(arrays)
    return Pool([(source, np.arange(source.n))], source.d)


def fitted(
    architecture: Architecture, x: Floats, width: int = 8, seed: int = 0, kind: str = "mean_square", encoder: str | None = None
) -> controls.Fitted:
    config = SaeConfig.model_validate({"architecture": architecture.model_dump(), "width": width, "seed": seed, "scaling": kind})
    return controls.fit(config, pool_of(x), *scaling(pool_of(x), kind), encoder)


def test_only_what_is_computed_is_fitted_here() -> None:
    assert [controls.is_fitted(a) for a in (Pca(), KMeans(), Splice(), TopK())] == [True, True, True, False]


# ---------------------------------------------------------------- PCA


@pytest.mark.parametrize("kind", ["mean_square", "none"])
@pytest.mark.parametrize("components", [1, 3, 8])
def test_pca_reconstructs_as_scikit_learns(components: int, kind: str) -> None:
    x, fresh = rows(), rows(50, seed=1)
    made = fitted(Pca(components=components), x, kind=kind)
    reference = PCA(components).fit(x.astype(np.float64))
    expected = reference.inverse_transform(reference.transform(fresh.astype(np.float64)))
    np.testing.assert_allclose(made.sae(fresh), expected, rtol=1e-5, atol=1e-5)
    assert made.about["explained"] == pytest.approx(reference.explained_variance_ratio_.sum(), abs=1e-9)
    z = made.sae.encode(fresh)
    assert z.shape == (50, 2 * components)
    assert ((z > 0).sum(1) == components).all()
    signed = z[:, ::2] - z[:, 1::2]
    np.testing.assert_allclose(np.abs(signed), np.abs(reference.transform(fresh)) * made.sae.scale, rtol=1e-4, atol=1e-5)


def test_pca_of_equal_rows_is_their_mean() -> None:
    x = np.full((20, 4), 3.0, dtype=np.float32)
    np.testing.assert_allclose(fitted(Pca(components=2), x).sae(x), x, atol=1e-6)


@pytest.mark.parametrize(("n", "d", "most"), [(5, 8, 5), (50, 8, 8)])
def test_pca_has_no_more_axes_than_rows_or_coordinates(n: int, d: int, most: int) -> None:
    fitted(Pca(components=most), rows(n, d))
    with pytest.raises(InputError, match=rf"components: {most + 1} of {n} rows of width {d}; there are at most {most}"):
        fitted(Pca(components=most + 1), rows(n, d))


# ---------------------------------------------------------------- k-means


@pytest.mark.parametrize("kind", ["mean_square", "none"])
def test_k_means_ends_where_scikit_learn_moves_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "LEAST_GAIN", 0.0)
    monkeypatch.setattr(controls, "PASSES", 500)
    x, m = rows(), 12
    sae = fitted(KMeans(), x, m, kind=kind).sae
    indices, values = sae.encode_sparse(x)
    assert values.tolist() == [[1.0]] * len(x)
    centres = sae.decode(np.eye(m, dtype=np.float32))
    np.testing.assert_allclose(sae(x), centres[indices[:, 0]], atol=1e-5)
    means = np.stack([x[indices[:, 0] == j].mean(0, dtype=np.float64) for j in range(m)])
    np.testing.assert_allclose(centres, means, rtol=1e-5, atol=1e-5)
    again = SklearnKMeans(m, init=means, n_init=1, tol=0).fit(x.astype(np.float64))
    np.testing.assert_allclose(again.cluster_centers_, means, rtol=1e-9)
    fresh = rows(300, seed=1)
    assert sae.encode_sparse(fresh)[0][:, 0].tolist() == again.predict(fresh.astype(np.float64)).tolist()


def test_k_means_is_as_good_as_scikit_learns() -> None:
    x = rows()
    made = fitted(KMeans(), x, 40)
    ours = float(np.square(x - made.sae(x)).sum())
    reference = min(SklearnKMeans(40, n_init=1, random_state=seed).fit(x).inertia_ for seed in range(3))
    assert ours < 1.03 * reference
    assert made.about["empty"] == 0
    # The recorded error is of the last pass, before the centres moved for the last time.
    assert 0.9999 < made.about["error"] / (ours / len(x) * made.sae.scale**2) < 1.001


def test_k_means_finds_planted_clusters_from_any_seed() -> None:
    rng = np.random.default_rng(3)
    centres = 30 * np.eye(6, dtype=np.float32)
    labels = rng.integers(6, size=2100)
    x = centres[labels] + rng.standard_normal((2100, 6)).astype(np.float32)
    for seed in range(3):
        np.testing.assert_allclose(fitted(KMeans(), x, 6, seed).sae(x), centres[labels], atol=0.3)


def test_k_means_follows_from_its_seed_and_its_rows_alone() -> None:
    x, config = rows(), SaeConfig(architecture=KMeans(), width=16)
    whole, cut = pool_of(x), pool_of(x[:700], x[700:701], x[701:])
    one, other = (controls.fit(config, pool, *scaling(whole, "mean_square"), None).sae.sha256 for pool in (whole, cut))
    assert one == other
    assert one != fitted(KMeans(), x, 16, seed=1).sae.sha256


def test_k_means_needs_a_row_a_centre() -> None:
    with pytest.raises(InputError, match=r"sae\.width: 11 centres of 10 training rows; set sae\.width to at most 10"):
        fitted(KMeans(), rows(10), 11)
    x = rows(10)
    np.testing.assert_allclose(fitted(KMeans(), x, 10).sae(x), x, atol=1e-5)


def test_k_means_of_repeated_rows_leaves_centres_unused() -> None:
    x = np.repeat(rows(4), 10, axis=0)
    made = fitted(KMeans(), x, 8)
    np.testing.assert_allclose(made.sae(x), x, atol=1e-5)
    assert made.about["empty"] == 4


# ---------------------------------------------------------------- SpLiCE


def directions(m: int, d: int, seed: int) -> NDArray[np.float64]:
    c = np.random.default_rng(seed).standard_normal((m, d))
    return c / np.linalg.norm(c, axis=1, keepdims=True)


def solved(v: NDArray[np.float64], concepts: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Dense codes [n, m] of rows v."""
    rule = controls.SpliceRule(k, torch.from_numpy(concepts))
    return rule.dense(torch.from_numpy(v @ concepts.T)).numpy()


def splice(concepts: NDArray[np.float64], k: int) -> SAE:
    m, d = concepts.shape
    c = torch.from_numpy(concepts).float()
    weights = {"W_enc": c, "b_enc": torch.zeros(m), "W_dec": c.clone(), "b_dec": torch.zeros(d)}
    return SAE(Splice(k=k), weights, mean=torch.full((d,), 2.0), scale=0.5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(2, 7))
def test_with_room_for_every_concept_it_is_non_negative_least_squares(seed: int, m: int, d: int) -> None:
    concepts, v = directions(m, d, seed), np.random.default_rng(seed + 1).standard_normal((5, d))
    z = solved(v, concepts, m)
    assert (z >= 0).all()
    # Where there are more concepts than coordinates the codes are not unique, the distance is.
    least = [nnls(concepts.T, row)[1] for row in v]
    np.testing.assert_allclose(np.linalg.norm(v - z @ concepts, axis=1), least, atol=1e-4)
    np.testing.assert_allclose(np.square(v - z @ concepts).sum(1), np.square(least), atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_the_lasso_chooses_and_least_squares_fits(seed: int, k: int) -> None:
    concepts, row = directions(24, 12, seed), np.random.default_rng(seed + 1).standard_normal(12)
    products, gram = concepts @ row, concepts @ concepts.T
    alphas, _, path = lars_path_gram(products, gram, n_samples=1, method="lasso", positive=True)
    used = path > 1e-12
    # The first piece on which more than k are in the code: one enters at its beginning, one may have left at its end.
    over = (used[:, :-1] | used[:, 1:]).sum(0) > k
    assume(over.any())
    piece = int(np.argmax(over))
    chosen = np.flatnonzero(used[:, piece])
    lasso = Lasso(alphas[piece] / 12, positive=True, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(concepts.T, row)
    assert np.flatnonzero(lasso.coef_ > 1e-6).tolist() == chosen.tolist()
    expected = np.zeros(24)
    expected[chosen] = nnls(concepts[chosen].T, row)[0]
    np.testing.assert_allclose(solved(row[None], concepts, k)[0], expected, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_any_dictionary_gives_few_and_positive_codes(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    c = directions(30, 6, seed)
    c[[3, 4, 5]], c[6], c[7], c[8] = c[2], -c[2], 0, c[9] + 1e-9  # copies, an opposite, nothing, nearly a copy
    v = np.concatenate([rng.standard_normal((6, 6)), np.zeros((1, 6)), c[2:3], 1e-6 * c[:1], 1e6 * c[:1]])
    lengths = np.linalg.norm(v, axis=1, keepdims=True).clip(1e-12)
    z = solved(v, c, k)
    assert (z >= 0).all()
    assert np.isfinite(z).all()
    assert ((z > 0).sum(1) <= k).all()
    assert not z[6].any()
    assert (np.square(v - z @ c).sum(1) <= np.square(v).sum(1) * (1 + 1e-9)).all()
    np.testing.assert_allclose((z @ c / lengths)[7:], (v / lengths)[7:], atol=1e-6)


def test_the_order_of_concepts_changes_nothing() -> None:
    concepts, v, order = directions(40, 16, 0), np.random.default_rng(1).standard_normal((20, 16)), list(range(39, -1, -1))
    np.testing.assert_allclose(solved(v, concepts[order], 6), solved(v, concepts, 6)[:, order], atol=1e-9)


def test_splice_has_the_interface_of_every_dictionary() -> None:
    sae, x = splice(directions(40, 16, 0), 6), rows(600, 16)  # more rows than are followed together
    indices, values = sae.encode_sparse(x)
    z = sae.encode(x)
    assert indices.shape == values.shape == (600, 6)
    assert z.shape == (600, 40)
    assert 0 < (z > 0).sum(1).max() <= 6
    np.testing.assert_allclose(np.take_along_axis(z, indices, 1)[values > 0], values[values > 0])
    np.testing.assert_allclose(sae.decode(z), sae.decode_sparse(indices, values), atol=1e-4)
    left, right = np.split(x, [217])
    np.testing.assert_allclose(np.concatenate([sae.encode(left), sae.encode(right)]), z, atol=1e-4)
    expected = solved((x - 2.0) * 0.5, directions(40, 16, 0), 6)
    np.testing.assert_allclose(z, expected, atol=1e-3)
    assert sae.encode(x[:0]).shape == (0, 40)


def test_concepts_are_the_words_that_the_text_tower_knows() -> None:
    x = rows(40, 128)
    made = fitted(Splice(k=4), x, encoder="bundled/v1")
    words: Sequence[str] = made.about["concepts"]
    sae = made.sae
    assert len(words) == sae.m == len(set(words))
    assert {"house", "straight lines", "hatching"} <= set(words)
    assert "never read" in made.about["note"]
    np.testing.assert_allclose(np.linalg.norm(sae.decoder.numpy(), axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(sae.bias_raw, x.mean(0), atol=1e-4)
    # An image that is the mean and one concept has the code of that concept alone.
    code = np.zeros((1, sae.m), dtype=np.float32)
    code[0, words.index("house")] = 1.5
    np.testing.assert_allclose(sae.encode(sae.decode(code)), code, atol=1e-4)


@pytest.mark.parametrize(
    ("encoder", "k", "said"),
    [
        (None, 4, "splice needs the text tower of the CLIP that made the embeddings, and which that was is not known"),
        ("local-dir/mine", 4, "splice needs the text tower .* local-dir/mine was read from a folder"),
        ("bundled/v1", 4, "embeddings are 8 wide, texts of bundled/v1 are 128"),
        ("bundled/v1", 5000, r"k = 5000 of \d+ concepts; set sae\.architecture\.k to at most"),
    ],
)
def test_splice_without_a_fitting_text_tower(encoder: str | None, k: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fitted(Splice(k=k), rows(20), encoder=encoder)


# ---------------------------------------------------------------- all of them


def of_each_kind() -> list[SAE]:
    return [fitted(Pca(components=3), rows()).sae, fitted(KMeans(), rows(), 16).sae, splice(directions(40, 8, 0), 6)]


@pytest.mark.parametrize("place", [0, 1, 2], ids=["pca", "kmeans", "splice"])
def test_it_comes_back_from_disk_as_it_was(place: int, tmp_path: Path) -> None:
    sae, x = of_each_kind()[place], rows(30, seed=1)
    sae.save(tmp_path)
    back = SAE.load(tmp_path)
    assert back.sha256 == sae.sha256
    np.testing.assert_array_equal(back.encode(x), sae.encode(x))
    np.testing.assert_array_equal(back(x), sae(x))


@pytest.mark.parametrize("architecture", [Pca(components=2), KMeans()])
def test_a_report_can_stop_it(architecture: Architecture) -> None:
    def stop(event: Event) -> None:
        raise Cancelled("stopped")

    pool, config = pool_of(rows()), SaeConfig(architecture=architecture, width=8)
    with pytest.raises(Cancelled):
        controls.fit(config, pool, *scaling(pool, "mean_square"), None, report=stop)
