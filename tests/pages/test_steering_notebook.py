"""The steering notebook from top to bottom on the small demo, cell by cell, as a kernel would run it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

import sae_core as sc
from tests.caches import SMALL
from tests.pages.conftest import ROOT

NOTEBOOK = ROOT / "notebooks" / "steering.ipynb"
Shown = list[Any]


def code_cells() -> list[str]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.fixture
def execute(demo_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[dict[str, Any], Shown]]:
    """Runs every cell in one namespace, with the small demo's cache and settings; gives the namespace and what was displayed."""
    monkeypatch.chdir(NOTEBOOK.parent)

    def run() -> tuple[dict[str, Any], Shown]:
        shown: Shown = []
        space: dict[str, Any] = {"display": lambda *things: shown.extend(things)}
        for number, source in enumerate(code_cells()):
            exec(compile(source, f"{NOTEBOOK.name}, code cell {number}", "exec"), space)
            if number == 1:
                assert "OVERRIDES" in space
                space |= {"CACHE": demo_cache, "OVERRIDES": SMALL}
        return space, shown

    return run


def test_it_runs_on_the_demo_draws_strokes_and_says_why_kandinsky_does_not(
    execute: Callable[[], tuple[dict[str, Any], Shown]], capsys: pytest.CaptureFixture[str]
) -> None:
    space, shown = execute()
    printed = capsys.readouterr().out
    assert f"Verdict: {space['result']['verdict']}." in printed
    assert (
        "decoder kandinsky-2.2 draws embeddings of ViT-bigG-14/laion2b_s39b_b160k, the dictionary's are of bundled/v1" in printed
    )
    assert [type(thing) for thing in shown] == [go.Figure, *5 * [Image.Image]], "curves, nearest images, three generated rows"
    assert all(outcome.cached for outcome in space["run"].outcomes.values()), "it made a run of its own"
    # The random row is as far from the image as the latent's, which is what makes it a control.
    x = space["x"]
    lengths = [np.linalg.norm(space[row] - x, axis=1) for row in ("latent_row", "random_row")]
    np.testing.assert_allclose(*lengths, rtol=1e-4, atol=1e-5)


class Grey:
    """A decoder of the demo's own CLIP that draws one grey for each row."""

    id, encoders, steps, guidance = "grey", ("bundled/v1",), 1, 1.0

    def __init__(self, dim: int, full: bool = False) -> None:
        self.dim = dim
        self.full = full
        self.asked: list[tuple[Any, int]] = []

    def needs(self) -> dict[str, Any]:
        return {"what": "Grey", "present": False, "size": "9 GB", "memory": "2 GB", "memory_offloaded": "1 GB"}

    def decode(self, x: Any, seed: int, *rest: Any) -> Sequence[Image.Image]:
        if self.full:
            raise MemoryError
        self.asked.append((x, seed))
        return [Image.new("RGB", (8, 8), "grey") for _ in x]


def test_with_a_decoder_it_draws_three_rows_from_one_seed(
    execute: Callable[[], tuple[dict[str, Any], Shown]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dim = sc.load_encoder().dim
    grey = Grey(dim)
    monkeypatch.setattr(sc, "decoders_for", lambda encoder_id: [grey])
    space, shown = execute()
    assert "Grey (would be fetched, 9 GB): memory 2 GB, offloaded 1 GB" in capsys.readouterr().out
    for (asked, seed), row in zip(grey.asked, ("latent_row", "random_row", "x"), strict=True):
        np.testing.assert_array_equal(asked, space[row])
        assert seed == space["recipe"].seed
    assert len(shown) == 6
    monkeypatch.setattr(sc, "decoders_for", lambda encoder_id: [Grey(dim, full=True)])
    _, shown = execute()
    assert len(shown) == 3
    assert "memory ran out while grey drew" in capsys.readouterr().out
