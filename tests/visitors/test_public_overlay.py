"""A visitor's cache over the shared one: it shows it and never writes it; what a visitor makes is theirs alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import sae_core as sc
from sae_core import visitors
from tests.visitors.conftest import changed, listing


def test_a_visitors_cache_shows_the_shared_one_and_never_writes_it(demo_cache: Path) -> None:
    shared = sc.Store(demo_cache)
    before = listing(demo_cache)
    own = visitors.prepare(visitors.cache_of("one"), demo_cache)
    (baked,) = [run for run in sc.pipeline.runs(own) if run.name == "small"]
    assert own.keys() == shared.keys()
    assert {a.key for a in own.artifacts()} == {a.key for a in shared.artifacts()}
    assert baked.open(own).metrics == baked.open(shared).metrics
    again = sc.pipeline.run("train", baked.config.model_copy(update={"name": "renamed"}), own)
    assert again.outcomes["train"].cached
    assert [run.name for run in sc.pipeline.runs(own) if run.id == baked.id] == ["small"], "nobody renames the shared run"
    with pytest.raises(sc.InputError, match="everyone shares"):
        own.remove(baked.keys["train"])
    assert listing(demo_cache) == before


def test_what_a_visitor_makes_is_theirs_alone(demo_cache: Path) -> None:
    one, two = (visitors.prepare(visitors.cache_of(name), demo_cache) for name in ("one", "two"))
    config = changed(sae__seed=3, sae__steps=20, name="mine")
    made = sc.pipeline.run("train", config, one)
    key = made.keys["train"]
    assert not made.outcomes["train"].cached
    assert made.outcomes["embed:sketch"].cached, "the shared embeddings are used, not made again"
    assert (one.root / "train" / key).is_dir()
    assert not two.has(key)
    assert not sc.Store(demo_cache).has(key)
    assert "mine" in [run.name for run in sc.pipeline.runs(one)]
    assert "mine" not in [run.name for run in sc.pipeline.runs(two)]
    with pytest.raises(sc.InputError):
        sc.pipeline.find_run(two, made.id)
    one.remove(key)
    assert not one.has(key)


def test_an_overlay_that_is_removed_while_it_is_open_is_the_shared_cache_again(demo_cache: Path) -> None:
    store = visitors.prepare(visitors.cache_of("a"), demo_cache)
    shutil.rmtree(store.root)
    assert store.keys() == sc.Store(demo_cache).keys()
