"""The run picker's index outlives versions that knew fewer stages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sae_core import pipeline
from sae_core.config import RunConfig, validate
from sae_core.errors import InputError
from sae_core.store import Store


def config(**changes: Any) -> RunConfig:
    return validate(RunConfig, {"data": {"sketch": {"source": "drawn", "n": 40}}, **changes}, "test")


def recorded(store: Store, one: RunConfig, *without: str) -> str:
    """Record a run as a version did that had no such stages; its id."""
    keyed = pipeline.keys(one, store)
    identity = pipeline.run_id(keyed)
    pipeline.record(store, identity, one, keyed)
    file = store.root / "runs" / identity / "run.json"
    content = json.loads(file.read_text())
    content["keys"] = {name: key for name, key in content["keys"].items() if name not in without}
    file.write_text(json.dumps(content))
    return identity


@pytest.mark.parametrize("without", [(), ("directions",), ("scan",), ("strokes:sketch", "geometry", "directions", "scan")])
def test_a_run_without_newer_stages_is_listed_with_their_keys(tmp_path: Path, without: tuple[str, ...]) -> None:
    store, one = Store(tmp_path), config()
    identity = recorded(store, one, *without)
    expected = {name: keyed.key for name, keyed in pipeline.keys(one, store).items()}
    assert [run.id for run in pipeline.runs(store)] == [identity]
    assert pipeline.find_run(store, identity).keys == expected


def test_the_parents_recorded_count_not_todays(tmp_path: Path) -> None:
    store, one = Store(tmp_path), config()
    identity = recorded(store, one, "directions")
    file = tmp_path / "runs" / identity / "run.json"
    content = json.loads(file.read_text())
    content["keys"]["collect"] = "collect-0123456789abcdef"
    file.write_text(json.dumps(content))
    old = pipeline.find_run(store, identity).keys
    assert old["collect"] == "collect-0123456789abcdef"
    assert old["directions"] != pipeline.keys(one, store)["directions"].key


@pytest.mark.parametrize("without", ["manifest:sketch", "embed:sketch", "train", "interpret"])
def test_a_key_that_needs_data_cannot_be_derived(tmp_path: Path, without: str) -> None:
    store = Store(tmp_path)
    identity = recorded(store, config(), without)
    assert pipeline.runs(store) == []
    with pytest.raises(InputError, match="run its configuration again"):
        pipeline.find_run(store, identity)


def test_a_run_keeps_its_id_when_its_map_is_drawn_otherwise(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ids = {pipeline.run_id(pipeline.keys(config(directions={"seed": seed}), store)) for seed in range(3)}
    assert len(ids) == 1
    assert pipeline.run_id(pipeline.keys(config(collect={"batch_rows": 7}), store)) not in ids
