"""Public mode in the core: limits, the one slot, caches of visitors over the shared one, room, ids that are no paths."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sae_core as sc
from sae_core import jobs, visitors
from sae_core.config import public
from sae_core.config.public import Limits
from tests.caches import small_config

TRAVERSALS = (
    "../../etc/passwd",
    "..",
    "%2e%2e%2fetc%2fpasswd",
    "/etc/passwd",
    "train-0123456789abcdef/../../../etc",
    "train-0123456789abcdef\n",
    "train-0123456789abcdef\0",
    "train-0123456789ABCDEF",
    "run-0123456789abcdef/..",
    "",
)


@pytest.fixture(autouse=True)
def in_public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Public mode with a folder of visitors; returns the folder."""
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    monkeypatch.setenv("SAE_LAB_VISITORS", str(tmp_path / "visitors"))
    return tmp_path / "visitors"


def changed(**changes: Any) -> sc.RunConfig:
    """The small demo with other settings, by dotted name."""
    raw = small_config().model_dump(mode="json")
    for name, value in changes.items():
        *path, last = name.split("__")
        node = raw
        for part in path:
            node = node[part]
        node[last] = value
    return sc.config.validate(sc.RunConfig, raw, "test")


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sae__steps": 2001}, "sae.steps = 2,001 is above this public app's limit of 2,000"),
        ({"sae__width": 8192}, "sae.width"),
        ({"sae__steps": None, "sae__epochs": 51.0}, "sae.epochs"),
        ({"sae__steps": None, "sae__seconds": 1e9}, "sae.seconds"),
        ({"sae__batch_size": 1_000_000}, "sae.batch_size"),
        ({"data__sketch__n": 5_000_000}, "images of all domains"),
        ({"data__sketch__size": 512}, "data.sketch.size"),
        ({"data__sketch": {"source": "folder", "path": "/etc"}}, "reads no folder of its server"),
        ({"data__sketch": {"source": "arrays", "path": "/etc"}}, "reads no folder of its server"),
        ({"data__sketch": {"source": "hub", "name": "/etc", "limit": 10}}, "no data set of the Hub"),
        ({"data__sketch": {"source": "hub", "name": "../cache", "limit": 10}}, "no data set of the Hub"),
        ({"data__sketch": {"source": "hub", "name": "~/secrets", "limit": 10}}, "no data set of the Hub"),
        ({"data__sketch": {"source": "hub", "name": "a/../../etc", "limit": 10}}, "no data set of the Hub"),
        ({"data__sketch": {"source": "hub", "name": "cifar10"}}, "say how many images"),
        ({"data__sketch": {"source": "hub", "name": "cifar10", "limit": 10**7}}, "images of all domains"),
        ({"clip": {"model": "local-dir:/etc"}}, "clip.model"),
        ({"clip": {"model": "ViT-L-14", "pretrained": "/etc/passwd"}}, "clip.model"),
        ({"interpret__vocabulary": "file", "interpret__vocabulary_file": "/etc/passwd"}, "reads no file of its server"),
        ({"interpret__random_directions": 10**9}, "interpret.random_directions"),
        ({"sweep": {"k": [1, 2, 3, 4, 5, 6, 7], "seed": [0, 1]}}, "sweep: members"),
        ({"sweep": {"width": [64, 65536]}}, "sae.width"),
    ],
)
def test_what_is_above_the_limits_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(sc.InputError, match=says.replace("(", r"\(")) as refusal:
        public.check(changed(**changes))
    assert "\n" not in str(refusal.value)


def test_the_demo_is_within_the_limits() -> None:
    public.check(sc.load_config(Path(__file__).parents[2] / "configs" / "demo.yaml"))


def test_the_shared_runs_data_may_be_used_again_and_no_other() -> None:
    baked = changed(clip={"model": "ViT-B-32", "pretrained": "openai"})
    public.check(changed(clip={"model": "ViT-B-32", "pretrained": "openai"}, sae__seed=5), [baked])
    with pytest.raises(sc.InputError, match=r"clip\.model"):
        public.check(changed(clip={"model": "ViT-B-32", "pretrained": "openai"}, data__sketch__seed=5), [baked])


