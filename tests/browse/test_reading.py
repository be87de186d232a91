"""Reading a picture and finding what looks like it, against brute force on data written out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.special import softmax

from sae_core.activations.index import Activations
from sae_core.browse import likeness, reading
from sae_core.browse.reading import Reader
from sae_core.clip.embed import Embeddings
from sae_core.clip.prompts import class_directions
from sae_core.clip.shards import write_shard
from sae_core.config import TopK
from sae_core.errors import InputError
from sae_core.sae.architectures import SAE
from tests.browse.conftest import Stored

D, M, K = 12, 24, 4
SKETCHES, PHOTOS = 150, 90


class Clip:
    """Stands in for an encoder: a picture's embedding is its first pixels, a text's is drawn by its letters."""

    id, dim, logit_scale = "fake/v1", D, 50.0

    def images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        return np.stack([np.asarray(one.convert("L"), dtype=np.float32).ravel()[:D] / 64 - 1 for one in images])

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([np.random.default_rng(list(text.encode())).standard_normal(D) for text in texts]).astype(np.float32)


@dataclass
class Pictures:
    """What a reader asks of a manifest."""

    classes: tuple[str, ...]
    rendering: str


@dataclass
class World:
    x: NDArray[np.float32]
    sae: SAE
    acts: Activations
    embeddings: dict[str, Embeddings]
    manifests: dict[str, Any]
    group: NDArray[np.int64]

    def reader(self, **options: Any) -> Reader:
        return Reader(Clip(), self.sae, self.acts, self.embeddings, self.manifests, **options)  # type: ignore[arg-type]


def embeddings(folder: Path, x: NDArray[np.float32], shard: int, encoder: str = "fake/v1") -> Embeddings:
    receipts = [
        write_shard(folder, i, start, len(x), x[start : start + shard], "c") for i, start in enumerate(range(0, len(x), shard))
    ]
    shards = [{"file": one.file, "start": one.start, "rows": one.rows} for one in receipts]
    facts = {"encoder": encoder, "weights_sha256": None, "logit_scale": 50.0, "precision": "fp32", "norm": 1.0}
    record = {"n": len(x), "d": D, "site": "projected", **facts, "shards": shards}
    (folder / "embeddings.json").write_text(json.dumps(record))
    return Embeddings.load(folder)


@pytest.fixture
def world(tmp_path: Path, stored: Stored) -> World:
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((D - 1, D - 1)))[0]
    more = rng.standard_normal((2, D - 1))
    decoder = np.zeros((M, D), dtype=np.float32)
    decoder[:, : D - 1] = np.concatenate([axes, -axes, more / np.linalg.norm(more, axis=1, keepdims=True)])
    weights = {"W_enc": decoder, "b_enc": np.zeros(M), "W_dec": decoder, "b_dec": np.zeros(D)}
    sae = SAE(TopK(k=K), {name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()})
    n = SKETCHES + PHOTOS
    code = np.zeros((n, M))
    for row in code:
        row[rng.choice(M - 2, 2, replace=False)] = rng.uniform(1, 3, 2)
    x = (code @ decoder + 0.05 * rng.standard_normal((n, D))).astype(np.float32)
    group = np.arange(n)
    group[5] = group[4]
    x[5] = x[4] * 1.01
    z = np.asarray(sae.encode(x))
    z[:, M - 1] = 0  # a latent that never fired on the data, whatever a drawing does
    acts = stored(z, np.zeros(n, dtype=np.int64), SKETCHES, group)
    made = {}
    for name, part in (("sketch", x[:SKETCHES]), ("photo", x[SKETCHES:])):
        (tmp_path / name).mkdir()
        made[name] = embeddings(tmp_path / name, part, 64)
    manifests = {"sketch": Pictures(("house", "tree", "sun"), "sketch"), "photo": Pictures(("cat",), "photo")}
    return World(x, sae, acts, made, manifests, group)


def drawing(x: NDArray[np.float32]) -> Image.Image:
    pixels = np.zeros((4, 4), dtype=np.uint8)
    pixels.ravel()[:D] = np.clip(np.rint((x + 1) * 64), 0, 255)
    return Image.fromarray(pixels)


def test_a_picture_is_read_as_the_dictionary_encodes_it(world: World) -> None:
    found = world.reader().read(drawing(np.linspace(-1, 1, D)))
    z = np.asarray(world.sae.encode(found.x[None]))[0]
    order = np.argsort(-z, kind="stable")[: (z > 0).sum()]
    assert found.l0 == len(found.latents) == (z > 0).sum()
    np.testing.assert_array_equal(found.latents, order)
    np.testing.assert_allclose(found.values, z[order], rtol=1e-5)
    maxima = world.acts.maxima[order]
    np.testing.assert_allclose(found.relative, np.where(maxima > 0, z[order] / np.maximum(maxima, 1e-9), 1), rtol=1e-5)
    mean = world.x.mean(axis=0)
    error = ((found.x - world.sae(found.x[None])[0]) ** 2).sum() / ((found.x - mean) ** 2).sum()
    assert found.explained == pytest.approx(1 - error, abs=1e-5)


def test_the_percentile_is_the_place_among_the_datas_own(world: World) -> None:
    reader = world.reader(trained_on=["sketch"])
    own = [reader.reading(x, ()) for x in world.x[:SKETCHES]]
    order = np.argsort([one.explained for one in own], kind="stable")
    places = np.array([one.percentile for one in own])[order]
    np.testing.assert_allclose(places, np.arange(1, SKETCHES + 1) / SKETCHES, atol=1.5 / SKETCHES)
    assert sum(one.is_far for one in own) == pytest.approx(reading.FAR * SKETCHES, abs=1.5)


def test_what_no_latent_points_at_is_far(world: World) -> None:
    reader = world.reader()
    away = world.x.mean(axis=0)
    away[D - 1] += 5  # no decoder row has anything there
    far = reader.reading(away, ())
    assert far.explained < 0.1
    assert far.is_far
    assert not reader.reading(world.x[7], ()).is_far


def test_labels_are_the_softmax_of_both_cosines(world: World) -> None:
    reader = world.reader(templates={"sketch": ("a {}",)}, class_names={"sketch": {"sun": "the sun"}})
    found = reader.reading(world.x[3])
    texts = class_directions(Clip(), ["house", "tree", "the sun"], ("a {}",))
    for column, x in (("probability", world.x[3]), ("probability_sae", world.sae(world.x[3:4])[0])):
        expected = dict(zip(("house", "tree", "sun"), softmax(50 * texts @ (x / np.linalg.norm(x))), strict=True))
        np.testing.assert_allclose(found.labels[column], [expected[name] for name in found.labels["label"]], rtol=1e-3)
    assert (np.diff(found.labels["probability"]) <= 0).all()
    assert set(found.labels["domain"]) == {"sketch"}, "one class is no choice"
    assert reader.labels("sketch") == ("house", "tree", "sun")
    with pytest.raises(InputError, match="no two classes"):
        reader.labels("photo")
    assert list(reader.reading(world.x[3], ()).labels.columns) == list(reading.LABELS)


@pytest.mark.parametrize(("scan", "few"), [(1 << 28, 0.1), (0, 0.0), (0, 2.0)])
@pytest.mark.parametrize("domain", [None, "sketch", "photo"])
@pytest.mark.parametrize("latent", [None, 3])
def test_nearest_is_the_brute_force_answer(
    world: World, scan: int, few: float, domain: str | None, latent: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likeness, "SCAN", scan)
    monkeypatch.setattr(likeness, "FEW", few)
    monkeypatch.setattr(likeness, "CHUNK", 50)
    reader = world.reader()
    found = reader.nearest(reader.reading(world.x[4], ()), 12, latent, domain)
    cosines = world.x @ world.x[4] / np.linalg.norm(world.x, axis=1) / np.linalg.norm(world.x[4])
    allowed = np.arange(len(world.x))
    if latent is not None:
        allowed = np.intersect1d(allowed, world.acts.postings(latent)[0])
    if domain is not None:
        allowed = allowed[(allowed < SKETCHES) == (domain == "sketch")]
    order = allowed[np.argsort(-cosines[allowed], kind="stable")]
    _, first = np.unique(world.group[order], return_index=True)
    expected = order[np.sort(first)][:12]
    np.testing.assert_allclose(found["cosine"], cosines[expected], atol=1e-6)
    assert len(set(world.group[found["row"]])) == len(found)
    assert set(found["row"]) - {4, 5} == set(expected) - {4, 5}, "4 and 5 are copies of each other"
    rows = found["row"].to_numpy()
    assert found["domain"].tolist() == ["sketch" if row < SKETCHES else "photo" for row in rows]
    np.testing.assert_array_equal(found["image"], np.where(rows < SKETCHES, rows, rows - SKETCHES))


def test_changes_are_in_units_of_the_maximum(world: World) -> None:
    reader = world.reader()
    a, b = (reader.reading(world.x[row], ()) for row in (10, 200))
    there, back = reader.changes(a, b), reader.changes(b, a)
    assert reader.changes(a, a).empty
    z = np.asarray(world.sae.encode(world.x[[10, 200]]))
    assert set(there["latent"]) == set(np.flatnonzero(z[0] != z[1]))
    assert (np.diff(there["change"].abs()) <= 1e-7).all()
    np.testing.assert_allclose(there.set_index("latent")["change"], -back.set_index("latent")["change"][there["latent"]])
    for latent, before, after, change in there.itertuples(index=False):
        most = world.acts.maxima[latent] or max(before, after)
        assert (before, after) == pytest.approx(tuple(z[:, latent]), rel=1e-5)
        assert change == pytest.approx((after - before) / most, rel=1e-4)


def test_a_latent_that_never_fired_on_the_data_has_its_own_unit(world: World) -> None:
    reader = world.reader()
    silent = reader.reading(3 * np.asarray(world.sae.decoder_raw)[M - 1], ())
    assert world.acts.maxima[M - 1] == 0
    assert silent.latents[0] == M - 1
    assert silent.relative[0] == 1
    other = int(np.flatnonzero(np.asarray(world.sae.encode(world.x))[:, M - 1] == 0)[0])
    changed = reader.changes(reader.reading(world.x[other], ()), silent).set_index("latent")
    assert changed.at[M - 1, "change"] == 1


def test_another_clip_is_refused(world: World, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = embeddings(tmp_path / "other", world.x[:10], 10, "other/v2")
    world.embeddings["sketch"] = other
    with pytest.raises(InputError, match="come from other/v2, pictures would be read by fake/v1"):
        world.reader()


def test_an_unknown_domain_or_latent_is_named(world: World) -> None:
    reader = world.reader()
    one = reader.reading(world.x[0], ())
    with pytest.raises(InputError, match="no domain 'video'"):
        reader.nearest(one, 3, domain="video")
    with pytest.raises(InputError, match=f"no latent {M}"):
        reader.nearest(one, 3, latent=M)
