"""Marks: what is kept, what is refused, two writers at once, files that cannot be read."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_core.browse.marks import MAX_NOTE, Marks, clean_note, load_marks, set_mark
from sae_core.errors import DamagedArtifact, InputError
from sae_core.store import Store

RUN, TWIN, KEY = "run-0123456789abcdef", "run-00000000000000aa", "train-0123456789abcdef"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    for run in (RUN, TWIN):
        (tmp_path / "runs" / run).mkdir(parents=True)
        (tmp_path / "runs" / run / "run.json").write_text(json.dumps({"keys": {"train": KEY}}))
    (tmp_path / "said" / KEY).mkdir(parents=True)
    return Store(tmp_path)


def test_marks_come_back_as_they_were_set(store: Store) -> None:
    assert load_marks(store, RUN) == Marks()
    set_mark(store, RUN, 7, bookmarked=True)
    set_mark(store, RUN, 7, note="a loop")
    returned = set_mark(store, RUN, 9, note="平行 lines\nand dots")
    assert returned == load_marks(store, RUN) == Marks(frozenset({7}), {7: "a loop", 9: "平行 lines\nand dots"})
    assert (returned.note(7), returned.note(8)) == ("a loop", "")
    set_mark(store, RUN, 7, bookmarked=False, note=" ")
    assert load_marks(store, RUN) == Marks(frozenset(), {9: "平行 lines\nand dots"})
    assert set_mark(store, RUN, [3, 1], bookmarked=True).bookmarked == {1, 3}
    assert json.loads((store.root / "said" / KEY / "marks.json").read_text(encoding="utf-8"))["bookmarked"] == [1, 3]


def test_runs_of_one_dictionary_share_its_marks(store: Store) -> None:
    set_mark(store, RUN, 7, bookmarked=True)
    assert load_marks(store, TWIN).bookmarked == {7}


@pytest.mark.parametrize("content", ["{", "{}", '{"keys": {"train": "../../x"}}'])
def test_a_run_whose_record_names_no_dictionary_is_refused(store: Store, content: str) -> None:
    (store.root / "runs" / RUN / "run.json").write_text(content)
    with pytest.raises(InputError, match="run its configuration again"):
        load_marks(store, RUN)


@given(st.text(max_size=200))
def test_a_note_keeps_what_can_be_read_and_cleaning_again_changes_nothing(text: str) -> None:
    found = clean_note(text)
    assert clean_note(found) == found
    assert all(c == "\n" or c.isprintable() for c in found)
    assert [c for c in found if not c.isspace()] == [c for c in text if c.isprintable() and not c.isspace()]


@pytest.mark.parametrize(
    ("run_id", "latent", "note", "said"),
    [
        ("run-../../../etc", 1, "x", "is no run's id"),
        ("run-0123456789abcdeg", 1, "x", "is no run's id"),
        ("run-ffffffffffffffff", 1, "x", "no run run-ffffffffffffffff"),
        (RUN, -1, "x", "no latent -1"),
        (RUN, 1, "x" * (MAX_NOTE + 1), "shorten it to 2,000"),
    ],
)
def test_bad_marks_are_refused_in_one_line(store: Store, run_id: str, latent: int, note: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        set_mark(store, run_id, latent, note=note)
    assert "\n" not in str(error.value)
    assert not list(store.root.rglob("marks.json"))


def test_the_longest_note_fits(store: Store) -> None:
    assert set_mark(store, RUN, 1, note="x" * MAX_NOTE).note(1) == "x" * MAX_NOTE


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"format": 1}',
        '{"format": 1, "bookmarked": ["x"], "notes": {}}',
        '{"format": 1, "bookmarked": 3, "notes": {}}',
    ],
)
def test_a_damaged_file_gives_one_line_and_is_left_alone(store: Store, content: str) -> None:
    file = store.root / "said" / KEY / "marks.json"
    file.write_text(content)
    for act in (lambda: load_marks(store, RUN), lambda: set_mark(store, RUN, 1, bookmarked=True)):
        with pytest.raises(DamagedArtifact, match=r"marks\.json cannot be read") as error:
            act()
        assert "\n" not in str(error.value)
    assert file.read_text() == content


def test_marks_of_a_later_version_are_not_guessed_at(store: Store) -> None:
    (store.root / "said" / KEY / "marks.json").write_text('{"format": 2, "bookmarked": [], "notes": {}}')
    with pytest.raises(InputError, match="has format 2"):
        load_marks(store, RUN)


def test_writers_at_once_lose_nothing(store: Store) -> None:
    code = (
        "import sys; from sae_core.browse.marks import set_mark; from sae_core.store import Store\n"
        f"for j in range(40, 60): set_mark(Store(sys.argv[1]), {RUN!r}, j, bookmarked=True, note=str(j))"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(store.root)])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda j: set_mark(store, RUN, j, bookmarked=True, note=str(j)), range(40)))
    assert other.wait(30) == 0
    assert load_marks(store, RUN) == Marks(frozenset(range(60)), {j: str(j) for j in range(60)})