def test_a_hub_name_is_never_a_folder_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sae_core.data.sources import hub

    (tmp_path / "owner" / "name" / "class").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    config = sc.config.HubSource(name="owner/name", limit=10)
    assert hub.requirements(config)["from"] != "this machine"
    before = hub.fingerprint(config, None)
    (tmp_path / "owner" / "name" / "class" / "a.png").write_bytes(b"x")
    assert hub.fingerprint(config, None) == before
    with pytest.raises(sc.InputError, match="no data set"):
        hub.requirements(sc.config.HubSource(name=str(tmp_path), limit=10))
    monkeypatch.delenv("SAE_LAB_PUBLIC")
    assert hub.requirements(config)["from"] == "this machine"


def test_a_refusal_in_the_log_is_one_cut_line(caplog: pytest.LogCaptureFixture) -> None:
    public.refused("a run in the address", "x\nroot: all is well\n" + "y" * 5000)
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert len(record.getMessage()) < 200


# ---------------------------------------------------------------- ids


@pytest.mark.parametrize("text", TRAVERSALS)
def test_no_id_becomes_a_path(text: str, tmp_path: Path) -> None:
    store = sc.Store(tmp_path / "cache")
    for refuse in (
        lambda: store.folder(text),
        lambda: store.open(text),
        lambda: store.remove(text),
        lambda: store.partial(text),
        lambda: store.run_folder(text),
        lambda: sc.pipeline.find_run(store, text),
        lambda: jobs.read(store, text),
        lambda: jobs.stop(store, text),
        lambda: jobs.job_config(store, text),
        lambda: sc.load_marks(store, text),
        lambda: sc.load_labels(store, text),
    ):
        with pytest.raises(sc.InputError):
            refuse()
    assert not jobs.may_be_at_work(tmp_path, text)
    assert not (tmp_path / "cache").exists(), "asking makes nothing"


def test_a_token_never_becomes_a_path(in_public: Path) -> None:
    for token in (*TRAVERSALS, "x" * 10_000):
        folder = visitors.cache_of(token)
        assert folder.parent == in_public
        assert len(folder.name) == 16


# ---------------------------------------------------------------- a cache over another


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its size and time."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


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


# ---------------------------------------------------------------- the slot


