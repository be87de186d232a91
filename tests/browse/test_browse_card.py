"""The card of a latent: what it holds, as JSON, table and picture; dead and dense latents; what the command line prints."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from sae_core.activations.index import Activations
from sae_core.activations.writer import Rows, Writer
from sae_core.browse.card import Card, latent_card, what_it_is
from sae_core.browse.marks import Marks
from sae_core.browse.neighbours import decoder_neighbours
from sae_core.browse.sheet import card_png
from sae_core.cli import main
from sae_core.config import ArraySource, DrawnSource, TopK
from sae_core.data import manifest as manifest_stage
from sae_core.data.manifest import Manifest
from sae_core.errors import InputError
from sae_core.evaluate.geometry.report import GeometryReport
from sae_core.interpret.records import FIELDS, Names, frame
from sae_core.sae.architectures import SAE

M, D, HALF = 6, 5, 60
DEAD, DENSE = 4, 5


class World(NamedTuple):
    acts: Activations
    sae: SAE
    manifests: dict[str, Manifest]

    def card(self, latent: int, **known: Any) -> Card:
        return latent_card(self.acts, self.sae, latent, classes={d: m.classes for d, m in self.manifests.items()}, **known)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Sketches with pictures and classes, texts without either; latent 4 never fires, latent 5 on every row."""
    root = tmp_path_factory.mktemp("card")
    rng = np.random.default_rng(0)
    (root / "arrays").mkdir()
    np.save(root / "arrays" / "image_embeddings.npy", rng.normal(size=(HALF, 512)).astype(np.float32))
    captions = pd.DataFrame({"file": [f"{i}.png" for i in range(HALF)], "caption": ["=a shoe"] * HALF})
    captions.to_csv(root / "arrays" / "metadata.csv", index=False)
    manifests = {
        "sketch": manifest_stage.run(DrawnSource(n=HALF), None, root / "manifest" / "sketch"),
        "texts": manifest_stage.run(ArraySource(path=str(root / "arrays")), None, root / "manifest" / "texts"),
    }
    z = np.where(rng.random((2 * HALF, M)) < 0.4, rng.integers(1, 9, (2 * HALF, M)) / 4, 0).astype(np.float32)
    z[:, DEAD], z[:, DENSE] = 0, 1
    (root / "collect").mkdir()
    writer = Writer(root / "collect", M)
    writer.append(np.tile(np.arange(M), (2 * HALF, 1)), z)
    rows = [
        Rows(name, np.arange(HALF), one.table["split"].to_numpy(dtype=str), one.labels, one.groups)
        for name, one in manifests.items()
    ]
    writer.finish(rows, {})
    decoder = torch.from_numpy(rng.normal(size=(M, D)).astype(np.float32))
    weights = {"W_enc": decoder.clone(), "b_enc": torch.zeros(M), "W_dec": decoder, "b_dec": torch.zeros(D)}
    return World(Activations.load(root / "collect"), SAE(TopK(k=2), weights, scale=0.5), manifests)


def test_a_card_holds_what_the_store_says(world: World) -> None:
    card = world.card(0, top=5, each=3, silent=4, near=2)
    assert card.stats == world.acts.stats.iloc[0].to_dict()
    for domain in world.acts.domains:
        pd.testing.assert_frame_equal(card.top[domain], world.acts.top(0, 5, domain=domain))
        edges, counts = card.histograms[domain]
        assert counts.sum() == card.stats[f"{domain}.count"]
        assert edges[-1] == card.stats["max"]
    assert card.bands.groupby("band").size().tolist() == [3] * 5
    fired, _ = world.acts.postings(0)
    assert not set(card.silent["row"]) & set(fired)
    assert (card.silent["row"] - card.silent["image"]).isin([0, HALF]).all()
    pd.testing.assert_frame_equal(card.together, world.acts.coactivation(0, 2))
    assert card.classes["domain"].unique().tolist() == ["sketch"], "texts have no classes"
    assert (card.label, card.dead, card.name, len(card.verdicts)) == (None, False, None, 0)


def test_a_card_is_the_same_whenever_it_is_opened(world: World) -> None:
    first, second = (json.dumps(world.card(1).to_json(world.manifests)) for _ in range(2))
    assert first == second
    other = world.card(1, rng=np.random.default_rng(99))
    assert set(other.silent["row"]) != set(world.card(1).silent["row"])


def test_neighbours_are_the_nearest_living_directions(world: World) -> None:
    rows = world.sae.decoder_raw.numpy().astype(np.float64)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = sorted(((unit[j] @ unit[2], j) for j in range(M) if j not in (2, DEAD)), reverse=True)
    found = decoder_neighbours(world.sae, world.acts, 2, 3)
    assert found["latent"].tolist() == [j for _, j in expected[:3]]
    np.testing.assert_allclose(found["cosine"], [c for c, _ in expected[:3]], atol=1e-6)
    assert len(decoder_neighbours(world.sae, world.acts, 2, 99)) == M - 2


