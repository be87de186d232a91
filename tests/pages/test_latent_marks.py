"""Marks as the pages keep them: in the cache on one's own machine, in the visit alone where strangers use the app."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sae_core as sc
from pages._ui import latents

RUN, KEY = "run-0123456789abcdef", "train-0123456789abcdef"


@pytest.fixture
def visit(on_empty: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The state of a visit, and a cache with one run."""
    (on_empty / "runs" / RUN).mkdir(parents=True)
    (on_empty / "runs" / RUN / "run.json").write_text(json.dumps({"keys": {"train": KEY}}))
    state: dict[str, Any] = {}
    monkeypatch.setattr(latents.st, "session_state", state)
    return state


def test_marks_are_saved_with_the_run(visit: dict[str, Any], on_empty: Path) -> None:
    latents.mark(RUN, [3, 5], bookmarked=True)
    latents.mark(RUN, 5, note="a hook")
    assert latents.marks(RUN) == sc.load_marks(sc.Store(on_empty), RUN) == sc.Marks(frozenset({3, 5}), {5: "a hook"})
    assert visit == {}


def test_a_strangers_marks_stay_in_the_visit(visit: dict[str, Any], on_empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sc.set_mark(sc.Store(on_empty), RUN, 1, bookmarked=True)
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    latents.mark(RUN, [3, 5], bookmarked=True)
    latents.mark(RUN, 5, note="a hook")
    assert latents.marks(RUN) == sc.Marks(frozenset({3, 5}), {5: "a hook"})
    assert sc.load_marks(sc.Store(on_empty), RUN) == sc.Marks(frozenset({1})), "nothing shared is written"
    visit.clear()
    assert latents.marks(RUN) == sc.Marks(), "another visitor has none"


def test_marks_that_cannot_be_read_are_named_once_and_the_table_comes_without(
    visit: dict[str, Any], on_empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(latents.st, "toast", lambda text, **_: said.append(text))
    (on_empty / "said" / KEY).mkdir(parents=True)
    (on_empty / "said" / KEY / "marks.json").write_text("{")
    assert [latents._legible_marks(RUN) for _ in range(3)] == [sc.Marks()] * 3
    assert len(said) == 1
    assert "cannot be read" in said[0]
    with pytest.raises(sc.DamagedArtifact):
        latents.mark(RUN, 1, bookmarked=True)
