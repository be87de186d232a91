"""Room for visitors: what was used least recently goes first, and nothing else goes."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

import sae_core as sc
from sae_core import jobs, visitors
from sae_core.config.public import Limits
from tests.visitors.conftest import changed, listing


def none_active(cache: Path, job: str) -> bool:
    return False


@pytest.fixture
def three(demo_cache: Path) -> dict[str, tuple[sc.Store, str]]:
    """Three visitors, each with a run of their own, used in the order of their names: store and train key by name."""
    made = {}
    for number, name in enumerate(("a", "b", "c")):
        store = visitors.prepare(visitors.cache_of(name), demo_cache)
        run = sc.pipeline.run("train", changed(sae__seed=10 + number, sae__steps=5), store)
        visitors.used(store.root, run.id)
        when = time.time() - 1000 + number
        os.utime(store.root / "runs" / run.id / ".used", (when, when))
        made[name] = (store, run.keys["train"])
    return made


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_what_was_used_least_recently_goes_first(three: dict[str, tuple[sc.Store, str]], demo_cache: Path) -> None:
    before = listing(demo_cache)
    total = sum(size(store.root) for store, _ in three.values())
    assert visitors.make_room(none_active, limits=Limits(visitors_bytes=total)) == []
    visitors.make_room(none_active, limits=Limits(visitors_bytes=total - 1))
    assert [store.has(key) for store, key in three.values()] == [False, True, True]
    visitors.make_room(none_active, limits=Limits(visitors_bytes=0))
    assert [store.has(key) for store, key in three.values()] == [False, False, False]
    assert listing(demo_cache) == before, "the shared runs stay"


def test_a_cache_at_work_and_the_one_that_asks_stay(
    three: dict[str, tuple[sc.Store, str]], held_worker: list[subprocess.Popen[bytes]]
) -> None:
    jobs.start("train", changed(sae__seed=99), three["a"][0])
    visitors.make_room(jobs.may_be_at_work, keep=three["b"][0].root, limits=Limits(visitors_bytes=0))
    assert [store.has(key) for store, key in three.values()] == [True, True, False]


def test_a_run_used_again_outlives_one_that_was_not(three: dict[str, tuple[sc.Store, str]]) -> None:
    store, _ = three["a"]
    run = next(run for run in sc.pipeline.runs(store) if run.keys["train"] == three["a"][1])
    visitors.used(store.root, run.id)
    total = sum(size(one.root) for one, _ in three.values())
    visitors.make_room(none_active, limits=Limits(visitors_bytes=total - 1))
    assert [one.has(key) for one, key in three.values()] == [True, False, True]


def test_an_artifact_that_another_run_of_the_visitor_needs_stays(demo_cache: Path) -> None:
    store = visitors.prepare(visitors.cache_of("a"), demo_cache)
    config = changed(data__sketch__seed=77, data__sketch__n=120, sae__steps=5, sae__batch_size=16)
    first = sc.pipeline.run("train", config, store)
    second = sc.pipeline.run("train", config.model_copy(update={"sae": config.sae.model_copy(update={"seed": 5})}), store)
    for run, when in ((first, 1.0), (second, 2.0)):
        visitors.used(store.root, run.id)
        os.utime(store.root / "runs" / run.id / ".used", (when, when))
    visitors.make_room(none_active, limits=Limits(visitors_bytes=size(store.root) - 1))
    assert not store.has(first.keys["train"])
    assert store.has(second.keys["train"])
    assert store.has(first.keys["embed:sketch"]), "both were made from it"


def test_what_nobody_used_for_a_day_goes_whole(three: dict[str, tuple[sc.Store, str]]) -> None:
    root = three["a"][0].root
    os.utime(root / ".used", (1.0, 1.0))
    assert visitors.make_room(none_active) == [root.name]
    assert not root.exists()
    assert all(three[name][0].root.is_dir() for name in "bc")


def test_there_are_not_endlessly_many_caches(demo_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitors, "LIMITS", Limits(caches=2))
    for name in ("a", "b", "a"):
        visitors.prepare(visitors.cache_of(name), demo_cache)
    with pytest.raises(sc.InputError, match="come back"):
        visitors.prepare(visitors.cache_of("c"), demo_cache)


def test_a_home_that_cannot_be_written_is_said_in_one_line(
    demo_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAE_LAB_VISITORS", str(tmp_path / "file" / "visitors"))
    with pytest.raises(sc.InputError, match="tell its owner") as refusal:
        visitors.prepare(visitors.cache_of("a"), demo_cache)
    assert str(tmp_path) not in str(refusal.value)


def test_links_in_a_visitors_cache_lead_nowhere(demo_cache: Path, tmp_path: Path) -> None:
    """Whatever got a link there: making room removes the link, never what it points at."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    store = visitors.prepare(visitors.cache_of("a"), demo_cache)
    (store.root / "train").mkdir(exist_ok=True)
    (store.root / "train" / "link").symlink_to(outside)
    os.utime(store.root / ".used", (1.0, 1.0))
    visitors.make_room(none_active)
    assert not store.root.exists()
    assert (outside / "file").read_text() == "kept"
