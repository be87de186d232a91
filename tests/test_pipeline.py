"""The one door: plans, keys, caching, resuming, the index of runs."""

from pathlib import Path

import pytest

from sae_core import pipeline
from sae_core.config import RunConfig, load_config, validate
from sae_core.errors import Cancelled, InputError
from sae_core.progress import Event
from sae_core.store import Store

CONFIGS = Path(__file__).parents[1] / "configs"
TINY = {
    "data": {
        "sketch": {"source": "drawn", "rendering": "sketch", "n": 120},
        "photo": {"source": "drawn", "rendering": "photo", "n": 120},
    }
}


def tiny(**changes: object) -> RunConfig:
    return validate(RunConfig, {**TINY, **changes}, "test")


def test_a_plan_lists_parents_first_and_names_every_stage() -> None:
    nodes = pipeline.plan(tiny())
    seen: set[str] = set()
    for name, node in nodes.items():
        assert set(node.parents.values()) <= seen
        seen.add(name)
    assert {node.stage.name for node in nodes.values()} == set(pipeline.STAGES) - {"sweep"}  # which a config asks for


def test_only_the_train_domains_are_parents_of_the_dictionary() -> None:
    nodes = pipeline.plan(tiny(sae={"domains": ["photo"]}))
    assert set(nodes["train"].parents) == {"manifest:photo", "embed:photo"}
    assert "embed:sketch" in nodes["evaluate"].parents


def test_a_setting_changes_the_keys_below_it_and_no_others(tmp_path: Path) -> None:
    store = Store(tmp_path)
    before = {name: one.key for name, one in pipeline.keys(tiny(), store).items()}
    after = {name: one.key for name, one in pipeline.keys(tiny(sae={"seed": 1}), store).items()}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"train", "evaluate", "collect", "geometry", "directions", "interpret", "visualize", "steer", "scan"}
    renamed = {name: one.key for name, one in pipeline.keys(tiny(name="other"), store).items()}
    assert renamed == before


def test_a_second_run_is_cached_and_a_third_cache_has_the_same_keys(tmp_path: Path) -> None:
    first = pipeline.run("manifest", tiny(), Store(tmp_path / "a"))
    again = pipeline.run("manifest", tiny(), Store(tmp_path / "a"))
    other = pipeline.run("manifest", tiny(), Store(tmp_path / "b"))
    assert [o.cached for o in first.outcomes.values()] == [False, False]
    assert [o.cached for o in again.outcomes.values()] == [True, True]
    assert first.keys == again.keys == other.keys
    assert first.outcomes["manifest:sketch"].metrics == other.outcomes["manifest:sketch"].metrics
    assert all(Store(tmp_path / "a").verify(key) == [] for key in first.keys.values())


def test_a_cancelled_stage_leaves_no_artifact_and_the_next_attempt_makes_it(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def stop(event: Event) -> None:
        if event.stage == "manifest:photo":
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        pipeline.run("manifest", tiny(), store, stop)
    done = pipeline.run("manifest", tiny(), store)
    assert [done.outcomes[f"manifest:{d}"].cached for d in ("sketch", "photo")] == [True, False]
    assert [p.name for p in (tmp_path / "manifest").glob(".partial-*")] == []


def test_a_damaged_artifact_is_named_and_rebuilt_after_it_is_removed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = pipeline.run("manifest", tiny(), store).keys["manifest:sketch"]
    (store.folder(key) / "rows.parquet").write_bytes(b"")
    with pytest.raises(Exception, match=f"artifact {key} is damaged: rows.parquet"):
        pipeline.run("manifest", tiny(), store)
    store.remove(key)
    assert pipeline.run("manifest", tiny(), store).keys["manifest:sketch"] == key


def test_an_unknown_stage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown stage 'bake'"):
        pipeline.run("bake", tiny(), Store(tmp_path))


def test_the_index_knows_the_run_and_what_is_made_of_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = pipeline.run("manifest", tiny(name="mine"), store)
    (found,) = pipeline.runs(store)
    assert (found.id, found.name, found.config) == (made.id, "mine", made.config)
    assert found.open(store).keys == made.keys
    assert load_config(tmp_path / "runs" / made.id / "config.yaml") == made.config
    assert pipeline.find_run(store, made.id).keys == found.keys
    for wrong in ("run-0000000000000000", "../x", ""):
        with pytest.raises(InputError, match="no run"):
            pipeline.find_run(store, wrong)
    (tmp_path / "runs" / made.id / "config.yaml").write_text("nonsense: 1")
    assert pipeline.runs(store) == []


def test_a_vocabulary_file_counts_by_its_content(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("line\n")
    config = tiny(interpret={"vocabulary": "file", "vocabulary_file": str(words)})
    before = pipeline.keys(config, Store(tmp_path))["interpret"].key
    words.write_text("line\ncurve\n")
    assert pipeline.keys(config, Store(tmp_path))["interpret"].key != before
    words.unlink()
    with pytest.raises(InputError, match="no file at"):
        pipeline.keys(config, Store(tmp_path))
