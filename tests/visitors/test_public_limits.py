"""Public mode: what is above the limits, or would be a path or a program of the server, is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import sae_core as sc
from sae_core import jobs, visitors
from sae_core.config import public
from tests.visitors.conftest import changed

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
