"""The sparse store against a dense copy of the same codes, and against damage."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sae_core.activations import index
from sae_core.activations.index import Activations
from sae_core.activations.writer import FILES, Rows, Writer, value_scale
from sae_core.errors import DamagedArtifact, InputError


def dense_codes(rng: np.random.Generator, n: int, m: int, k: int) -> NDArray[np.float32]:
    """Codes with many ties, silent rows and dead latents, already at float16 precision."""
    z = np.zeros((n, m), dtype=np.float32)
    usable = max(1, m // 2)
    for i in range(n):
        active = rng.choice(usable, size=int(rng.integers(0, min(k, usable) + 1)), replace=False)
        z[i, active] = rng.integers(1, 9, size=len(active)) / 4
    return z


def padded(z: NDArray[np.float32], k: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """What `encode_sparse` returns: k places a row in any order, 0 where there are fewer."""
    order = np.argsort(-z, axis=1)[:, :k]
    order = rng.permuted(order, axis=1)
    return order, np.take_along_axis(z, order, axis=1)


def rows_of(domain: str, n: int, rng: np.random.Generator) -> Rows:
    split = np.where(rng.random(n) < 0.5, "test", "train")
    return Rows(domain, np.arange(n), split, rng.integers(-1, 3, n), rng.integers(0, max(1, n // 2), n))


def write(
    folder: Path, z: NDArray[np.float32], domains: list[Rows], k: int, rng: np.random.Generator, **options: int
) -> Activations:
    writer = Writer(folder, z.shape[1])
    for start in range(0, len(z), 7):
        writer.append(*padded(z[start : start + 7], k, rng))
    writer.finish(domains, {"encoder": "test"}, **options)
    return Activations.load(folder)


@contextmanager
def stored(
    seed: int, n: int, m: int, k: int, photos: float = 0.5, **options: int
) -> Iterator[tuple[Activations, NDArray[np.float32]]]:
    rng = np.random.default_rng(seed)
    z = dense_codes(rng, n, m, k)
    first = int(n * photos)
    with tempfile.TemporaryDirectory() as folder:
        domains = [rows_of("sketch", first, rng), rows_of("photo", n - first, rng)]
        yield write(Path(folder), z, domains, min(k, m), rng, **options), z


cases = st.tuples(
    st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 40), st.integers(1, 8), st.sampled_from((0.0, 0.4, 1.0))
)


@settings(max_examples=60, deadline=None)
@given(case=cases, bucket=st.sampled_from((1, 5, 10_000)))
def test_agrees_with_dense(case: tuple[int, int, int, int, float], bucket: int) -> None:
    seed, n, m, k, photos = case
    with stored(seed, n, m, k, photos, bucket=bucket) as (acts, z):
        assert sorted(p.name for p in acts.folder.iterdir()) == sorted(FILES)
        assert (acts.n, acts.m, acts.domains) == (n, m, ("sketch", "photo"))
        np.testing.assert_array_equal(acts.csr().toarray(), z)
        np.testing.assert_array_equal(acts.csr(n // 3, n // 2 + 1).toarray(), z[n // 3 : n // 2 + 1])
        np.testing.assert_array_equal(acts.alive(), np.flatnonzero((z > 0).any(axis=0)))
        order = np.argsort(-z.sum(axis=0), kind="stable")
        np.testing.assert_array_equal(acts.strongest(3), order[: min(3, len(acts.alive()))])
        domain = acts.images["domain"].to_numpy()
        np.testing.assert_array_equal(acts.stats["count"], (z > 0).sum(axis=0))
        np.testing.assert_allclose(acts.stats["rate"], (z > 0).mean(axis=0))
        np.testing.assert_allclose(acts.stats["sum"], z.sum(axis=0, dtype=np.float64))
        np.testing.assert_array_equal(acts.maxima, z.max(axis=0))
        for name in acts.domains:
            of = z[domain == name]
            np.testing.assert_array_equal(acts.stats[f"{name}.count"], (of > 0).sum(axis=0))
            np.testing.assert_array_equal(acts.stats[f"{name}.max"], of.max(axis=0, initial=0))
            np.testing.assert_allclose(acts.stats[f"{name}.rate"], (of > 0).mean(axis=0) if len(of) else 0)
        for j in range(m):
            rows, values = acts.postings(j)
            firing = np.flatnonzero(z[:, j])
            expected = firing[np.argsort(-z[firing, j], kind="stable")]
            np.testing.assert_array_equal(rows, expected)
            np.testing.assert_array_equal(values, z[expected, j])
        for i in range(0, n, 11):
            latents, values = acts.row(i)
            assert dict(zip(latents.tolist(), values.tolist(), strict=True)) == {j: z[i, j] for j in np.flatnonzero(z[i])}
            assert (np.diff(values) <= 0).all()


@settings(max_examples=60, deadline=None)
@given(
    case=cases,
    domain=st.sampled_from((None, "sketch", "photo")),
    split=st.sampled_from((None, "train", "test")),
    distinct=st.booleans(),
    count=st.integers(1, 70),
)
def test_top_is_the_sorted_column(
    case: tuple[int, int, int, int, float], domain: str | None, split: str | None, distinct: bool, count: int
) -> None:
    with stored(*case) as (acts, z):
        images = acts.images
        if split is not None and split not in set(images["split"]):
            return
        eligible = np.ones(acts.n, dtype=bool)
        if domain is not None:
            eligible &= (images["domain"] == domain).to_numpy()
        if split is not None:
            eligible &= (images["split"] == split).to_numpy()
        group = images["group"].to_numpy()
        for j in range(acts.m):
            table = acts.top(j, count, domain, split, distinct)
            firing = np.flatnonzero((z[:, j] > 0) & eligible)
            ordered = firing[np.argsort(-z[firing, j], kind="stable")]
            if distinct:
                ordered = np.array([r for p, r in enumerate(ordered) if group[r] not in group[ordered[:p]]], dtype=np.int64)
            expected = ordered[:count]
            np.testing.assert_array_equal(table["row"], expected)
            np.testing.assert_array_equal(table["value"], z[expected, j])
            np.testing.assert_array_equal(table["group"], group[expected])
            np.testing.assert_array_equal(table["image"], images["image"].to_numpy()[expected])
            assert table["domain"].tolist() == images["domain"].iloc[expected].tolist()
            assert table["copies"].tolist() == [int((group[firing] == group[r]).sum()) for r in expected]


def test_top_looks_past_a_long_run_of_duplicates(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 3000
    z = np.zeros((n, 2), dtype=np.float32)
    z[:, 1] = np.linspace(8, 4, n).astype(np.float16)
    groups = np.concatenate([np.zeros(2000, dtype=np.int64), np.arange(1, 1001)])
    acts = write(tmp_path, z, [Rows("sketch", np.arange(n), np.full(n, "train"), np.zeros(n, dtype=np.int64), groups)], 1, rng)
    table = acts.top(1, 3)
    assert table["row"].tolist() == [0, 2000, 2001]
    assert table["copies"].tolist() == [2000, 1, 1]


@settings(max_examples=40, deadline=None)
@given(case=cases, bins=st.integers(1, 50), domain=st.sampled_from((None, "sketch", "photo")))
def test_histogram_is_numpys(case: tuple[int, int, int, int, float], bins: int, domain: str | None) -> None:
    with stored(*case) as (acts, z):
        inside = np.ones(acts.n, dtype=bool) if domain is None else (acts.images["domain"] == domain).to_numpy()
        for j in range(acts.m):
            edges, counts = acts.histogram(j, bins, domain)
            values = z[inside, j][z[inside, j] > 0].astype(np.float64)
            # numpy's own uniform bins round; searching its edges does not.
            expected, _ = np.histogram(values, np.append(edges[:-1], np.nextafter(edges[-1], np.inf)))
            np.testing.assert_array_equal(counts, expected)
            assert edges[-1] == (z[:, j].max() or 1.0)
            assert counts.sum() == len(values)


@settings(max_examples=40, deadline=None)
@given(case=cases)
def test_coactivation_counts_rows(case: tuple[int, int, int, int, float]) -> None:
    with stored(*case) as (acts, z):
        fires = z > 0
        for j in range(acts.m):
            table = acts.coactivation(j, acts.m).set_index("latent")
            both = (fires & fires[:, [j]]).sum(axis=0)
            either = (fires | fires[:, [j]]).sum(axis=0)
            expected = {i: (both[i], both[i] / either[i]) for i in np.flatnonzero(both) if i != j}
            assert set(table.index) == set(expected)
            for i, (count, jaccard) in expected.items():
                assert (table.at[i, "both"], table.at[i, "jaccard"]) == (count, pytest.approx(jaccard))
            assert (np.diff(table["jaccard"]) <= 0).all()


@settings(max_examples=40, deadline=None)
@given(case=cases, count=st.integers(0, 8))
def test_coactivation_is_the_same_by_row_and_by_column(case: tuple[int, int, int, int, float], count: int) -> None:
    with stored(*case) as (acts, _), pytest.MonkeyPatch.context() as patch:
        for j in range(acts.m):
            patch.setattr(index, "DENSE", 2.0)
            by_row = acts.coactivation(j, count)
            assert by_row.equals(acts.coactivation(j, acts.m).head(count))
            patch.setattr(index, "DENSE", 0.0)
            assert acts.coactivation(j, count).equals(by_row)


@settings(max_examples=40, deadline=None)
@given(case=cases, bands=st.integers(1, 6), each=st.integers(1, 5))
def test_bands_partition_by_strength(case: tuple[int, int, int, int, float], bands: int, each: int) -> None:
    with stored(*case) as (acts, z):
        group = acts.images["group"].to_numpy()
        for j in range(acts.m):
            table = acts.quantile_bands(j, bands, each, np.random.default_rng(1))
            distinct = len(np.unique(group[z[:, j] > 0]))
            assert len(table) == sum(min(each, len(part)) for part in np.array_split(np.arange(distinct), bands))
            assert table["group"].is_unique
            assert (np.diff(table["value"]) <= 0).all()
            assert (np.diff(table["band"]) >= 0).all()
            np.testing.assert_array_equal(table["value"], z[table["row"], j])


@settings(max_examples=60, deadline=None)
@given(
    case=cases,
    domain=st.sampled_from((None, "sketch", "photo")),
    split=st.sampled_from((None, "train", "test")),
    count=st.integers(1, 70),
)
def test_silent_rows_do_not_fire(
    case: tuple[int, int, int, int, float], domain: str | None, split: str | None, count: int
) -> None:
    with stored(*case) as (acts, z):
        images = acts.images
        if split is not None and split not in set(images["split"]):
            return
        eligible = np.ones(acts.n, dtype=bool)
        if domain is not None:
            eligible &= (images["domain"] == domain).to_numpy()
        if split is not None:
            eligible &= (images["split"] == split).to_numpy()
        for j in range(acts.m):
            free = np.flatnonzero(eligible & (z[:, j] == 0))
            rows = acts.silent(j, count, np.random.default_rng(3), domain, split)
            assert len(rows) == len(set(rows.tolist())) == min(count, len(free))
            assert set(rows.tolist()) <= set(free.tolist())


def test_silent_rows_are_uniform(tmp_path: Path) -> None:
    z = np.zeros((10, 1), dtype=np.float32)
    z[[0, 3, 4, 9], 0] = 1
    acts = write(tmp_path, z, [rows_of("sketch", 10, np.random.default_rng(0))], 1, np.random.default_rng(0))
    rng = np.random.default_rng(5)
    counts = np.bincount(np.concatenate([acts.silent(0, 2, rng) for _ in range(3000)]), minlength=10)
    assert set(np.flatnonzero(counts)) == {1, 2, 5, 6, 7, 8}
    assert abs(counts[[1, 2, 5, 6, 7, 8]] / 3000 - 1 / 3).max() < 0.05  # 5.8 standard errors


@pytest.mark.parametrize(("m", "dtype"), [(65_536, np.uint16), (65_537, np.uint32), (200_000, np.uint32)])
def test_wide_dictionaries(tmp_path: Path, m: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    indices = np.stack([np.zeros(50, dtype=np.int64), np.full(50, m - 1), rng.integers(1, m - 1, 50)], axis=1)
    values = np.tile(np.array([[1.0, 2.0, 3.0]], dtype=np.float32), (50, 1))
    writer = Writer(tmp_path, m)
    writer.append(indices, values)
    writer.finish([rows_of("sketch", 50, rng)], {}, bucket=20)
    acts = Activations.load(tmp_path)
    assert np.load(tmp_path / "idx.npy", mmap_mode="r").dtype == dtype
    assert acts.postings(0)[0].tolist() == acts.postings(m - 1)[0].tolist() == list(range(50))
    for i in range(50):
        assert acts.row(i)[0].tolist() == [indices[i, 2], m - 1, 0]
        assert i in acts.postings(int(indices[i, 2]))[0]


def test_equal_codes_give_equal_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    z = dense_codes(rng, 40, 12, 4)
    domains = [rows_of("sketch", 40, rng)]
    for name, seed, bucket in (("a", 0, 3), ("b", 9, 10_000)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, z, domains, 6, np.random.default_rng(seed), bucket=bucket)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.parametrize("factor", [1e-30, 1e-6, 1.0, 1e4, 1e6, 1e30])
def test_values_of_any_size_are_kept(tmp_path: Path, factor: float) -> None:
    rng = np.random.default_rng(0)
    z = (rng.exponential(1, (30, 4)) * factor).astype(np.float32)
    acts = write(tmp_path, z, [rows_of("sketch", 30, rng)], 4, rng)
    np.testing.assert_allclose(acts.csr().toarray(), z, rtol=2**-11)  # half a unit of float16's last place
    np.testing.assert_allclose(acts.stats["sum"], z.sum(axis=0, dtype=np.float64), rtol=2**-11)
    edges, counts = acts.histogram(2)
    assert edges[-1] == pytest.approx(acts.maxima[2])
    assert counts.sum() == 30


def test_a_firing_never_rounds_to_silence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    z = np.array([[1.0, 1e-20], [1e-20, 0.0]], dtype=np.float32)
    acts = write(tmp_path, z, [rows_of("sketch", 2, rng)], 2, rng)
    assert acts.stats["count"].tolist() == [2, 1]
    assert (acts.csr().toarray() > 0).tolist() == (z > 0).tolist()


@given(st.floats(min_value=2.0**-149, max_value=3e38))
def test_scale_keeps_the_maximum_in_float16(maximum: float) -> None:
    scale = value_scale(maximum)
    assert np.log2(scale) == np.floor(np.log2(scale))
    assert 2.0**-8 <= maximum / scale <= 2.0**15


def test_empty_store(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    acts = write(tmp_path, np.zeros((3, 2), dtype=np.float32), [rows_of("sketch", 3, rng)], 1, rng)
    assert acts.alive().tolist() == acts.strongest(5).tolist() == []
    assert len(acts.top(0, 4)) == len(acts.coactivation(0, 4)) == len(acts.quantile_bands(0)) == 0
    edges, counts = acts.histogram(0, 10)
    assert (edges[0], edges[-1], counts.sum()) == (0.0, 1.0, 0)
    assert acts.metrics() == {"rows": 3.0, "alive": 0.0, "nonzeros": 0.0}


def test_groups_of_two_domains_stay_apart(tmp_path: Path) -> None:
    z = np.ones((4, 1), dtype=np.float32)
    alike = np.zeros(2, dtype=np.int64)
    domains = [Rows(name, np.arange(2), np.full(2, "train"), alike, alike) for name in ("sketch", "photo")]
    acts = write(tmp_path, z, domains, 1, np.random.default_rng(0))
    assert acts.images["group"].tolist() == [0, 0, 1, 1]
    assert acts.top(0, 9)["copies"].tolist() == [2, 2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_codes_that_are_not_finite_are_refused(tmp_path: Path, bad: float) -> None:
    writer = Writer(tmp_path, 4)
    writer.append(np.zeros((5, 1), dtype=np.int64), np.ones((5, 1), dtype=np.float32))
    with pytest.raises(InputError, match=r"code of row 6 is not finite"):
        writer.append(np.zeros((3, 1), dtype=np.int64), np.array([[1], [bad], [1]], dtype=np.float32))
    writer.close()


def test_questions_out_of_range_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    acts = write(tmp_path, dense_codes(rng, 9, 4, 2), [rows_of("sketch", 9, rng)], 2, rng)
    for ask in (lambda: acts.top(4, 1), lambda: acts.histogram(-1), lambda: acts.postings(4), lambda: acts.coactivation(4, 1)):
        with pytest.raises(InputError, match=r"latents 0 to 3"):
            ask()
    with pytest.raises(InputError, match=r"rows 0 to 8"):
        acts.row(9)
    with pytest.raises(InputError, match=r"no domain 'photo'.*sketch"):
        acts.top(0, 1, domain="photo")
    with pytest.raises(InputError, match=r"no split 'held-out'"):
        acts.top(0, 1, split="held-out")


@pytest.mark.parametrize("name", FILES)
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "collect-0123456789abcdef"
    folder.mkdir()
    write(folder, dense_codes(rng, 40, 8, 3), [rows_of("sketch", 40, rng)], 3, rng)
    file = folder / name
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(DamagedArtifact, match=rf"{name}.*collect again") as caught:
        _ = Activations.load(folder).images
    assert "\n" not in str(caught.value)


def test_another_shape_is_damage_another_format_is_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write(tmp_path, dense_codes(rng, 40, 8, 3), [rows_of("sketch", 40, rng)], 3, rng)
    ptr = np.load(tmp_path / "ptr.npy")
    np.save(tmp_path / "ptr.npy", np.append(ptr[:-1], ptr[-1] + 1))
    with pytest.raises(DamagedArtifact, match=r"ptr.npy: it runs from 0 to"):
        Activations.load(tmp_path)
    np.save(tmp_path / "ptr.npy", ptr.astype(np.float64))
    with pytest.raises(DamagedArtifact, match=r"float64"):
        Activations.load(tmp_path)
    meta = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps({**meta, "format": 99}))
    with pytest.raises(InputError, match=r"format 99"):
        Activations.load(tmp_path)
    with pytest.raises(InputError, match=r"no activations"):
        Activations.load(tmp_path / "nothing")
