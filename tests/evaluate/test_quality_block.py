"""The quality block on codes and embeddings small enough that each of its numbers is known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sae_core.errors import InputError
from sae_core.evaluate import quality
from sae_core.evaluate.alignment import cknna
from sae_core.evaluate.monosemanticity import monosemanticity
from sae_core.evaluate.quality import QualityBlock, quality_of
from sae_core.evaluate.sparse_probes import sparse_probes

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def clusters(source: np.random.Generator, n: int, d: int = 8, classes: int = 4) -> tuple[Floats, Labels]:
    labels = source.integers(0, classes, n)
    return (2.0 * np.eye(classes, d)[labels] + 0.1 * source.normal(size=(n, d))).astype(np.float32), labels


def one_latent_a_class(labels: Labels, classes: int = 4) -> scipy.sparse.csr_matrix:
    return scipy.sparse.csr_matrix(np.eye(classes)[labels])


# ---------------------------------------------------------------- without classes


def test_sparsity_by_hand() -> None:
    # Latent 0 fires on all four rows, 1 on none, 2 on two, 3 on one.
    z = scipy.sparse.csr_matrix(np.array([[1.0, 0, 2, 0], [0.5, 0, 0, 0], [3, 0, 0, 0.1], [1, 0, 4, 0]]))
    x = rng().normal(size=(4, 3)).astype(np.float32)
    found = quality_of(z, x, x, "an encoder", rng())
    report = found.report
    assert report["l0_distribution"] == {"l0": [1, 2], "images": [1, 3]}
    assert report["spectrum"]["rate"] == pytest.approx([0, 10**-0.75, 10**-0.5, 10**-0.25, 1])
    assert report["spectrum"]["latents"] == [1, 1, 1, 1]  # dead, 0.25, 0.5, 1
    assert (report["dead_fraction"], report["almost_dead_fraction"], report["dense_fraction"]) == (0.25, 0.0, 0.75)
    assert report["over"] == "4 held-out images (split test)"
    assert found.latents["rate"].tolist() == [1.0, 0.0, 0.5, 0.25]
    assert found.latents["latent"].tolist() == [0, 1, 2, 3]


def test_monosemanticity_by_hand() -> None:
    # Latent 0 fires on the two equal images, latent 1 on two at right angles, latent 2 on one image only.
    x = np.array([[2.0, 0], [5, 0], [0, 3], [0, 1]], dtype=np.float32)
    z = scipy.sparse.csr_matrix(np.array([[1.0, 0, 0], [1, 1, 0], [0, 1, 3], [0, 0, 0]]))
    found = quality_of(z, x, x, "an encoder", rng())
    np.testing.assert_allclose(found.latents["ms"], [1.0, 0.0, np.nan], atol=1e-12)
    ms = found.report["ms"]
    assert (ms["encoder"], ms["circular"], ms["n"], ms["latents"]) == ("an encoder", True, 4, 2)
    assert (ms["mean"], ms["median"], ms["p90"]) == pytest.approx((0.5, 0.5, 0.9))


def test_chance_level_of_monosemanticity_is_the_mean_cosine() -> None:
    source = rng(1)
    x, labels = clusters(source, 600)
    found = quality_of(one_latent_a_class(labels), x, x, "e", rng()).report["ms"]
    assert found["mean"] > 0.95
    # Shuffled, a latent fires on images drawn at random: a pair's mean cosine.
    e = x / np.linalg.norm(x, axis=1, keepdims=True)
    pairs = (np.square(e.sum(axis=0)).sum() - 600) / (600 * 599)
    assert found["random_mean"] == pytest.approx(pairs, abs=0.03)


def test_another_encoder_judges_without_circularity() -> None:
    source = rng(2)
    x, labels = clusters(source, 100)
    z, other = one_latent_a_class(labels), source.normal(size=(100, 5))
    found = quality_of(z, x, x, "own", rng(), ms_embeddings=other, ms_encoder="other")
    assert (found.report["ms"]["encoder"], found.report["ms"]["circular"]) == ("other", False)
    np.testing.assert_array_equal(found.latents["ms"], monosemanticity(z, other, "other").scores)


def test_cknna_of_equal_rows_is_one_and_says_what_it_depends_on() -> None:
    source = rng(3)
    x = source.normal(size=(60, 6)).astype(np.float32)
    z = scipy.sparse.csr_matrix(np.ones((60, 2)))
    assert quality_of(z, x, x.copy(), "e", rng()).report["cknna"] == {
        "value": pytest.approx(1.0), "k": 10, "batch": 60, "batches": 1, "n": 60
    }  # fmt: skip
    x_hat = (x + source.normal(size=x.shape)).astype(np.float32)
    # In one batch the order of the rows means nothing.
    assert quality_of(z, x, x_hat, "e", rng()).report["cknna"]["value"] == pytest.approx(cknna(x, x_hat).value)


def test_cknna_takes_rows_at_random_and_at_most_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "MOST_BATCHES", 2)
    x = rng(4).normal(size=(3000, 4)).astype(np.float32)
    z = scipy.sparse.csr_matrix((3000, 2))
    found = quality_of(z, x, x, "e", rng()).report["cknna"]
    assert (found["batch"], found["batches"], found["n"]) == (1024, 2, 2048)


def test_what_the_data_does_not_allow_is_none_with_a_note() -> None:
    x = np.ones((5, 3), dtype=np.float32)
    report, latents, notes = quality_of(scipy.sparse.csr_matrix((5, 4)), x, x, "e", rng())
    assert [name for name, value in report.items() if value is None] == ["ms", "cknna", "class_probe", "sparse_probes"]
    assert notes == [
        "no class probe and no sparse probes: the images have no classes",
        "no monosemanticity: no latent fires on two of the 5 held-out images",
        "no CKNNA: it looks for 10 neighbours among 5 held-out images",
    ]
    assert latents["ms"].isna().all()
    assert report["dead_fraction"] == 1.0
    assert report["spectrum"]["latents"][0] == 4


def test_labels_that_no_image_has_are_no_classes() -> None:
    x = rng().normal(size=(20, 3)).astype(np.float32)
    none = np.full(20, -1)
    found = quality_of(scipy.sparse.csr_matrix((20, 4)), x, x, "e", rng(), labels=none, train=x, train_labels=none)
    assert found.report["class_probe"] is None
    assert found.notes[0] == "no class probe and no sparse probes: the images have no classes"


# ---------------------------------------------------------------- with classes


def judged(sparse: bool = False, **changed: Any) -> tuple[QualityBlock, dict[str, Any]]:
    source = rng(5)
    train, train_labels = clusters(source, 200)
    x, labels = clusters(source, 120)
    x_hat = x.copy()
    x_hat[labels == 2] = x[labels == 3][0]  # class 2 comes out as class 3
    arrays = {"labels": labels, "train": train, "train_labels": train_labels, "groups": np.arange(120), "bootstrap": 200}
    if sparse:
        arrays["train_codes"] = one_latent_a_class(train_labels)
    return quality_of(one_latent_a_class(labels), x, x_hat, "e", rng(7), **{**arrays, **changed}), {"x": x, **arrays}


def test_the_class_probe_loses_the_class_that_the_reconstruction_loses() -> None:
    found, arrays = judged()
    probe, lost = found.report["class_probe"], float(np.mean(arrays["labels"] == 2))
    assert (probe["accuracy_x"], probe["n"], probe["classes"], probe["trained"]) == (1.0, 120, 4, 200)
    assert probe["accuracy_x_hat"] == pytest.approx(1 - lost)
    assert probe["delta"] == pytest.approx(-lost)
    assert probe["agreement"] == pytest.approx(1 - lost)
    assert probe["delta_ci_low"] < -lost < probe["delta_ci_high"] < 0
    assert probe["mcnemar_p"] < 1e-6
    assert found.report["sparse_probes"] is None
    assert found.notes == ["no sparse probes: they are made when evaluate.sparse_probes is true"]


def test_the_class_probe_trains_on_a_part_of_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "MOST_TRAINED", 50)
    probe = judged()[0].report["class_probe"]
    assert probe["trained"] == 50
    assert probe["accuracy_x"] == 1.0


def test_sparse_probes_are_those_of_training_and_held_out_rows() -> None:
    found, arrays = judged(sparse=True)
    lines = {(line["k"], line["features"]): line for line in found.report["sparse_probes"]}
    assert set(lines) == {(k, features) for k in (1, 5, 20) for features in ("latents", "dimensions")}
    assert {(line["classes"], line["n"]) for line in lines.values()} == {(4, 120)}
    best = lines[1, "latents"]
    assert (best["auroc"], best["auroc_ci_low"], best["auroc_ci_high"], best["balanced_accuracy"]) == (1.0, 1.0, 1.0, 1.0)
    codes = scipy.sparse.vstack([arrays["train_codes"], one_latent_a_class(arrays["labels"])]).tocsr()
    x, y = (np.concatenate([arrays[a], arrays[b]]) for a, b in (("train", "x"), ("train_labels", "labels")))
    table = sparse_probes(codes, x, y, np.arange(200), np.arange(200, 320), rng()).table
    for k in (1, 5, 20):
        own = table[(table["k"] == k) & (table["features"] == "dimensions")]
        assert lines[k, "dimensions"]["auroc"] == pytest.approx(own["auroc"].mean())
        lead = lines[k, "latents"]["auroc"] - lines[k, "dimensions"]["auroc"]
        assert lines[k, "latents"]["difference"] == pytest.approx(lead)
        assert lines[k, "latents"]["difference_ci_low"] <= lead + 1e-12
        assert lines[k, "latents"]["difference_ci_high"] >= lead - 1e-12
        assert abs(lines[k, "dimensions"]["auroc_null"] - 0.5) < 0.25
    assert found.notes == []


def test_a_class_that_training_lacks_leaves_a_note() -> None:
    found, _ = judged(sparse=True, train_labels=np.zeros(200, dtype=np.int64))
    assert found.report["class_probe"] is found.report["sparse_probes"] is None
    assert "a class probe needs two classes in training" in found.notes[0]
    assert "sparse probes need two classes" in found.notes[1]


# ---------------------------------------------------------------- what holds for all


def test_no_number_depends_on_what_else_is_measured_and_the_generator_stays_where_it_was() -> None:
    plain, full = judged()[0], judged(sparse=True)[0]
    assert {**full.report, "sparse_probes": None} == plain.report
    source, untouched = rng(9), rng(9)
    x = rng().normal(size=(30, 3)).astype(np.float32)
    quality_of(scipy.sparse.csr_matrix(np.ones((30, 2))), x, x, "e", source)
    assert source.random() == untouched.random()


def test_the_block_is_plain_json() -> None:
    report = judged(sparse=True)[0].report
    assert json.loads(json.dumps(report, allow_nan=False)) == report


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(12, 60), st.integers(1, 20), st.floats(0.0, 1.0))
def test_every_image_and_latent_is_counted_once(seed: int, n: int, m: int, density: float) -> None:
    source = rng(seed)
    dense = source.random((n, m)) * (source.random((n, m)) < density)
    x = source.normal(size=(n, 4)).astype(np.float32)
    report, latents, _ = quality_of(scipy.sparse.csr_matrix(dense), x, x, "e", source)
    used = report["l0_distribution"]
    assert sum(used["images"]) == n
    assert np.dot(used["l0"], used["images"]) == np.count_nonzero(dense)
    assert sum(report["spectrum"]["latents"]) == m
    assert report["spectrum"]["latents"][0] == round(report["dead_fraction"] * m)
    assert np.all(np.diff(report["spectrum"]["rate"]) > 0)
    np.testing.assert_allclose(latents["rate"], (dense > 0).mean(axis=0))
    # Shuffling rows keeps every latent's weights, so the same latents have a score at the chance level.
    assert report["ms"] is None or np.isfinite(report["ms"]["random_mean"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"labels": np.zeros(119, dtype=int)}, "119 labels for 120 held-out rows"),
        ({"groups": np.zeros(3, dtype=int)}, "3 groups for 120"),
        ({"train": None}, "give train and train_labels together"),
        ({"train_labels": np.zeros(5, dtype=int)}, "does not fit its labels"),
        ({"train": np.zeros((200, 9), dtype=np.float32)}, "does not fit"),
        ({"train_codes": scipy.sparse.csr_matrix((200, 5))}, "does not fit"),
        ({"ms_embeddings": np.zeros((120, 2))}, "give ms_embeddings and ms_encoder"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        judged(**changed)


def test_no_row_is_refused() -> None:
    none = np.zeros((0, 3), dtype=np.float32)
    with pytest.raises(InputError, match="no rows"):
        quality_of(scipy.sparse.csr_matrix((0, 4)), none, none, "e", rng())