@pytest.fixture
def held_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Workers that are at work until the test is over: other processes in the place of real ones, which would end."""
    started: list[subprocess.Popen[bytes]] = []
    begin = subprocess.Popen

    def popen(argv: list[str], **options: Any) -> subprocess.Popen[bytes]:
        folder = Path(argv[argv.index("--job") + 1])
        process = begin([sys.executable, "-c", "import time; time.sleep(3600)"])
        status = json.loads((folder / "status.json").read_text())
        (folder / "status.json").write_text(json.dumps({**status, "state": "running", "pid": process.pid}))
        started.append(process)
        return process

    monkeypatch.setattr(jobs.subprocess, "Popen", popen)
    yield started
    for process in started:
        process.kill()
        process.wait()


def test_of_fifty_requests_at_once_exactly_one_runs(
    demo_cache: Path, held_worker: list[subprocess.Popen[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Barrier(50)
    ended: list[str] = []

    def ask(number: int) -> None:
        store = visitors.prepare(visitors.cache_of(f"visitor {number}"), demo_cache)
        gate.wait()
        try:
            jobs.start("train", changed(sae__seed=number), store)
            ended.append("started")
        except sc.InputError as error:
            ended.append(str(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended.count("started") == 1
    assert ended.count(visitors.BUSY) == 49
    assert len(held_worker) == 1
    assert sum("refused: a job" in record.message for record in caplog.records) == 49


def test_the_same_job_again_is_the_same_and_the_slot_is_free_when_its_process_is_gone(
    demo_cache: Path, held_worker: list[subprocess.Popen[bytes]]
) -> None:
    one, two = (visitors.prepare(visitors.cache_of(name), demo_cache) for name in ("one", "two"))
    config = changed(sae__seed=1)
    first = jobs.start("train", config, one)
    assert jobs.start("train", config, one).id == first.id
    assert len(held_worker) == 1
    with pytest.raises(sc.InputError, match="another visitor"):
        jobs.start("train", config, two)
    held_worker[0].kill()
    held_worker[0].wait()
    assert jobs.start("train", config, two).active
    assert len(held_worker) == 2


def test_a_silent_worker_that_is_alive_keeps_the_slot(demo_cache: Path, held_worker: list[subprocess.Popen[bytes]]) -> None:
    one, two = (visitors.prepare(visitors.cache_of(name), demo_cache) for name in ("one", "two"))
    job = jobs.start("train", changed(sae__seed=1), one)
    status = json.loads((job.folder / "status.json").read_text())
    (job.folder / "status.json").write_text(json.dumps({**status, "heartbeat": status["heartbeat"] - 3600}))
    assert jobs.read(one, job.id).state == "interrupted"
    with pytest.raises(sc.InputError, match="another visitor"):
        jobs.start("train", changed(sae__seed=2), two)


def test_no_job_works_in_the_shared_cache(demo_cache: Path, held_worker: list[subprocess.Popen[bytes]]) -> None:
    before = listing(demo_cache)
    with pytest.raises(sc.InputError, match="cannot be changed"):
        jobs.start("train", changed(sae__seed=9), sc.Store(demo_cache))
    assert held_worker == []
    assert listing(demo_cache) == before


def test_a_job_above_the_limits_is_not_started_and_logged(
    demo_cache: Path, held_worker: list[subprocess.Popen[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    store = visitors.prepare(visitors.cache_of("one"), demo_cache)
    with pytest.raises(sc.InputError, match=r"sae\.steps"):
        jobs.start("train", changed(sae__steps=10**9), store)
    assert held_worker == []
    assert "refused: a job " in caplog.text
    assert "sae.steps" in caplog.text


def test_a_visitor_cannot_read_or_stop_anothers_job(demo_cache: Path, held_worker: list[subprocess.Popen[bytes]]) -> None:
    one, two = (visitors.prepare(visitors.cache_of(name), demo_cache) for name in ("one", "two"))
    job = jobs.start("train", changed(sae__seed=1), one)
    for refuse in (jobs.read, jobs.stop, jobs.job_config):
        with pytest.raises((sc.InputError, FileNotFoundError)):
            refuse(two, job.id)
    assert jobs.all_jobs(two) == []
    assert not (job.folder / "stop").exists()


def test_a_worker_gets_none_of_the_owners_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "OPENROUTER_API_KEY", "DB_PASSWORD", "SAE_LAB_VISION_KEY"):
        monkeypatch.setenv(name, "canary")
    mine = jobs._environment(sc.Secret("the-visitors-own"))
    assert [name for name, value in mine.items() if value == "canary"] == []
    assert mine["SAE_LAB_VISION_KEY"] == "the-visitors-own"
    assert mine["SAE_LAB_PUBLIC"] == "1"
    assert {"PATH", "PYTHONPATH"} <= set(mine)


def test_a_worker_stops_itself_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "LIMITS", Limits(job_seconds=-1.0))
    with (
        pytest.raises(sc.Cancelled, match="the most that this public app gives a job"),
        jobs.Worker(tmp_path, "train").working() as w,
    ):
        w(sc.Event("train", 1, 10))
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "cancelled"


def test_a_worker_that_does_not_stop_itself_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "LIMITS", Limits(job_seconds=0.0))
    monkeypatch.setattr(jobs, "GRACE_SECONDS", 0.0)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)
    jobs._end(process)
    assert process.returncode == -9


# ---------------------------------------------------------------- room


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


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['echo owned']",
        "a: !!python/name:os.system",
        "a: !!python/object/new:type [x]",
        "!!python/tuple [1, 2]",
        "a: !evil x",
    ],
)
def test_tags_in_a_configuration_are_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(sc.InputError, match="YAML"):
        sc.load_config(file)


def test_a_configuration_of_nested_references_does_not_grow(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    file = tmp_path / "bomb.yaml"
    file.write_text("\n".join(lines))
    with pytest.raises(sc.InputError, match="references"):
        sc.load_config(file)


def test_a_pickle_that_is_called_safetensors_is_not_loaded(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "owned"),))

    (tmp_path / "sae.safetensors").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "config.json").write_text("{}")
    for place in (tmp_path, tmp_path / "sae.safetensors"):
        with pytest.raises(sc.SaeLabError):
            sc.load_sae(place)
    assert not (tmp_path / "owned").exists()


def test_an_overlay_that_is_removed_while_it_is_open_is_the_shared_cache_again(demo_cache: Path) -> None:
    store = visitors.prepare(visitors.cache_of("a"), demo_cache)
    shutil.rmtree(store.root)
    assert store.keys() == sc.Store(demo_cache).keys()
