"""A sweep trains what its members would be trained to alone, on the same batches, and tells which of them are worth having."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sae_core import pipeline
from sae_core.config import RunConfig, SaeConfig, SweepConfig, SweepRun, TopK, validate
from sae_core.errors import Cancelled, DamagedArtifact, InputError
from sae_core.progress import Event, silent
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Arrays, Pool
from sae_core.sae.formats import load_sae
from sae_core.sae.monitor import measure
from sae_core.sae.sweep import Sweep, Swept, pareto
from sae_core.sae.train import _fit
from sae_core.store import Store

Floats = NDArray[np.float32]
World = Callable[..., tuple[Floats, torch.Tensor]]
CPU = torch.device("cpu")
BASE = SaeConfig(architecture=TopK(k=4), width=96, steps=120, batch_size=64, log_every=10)


def pool(x: Floats) -> Pool:
    return Pool([(Arrays([x]), np.arange(len(x)))], x.shape[1])


def sweep(x: Floats, folder: Path | None = None, report: Callable[[Event], None] = silent, **grid: object) -> dict[str, SAE]:
    config = SweepRun(sae=BASE, sweep=validate(SweepConfig, grid, "test"))
    return Sweep(config, pool(x), np.arange(len(x)), None, folder, report, CPU).run()


def test_members_are_named_by_what_sets_them_apart() -> None:
    grid = validate(SweepConfig, {"architecture": ["topk", "gated", "relu_l1", "kmeans"], "k": [2, 4], "l1": [0.1]}, "test")
    members = SweepRun(sae=BASE, sweep=grid).members()
    assert list(members) == [
        "topk-k2-w96-s0",
        "topk-k4-w96-s0",
        "gated-k2-w96-s0",
        "gated-k4-w96-s0",
        "relu_l1-l1_0.1-w96-s0",
        "kmeans-w96-s0",
    ]
    assert members["gated-k2-w96-s0"].architecture.l0 == 2
    assert members["topk-k4-w96-s0"] == BASE


def test_settings_of_the_base_stay_where_the_grid_says_nothing() -> None:
    base = BASE.model_copy(update={"architecture": TopK(k=4, aux_coefficient=0.5)})
    members = SweepRun(sae=base, sweep=SweepConfig(k=(2,), lr=(0.01, 0.02), seed=(1,))).members()
    assert list(members) == ["topk-k2-w96-lr0.01-s1", "topk-k2-w96-lr0.02-s1"]
    assert {member.architecture.aux_coefficient for member in members.values()} == {0.5}
    assert {member.steps for member in members.values()} == {120}


def test_a_member_is_what_training_it_alone_gives(sparse_world: World) -> None:
    x, _ = sparse_world(1500)
    found = sweep(x, architecture=["topk", "batch_topk", "matryoshka", "jumprelu", "gated"], k=[3, 6], lr=[0.005, 0.01])
    assert len(found) == 20
    for name, sae in found.items():
        config = SweepRun(
            sae=BASE, sweep=validate(SweepConfig, {"architecture": [name.split("-")[0]], "k": [3, 6], "lr": [0.005, 0.01]}, "")
        )
        alone = _fit(config.members()[name], pool(x), np.arange(len(x)), None, None, silent, CPU)[0]
        # The sums of a stack are taken in another order, so the last digits may differ, and training lets them grow.
        ours, theirs = (measure(one, pool(x), CPU).metrics() for one in (sae, alone))
        assert ours["r2"] == pytest.approx(theirs["r2"], abs=0.01), name
        assert ours["l0"] == pytest.approx(theirs["l0"], rel=0.05), name


def test_another_seed_is_another_dictionary(sparse_world: World) -> None:
    x, _ = sparse_world(600)
    found = sweep(x, seed=[0, 1])
    assert found["topk-k4-w96-s0"].sha256 != found["topk-k4-w96-s1"].sha256


def test_a_stopped_sweep_goes_on_to_the_same_bits(sparse_world: World, tmp_path: Path) -> None:
    x, _ = sparse_world(900)
    grid = {"architecture": ["topk", "batch_topk", "gated", "pca"], "k": [3, 6]}
    whole = sweep(x, **grid)

    def stop(event: Event) -> None:
        if event.step >= 60:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        sweep(x, tmp_path, stop, **grid)
    said: list[str] = []
    again = sweep(x, tmp_path, lambda event: said.append(event.message), **grid)
    assert any(message.startswith("going on from step") for message in said)
    assert {name: sae.sha256 for name, sae in again.items()} == {name: sae.sha256 for name, sae in whole.items()}


def test_a_member_that_diverges_is_named(sparse_world: World) -> None:
    x, _ = sparse_world(300)
    base = BASE.model_copy(update={"scaling": "none", "init": "seed_project"})
    config = SweepRun(sae=base, sweep=SweepConfig(seed=(0, 1)))
    with pytest.raises(InputError, match=r"sweep member topk-k4-w96-s0 diverged at step \d+; leave its lr"):
        Sweep(config, pool(x * np.float32(1e19)), np.arange(300), None, None, silent, CPU).run()


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float]]) -> None:
    front = pareto(points)
    assert any(front)
    for (l0, r2), best in zip(points, front, strict=True):
        beaten = any((a <= l0 and b >= r2) and (a, b) != (l0, r2) for a, b in points)
        assert best == (not beaten)


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({}, "give at least one list"),
        ({"k": []}, "give at least one list"),
        ({"k": [0]}, "greater than or equal to 1"),
        ({"architecture": ["vae"]}, "Input should be 'topk', 'batch_topk'"),
        ({"kk": [1]}, "unknown key sweep.kk"),
        ({"k": [5000]}, "k = 5000 is above the dictionary size"),
        ({"seed": list(range(300))}, "the sweep has 300 members; at most 256"),
    ],
)
def test_a_wrong_grid_is_one_line(grid: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        validate(RunConfig, {"data": {"source": "drawn"}, "sweep": grid}, "config")
    assert "\n" not in str(caught.value)


def test_the_artifact(captioned_arrays: Callable[..., Path], tmp_path: Path) -> None:
    raw = {
        "data": {"source": "arrays", "path": str(captioned_arrays()), "encoder": "a/clip"},
        "sae": {"width": 24, "steps": 60, "architecture": {"kind": "topk", "k": 4}},
        "sweep": {"architecture": ["topk", "pca"], "k": [1, 2, 4]},
    }
    config, store = validate(RunConfig, raw, "test"), Store(tmp_path / "cache")
    made = pipeline.run("sweep", config, store)
    assert "train" not in made.outcomes
    outcome = made.outcomes["sweep"]
    found = outcome.load()
    assert isinstance(found, Swept)
    table = found.table.set_index("name")
    assert outcome.metrics == {"members": 6, "best_r2": table["r2"].max(), "best_r2_l0": table["l0"][table["r2"].idxmax()]}
    assert list(table["pareto"]) == pareto(list(zip(table["l0"], table["r2"], strict=True)))
    for name in table.index:
        sae = load_sae(outcome.path / "members" / name)
        assert sae.sha256 == found.sae(name).sha256
        assert sae.encoder_id == "a/clip"
        assert np.mean(found.counts(name) == 0) == table.loc[name, "dead_fraction"]
        assert len(found.counts(name)) == table.loc[name, "width"]
    with pytest.raises(InputError, match=r"no member 'x/\.\./y'"):
        found.sae("x/../y")
    (outcome.path / "members" / "pca-k1-w24-s0" / "counts.npy").unlink()
    with pytest.raises(DamagedArtifact, match="no firing counts of pca-k1-w24-s0; sweep again"):
        found.counts("pca-k1-w24-s0")
    assert json.loads((outcome.path / "sweep.json").read_text())["steps"] == 60
    # A plain run does not sweep, and a run without a grid says how to give one.
    assert "sweep" not in pipeline.run("manifest", config, store).outcomes
    with pytest.raises(InputError, match=r"nothing says what to sweep; add .*--grid k=8,16,32"):
        pipeline.run("sweep", validate(RunConfig, {"data": raw["data"]}, "test"), store)


def test_a_budget_of_seconds_is_refused() -> None:
    raw = {"data": {"source": "drawn"}, "sae": {"seconds": 60}, "sweep": {"k": [8]}}
    with pytest.raises(InputError, match=r"no budget of seconds; give sae\.steps"):
        validate(RunConfig, raw, "config")
