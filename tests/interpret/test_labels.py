"""Manual labels: kept beside the run, atomic, by several writers; and their scores."""

from __future__ import annotations

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sae_core.config import InterpretConfig
from sae_core.errors import DamagedArtifact, InputError
from sae_core.interpret.labels import export_names, load_labels, manual_label, set_label
from sae_core.interpret.material import Material
from sae_core.interpret.records import Names, frame
from sae_core.interpret.rescore import rescore
from sae_core.store import Store
from tests.interpret.test_records import record

RUN, TWIN, KEY = "run-0123456789abcdef", "run-00000000000000aa", "train-0123456789abcdef"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    for run in (RUN, TWIN):
        (tmp_path / "runs" / run).mkdir(parents=True)
        (tmp_path / "runs" / run / "run.json").write_text(json.dumps({"keys": {"train": KEY}}))
    (tmp_path / "said" / KEY).mkdir(parents=True)
    return Store(tmp_path)


def test_a_label_is_kept_with_its_author_and_scores_and_can_be_taken_back(store: Store) -> None:
    assert load_labels(store, RUN) == {}
    set_label(store, RUN, 5, " two\nlines ", "A. Person", {"detection": {"value": 0.9, "ci_low": 0.8, "ci_high": 1.0}})
    set_label(store, RUN, 7, "loop", "B")
    kept = load_labels(store, RUN)
    assert (kept[5].label, kept[5].author, kept[5].scores["detection"]["value"]) == ("two lines", "A. Person", 0.9)
    assert kept[5].time.endswith("+00:00")
    assert list(set_label(store, RUN, 5, "", "")) == [7]


def test_no_label_is_lost_to_another_writer(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda latent: set_label(store, RUN, latent, f"label {latent}", "A"), range(40)))
    assert {latent: one.label for latent, one in load_labels(store, RUN).items()} == {i: f"label {i}" for i in range(40)}


def test_bad_labels_and_files_are_named(store: Store) -> None:
    for arguments, match in (
        ((RUN, -1, "x", "A"), "no latent -1"),
        ((RUN, 1, "x" * 81, "A"), "81 characters"),
        ((RUN, 1, "x", "A" * 61), "61 characters"),
        ((RUN, 1, "x", " "), "author"),
        (("run-0000000000000000", 1, "x", "A"), "no run"),
        (("../../etc", 1, "x", "A"), "no run's id"),
    ):
        with pytest.raises(InputError, match=match):
            set_label(store, *arguments)
    file = store.root / "said" / KEY / "labels.json"
    file.write_text("{")
    with pytest.raises(DamagedArtifact, match=r"labels\.json"):
        set_label(store, RUN, 1, "x", "A")
    assert file.read_text() == "{"
    file.write_text(json.dumps({"format": 9}))
    with pytest.raises(InputError, match="format 9"):
        load_labels(store, RUN)


def test_an_export_holds_machine_and_manual_labels_side_by_side_and_inert(tmp_path: Path) -> None:
    nasty = '=HYPERLINK("http://x")'
    labels = {3: manual_label(3, nasty, "@A", {"clip_consistency": {"value": 0.8, "ci_low": 0.7, "ci_high": 0.9}})}
    names = Names(frame([record(3), record(4)]), {"method": "clip"})
    table, whole = export_names(names, labels, tmp_path / "out")
    kept = json.loads(whole.read_text(encoding="utf-8"))
    assert kept["records"][0]["manual_label"] == nasty
    assert kept["records"][0]["score"] == 0.9
    with table.open(newline="", encoding="utf-8") as file:
        own, other = list(csv.DictReader(file))
    assert (own["interpretation"], own["manual_label"], own["manual_author"]) == ("spiral", "'" + nasty, "'@A")
    assert (float(own["manual_clip_consistency"]), own["manual_detection"]) == (0.8, "")
    assert (other["interpretation"], other["manual_label"]) == ("spiral", "")


def test_rescoring_needs_a_label_and_a_latent() -> None:
    class Few:
        m = 4

    material = Material(Few(), {}, {}, None, None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no latent 9"):
        rescore(9, "loop", "A", material, InterpretConfig())
    with pytest.raises(InputError, match="no label"):
        rescore(1, " ", "A", material, InterpretConfig())