def test_what_is_known_of_a_latent_comes_along(world: World) -> None:
    record = {**dict.fromkeys(FIELDS), "latent": 3, "status": "ok", "label": "hook", "score": 0.8, "positives": 1, "negatives": 1}
    names = Names(frame([{**record, "alternatives": [{"word": "arc", "cosine": float("nan")}], "top_images": []}]), {})
    verdict = {"verdict": "geometric", "measure": "loops", "rho": 0.3, "geometric_effect": 0.2, "geometric_q": 0.01}
    latents = pd.DataFrame(
        [{"domain": "sketch", "latent": j, **verdict, "semantic_effect": np.nan, "semantic_q": 1.0} for j in (2, 3)]
    )
    measures = pd.DataFrame(
        {
            "domain": "sketch",
            "latent": [3, 3, 3, 2],
            "measure": ["lines", "loops", "dots", "lines"],
            "rho": [0.1, 0.3, -0.5, 0.9],
            "p": 0.5,
        }
    )
    geometry = GeometryReport({"domains": {"sketch": {}}}, latents, measures)
    card = world.card(3, names=names, geometry=geometry, marks=Marks(frozenset({3}), {3: "looks\nlike a hook"}))
    assert card.label == "hook"
    assert card.verdicts[["domain", "verdict"]].to_numpy().tolist() == [["sketch", "geometric"]]
    assert card.measures["measure"].tolist() == ["dots", "loops", "lines"]
    plain = card.to_json(world.manifests)
    assert (plain["label"], plain["bookmarked"], plain["note"]) == ("hook", True, "looks\nlike a hook")
    assert plain["name"]["alternatives"] == [{"word": "arc", "cosine": None}]
    assert plain["verdicts"][0]["semantic_effect"] is None
    assert world.card(2, names=names, geometry=geometry).name is None


@pytest.mark.parametrize("latent", range(M))
def test_json_table_and_picture_tell_the_same(world: World, latent: int) -> None:
    card = world.card(latent)
    plain = json.loads(json.dumps(card.to_json(world.manifests), allow_nan=False))
    table = card.table(world.manifests)
    assert [one["row"] for part in plain["top"].values() for one in part] == table.loc[table["part"] == "top", "row"].tolist()
    assert [one["band"] for one in plain["bands"]] == table.loc[table["part"] == "band", "band"].tolist()
    assert [one["row"] for one in plain["silent"]] == table.loc[table["part"] == "silent", "row"].tolist()
    for row in table.to_dict("records"):
        manifest = world.manifests[row["domain"]]
        assert row["file"] == manifest.table["file"].iat[row["image"]]
        assert row["what"] == (manifest.classes[manifest.labels[row["image"]]] if row["domain"] == "sketch" else "=a shoe")
    assert plain["count"] == sum(domain["count"] for domain in plain["domains"].values())
    picture = Image.open(io.BytesIO(card_png(card, world.manifests)))
    assert picture.format == "PNG"
    assert picture.width < 1000
    assert (picture.height < 500) == card.dead


def test_a_dead_and_a_dense_latent_have_cards(world: World) -> None:
    dead = world.card(DEAD)
    assert dead.dead
    assert dead.bands.empty
    assert len(dead.silent) == 8
    assert (dead.classes["p"] == 1).all()
    assert set(dead.table(world.manifests)["part"]) == {"silent"}
    dense = world.card(DENSE)
    assert dense.silent.empty
    assert set(dense.table(world.manifests)["part"]) == {"top", "band"}


def test_a_latent_that_is_not_there_is_refused(world: World) -> None:
    for latent in (-1, M):
        with pytest.raises(InputError, match=f"no latent {latent}"):
            world.card(latent)


def test_the_picture_differs_where_the_latents_do(world: World) -> None:
    sheets = [np.asarray(Image.open(io.BytesIO(card_png(world.card(j), world.manifests)))) for j in (0, 0, 1)]
    assert np.array_equal(sheets[0], sheets[1])
    assert sheets[0].shape != sheets[2].shape or not np.array_equal(sheets[0], sheets[2])


def test_a_picture_is_its_class_or_else_its_caption(world: World) -> None:
    manifest = world.manifests["sketch"]
    assert what_it_is(manifest, 0) == manifest.classes[manifest.labels[0]]
    assert what_it_is(world.manifests["texts"], 0) == "=a shoe"


ARRAYS = str(Path(__file__).parents[2] / "configs" / "embeddings.yaml")


def test_the_command_line_writes_the_card(captioned_arrays: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = [
        "sae.width=32",
        "sae.architecture.k=4",
        "sae.batch_size=64",
        "sae.steps=20",
        "data.encoder=x",
        f"data.path={captioned_arrays()}",
    ]
    argv = ["card", "--config", ARRAYS, "--cache", str(tmp_path / "c"), *(word for one in sets for word in ("--set", one))]
    assert main([*argv, "--latent", "3", "--out", str(tmp_path / "out"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["latent"] == 3
    assert printed["rows"] == 240
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["latent_0003.csv", "latent_0003.json", "latent_0003.png"]
    written = json.loads((tmp_path / "out" / "latent_0003.json").read_text())
    assert written == {name: value for name, value in printed.items() if name != "files"}
    table = pd.read_csv(tmp_path / "out" / "latent_0003.csv")
    assert table.loc[table["part"] == "silent", "row"].tolist() == [one["row"] for one in printed["silent"]]
    assert main([*argv, "--latent", "3"]) == 0
    assert "histograms" not in capsys.readouterr().out
    for wrong, said in (
        (["--latent", "32"], "no latent 32"),
        (["--latent", "-1"], "no latent -1"),
        (["--latent", "x"], "--latent"),
        (["--latent", "1", "--out", ARRAYS], "is a file"),
    ):
        assert main([*argv, *wrong]) == 2
        assert said in capsys.readouterr().err.strip().splitlines()[-1]
