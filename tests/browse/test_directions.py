"""The map of directions: alike lies close, the measure of it is scikit-learn's, and nothing random is left to chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.manifold import trustworthiness as sklearns

from sae_core.browse.directions import ABOUT, TABLE, Directions, run, trustworthiness
from sae_core.config import DirectionsConfig, TopK
from sae_core.errors import Cancelled, DamagedArtifact, InputError
from sae_core.evaluate.metrics import unit
from sae_core.progress import Event
from sae_core.sae.architectures import SAE
from sae_core.store import Inputs
from tests.browse.conftest import Stored

D, EACH, CENTRES = 16, 12, 4


def inputs(folder: Path, stored: Stored, decoder: NDArray[np.float64], dead: tuple[int, ...] = ()) -> Inputs:
    m = len(decoder)
    rows = torch.tensor(decoder, dtype=torch.float32)
    weights = {"W_enc": rows, "b_enc": torch.zeros(m), "W_dec": rows.clone(), "b_dec": torch.zeros(D)}
    folder.mkdir()
    SAE(TopK(k=1), weights).save(folder)
    z = np.eye(m) * np.arange(1, m + 1)  # latent j fires on image j, by j + 1
    z[:, list(dead)] = 0
    return Inputs({"sae": folder, "activations": stored(z, np.zeros(m, dtype=np.int64)).folder})


def clustered(rng: np.random.Generator) -> NDArray[np.float64]:
    centres = np.linalg.qr(rng.standard_normal((D, D)))[0][:CENTRES]
    return np.repeat(centres, EACH, axis=0) + 0.1 * rng.standard_normal((CENTRES * EACH, D))


def test_latents_that_point_alike_lie_close_whatever_their_length(tmp_path: Path, stored: Stored) -> None:
    rng = np.random.default_rng(0)
    decoder = clustered(rng) * rng.uniform(0.1, 10, (CENTRES * EACH, 1))
    parents = inputs(tmp_path / "sae", stored, decoder, dead=(3,))
    events: list[Event] = []
    made = run(DirectionsConfig(perplexity=8), parents, tmp_path / "out", events.append)
    assert made.table["latent"].tolist() == [j for j in range(len(decoder)) if j != 3]
    places, cluster = made.table[["x", "y"]].to_numpy(), made.table["latent"].to_numpy() // EACH
    apart = np.linalg.norm(places[:, None] - places, axis=2) + np.diag(np.full(len(places), np.inf))
    assert (cluster[apart.argmin(axis=1)] == cluster).all()
    assert made.about["trustworthiness"] > 0.85
    assert (events[0].step, events[-1].step, events[-1].total) == (0, 1, 1)
    assert events[-1].metrics == made.metrics()

    read = Directions.load(tmp_path / "out")
    assert read.table.equals(made.table)
    assert read.metrics() == made.metrics()
    assert run(DirectionsConfig(perplexity=8), parents, tmp_path / "again").table.equals(made.table)
    other = run(DirectionsConfig(perplexity=8, latents=20), parents, tmp_path / "some").table
    assert other["latent"].tolist() == list(range(CENTRES * EACH - 20, CENTRES * EACH)), "the strongest"


@pytest.mark.parametrize("m", [1, 2, 9])
def test_a_few_latents_are_laid_out_without_neighbourhoods(m: int, tmp_path: Path, stored: Stored) -> None:
    decoder = np.random.default_rng(m).standard_normal((m, D))
    made = run(DirectionsConfig(), inputs(tmp_path / "sae", stored, decoder), tmp_path / "out")
    assert "fewer than 10" in made.about["method"]
    assert made.about["trustworthiness"] is None
    assert made.metrics() == {"directions_latents": m}
    units = unit(decoder)
    centred = units - units.mean(axis=0)
    spectrum = np.linalg.svd(centred)[1][:2]
    lengths = np.linalg.norm(made.table[["x", "y"]].to_numpy(np.float64), axis=0)
    assert lengths * spectrum[0] == pytest.approx(np.array([*spectrum, 0])[:2] * lengths[0], abs=1e-4)
    assert Directions.load(tmp_path / "out").about == {"format": 1, **made.about}


def test_a_dictionary_that_never_fires_has_an_empty_map(tmp_path: Path, stored: Stored) -> None:
    parents = inputs(tmp_path / "sae", stored, np.eye(3, D), dead=(0, 1, 2))
    assert run(DirectionsConfig(), parents, tmp_path / "out").table.empty


def test_it_can_be_stopped_while_it_works(tmp_path: Path, stored: Stored) -> None:
    def stop(event: Event) -> None:
        if event.metrics:
            raise Cancelled("stopped")

    parents = inputs(tmp_path / "sae", stored, clustered(np.random.default_rng(1)))
    with pytest.raises(Cancelled):
        run(DirectionsConfig(), parents, tmp_path / "out", stop)
    assert not (tmp_path / "out").exists()


@settings(max_examples=25, deadline=None)
@given(n=st.integers(4, 40), k=st.integers(1, 8), seed=st.integers(0, 99))
def test_trustworthiness_is_scikit_learns(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    units, places = unit(rng.standard_normal((n, 5))), rng.standard_normal((n, 2)).astype(np.float32)
    k = min(k, (n - 1) // 2)
    ours = trustworthiness(units, places, k, rng)
    assert ours == pytest.approx(sklearns(units.astype(np.float64), places, n_neighbors=k, metric="cosine"), abs=1e-6)


def test_trustworthiness_of_a_sample_is_near_the_whole() -> None:
    rng = np.random.default_rng(0)
    units, places = unit(rng.standard_normal((600, 3))), rng.standard_normal((600, 2)).astype(np.float32)
    whole, some = (trustworthiness(units, places, 10, np.random.default_rng(1), asked) for asked in (600, 200))
    assert some == pytest.approx(whole, abs=0.03)
    assert whole == pytest.approx(0.5, abs=0.05), "places at random"
    circle = unit(rng.standard_normal((600, 2)))
    assert trustworthiness(circle, circle, 10, rng) > 0.999


def test_no_map_and_a_broken_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make it with the directions command"):
        Directions.load(tmp_path)
    (tmp_path / ABOUT).write_text("{}")
    (tmp_path / TABLE).write_bytes(b"PAR1")
    with pytest.raises(DamagedArtifact, match="cannot be read"):
        Directions.load(tmp_path)
