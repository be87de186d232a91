"""The strokes stage, and the validation against the drawn world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sae_core.config import ArraySource, DrawnSource, Runtime, StrokesConfig
from sae_core.data import manifest
from sae_core.data.drawn import PRIMITIVES
from sae_core.data.strokes import StrokeTable, measure, run, stage
from sae_core.data.strokes.__main__ import main
from sae_core.data.strokes.validate import spearman, validate
from sae_core.errors import Cancelled
from sae_core.progress import Event
from sae_core.store import Inputs


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 60 drawings."""
    out = tmp_path_factory.mktemp("cache") / "manifest" / "key"
    manifest.run(DrawnSource(source="drawn", n=60, seed=3), None, out)
    return out


def test_a_row_for_every_picture(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "CHUNK", 25)
    steps: list[int] = []
    table = run(StrokesConfig(), Inputs({"manifest": drawn}), tmp_path, lambda event: steps.append(event.step))
    assert steps == [25, 50, 60, 60]
    assert table.images.tolist() == list(range(60))
    picture = manifest.Manifest.load(drawn).image(17)
    assert dict(zip(table.names, table.values[17].tolist(), strict=True)) == measure(picture).row()
    assert table.metrics() == {"n": 60.0, "empty": 0.0}
    assert sorted(path.name for path in tmp_path.iterdir()) == [stage.TABLE]
    assert StrokeTable.load(tmp_path).table.equals(table.table)


def test_a_cancelled_run_goes_on_and_ends_the_same(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "CHUNK", 25)

    def stop(event: Event) -> None:
        raise Cancelled("enough")

    inputs = Inputs({"manifest": drawn})
    with pytest.raises(Cancelled):
        run(StrokesConfig(), inputs, tmp_path / "a", stop)
    assert [path.name for path in (tmp_path / "a" / "parts").iterdir()] == ["00000.parquet"]
    steps: list[int] = []
    resumed = run(StrokesConfig(), inputs, tmp_path / "a", lambda event: steps.append(event.step))
    assert steps == [50, 60, 60]
    whole = run(StrokesConfig(), inputs, tmp_path / "b")
    assert resumed.table.equals(whole.table)


def test_the_rendering_can_be_overruled(drawn: Path, tmp_path: Path) -> None:
    inputs = Inputs({"manifest": drawn})
    ink, edges = (run(StrokesConfig(rendering=r), inputs, tmp_path / r).table for r in ("auto", "photo"))
    assert edges["hatching"].sum() > 0
    assert not edges["lines"].equals(ink["lines"])


def test_a_sample_is_random_and_ascending(drawn: Path, tmp_path: Path) -> None:
    inputs = Inputs({"manifest": drawn})
    whole = run(StrokesConfig(), inputs, tmp_path / "whole").table
    few = run(StrokesConfig(images=12), inputs, tmp_path / "few").table
    assert len(few) == 12
    assert few["image"].is_monotonic_increasing
    assert few["image"].max() >= 20  # not the first twelve
    assert few.reset_index(drop=True).equals(whole[whole["image"].isin(few["image"])].reset_index(drop=True))
    other = run(StrokesConfig(images=12, seed=1), inputs, tmp_path / "other").table
    assert other["image"].tolist() != few["image"].tolist()


def test_embeddings_without_pictures_have_an_empty_table(captioned_arrays, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "cache" / "manifest" / "key"
    manifest.run(ArraySource(source="arrays", path=str(captioned_arrays(d=512))), None, folder)
    said: list[str] = []
    table = run(StrokesConfig(), Inputs({"manifest": folder}), tmp_path / "out", lambda e: said.append(e.message), Runtime())
    assert table.values.shape == (0, len(table.names))
    assert table.metrics() == {"n": 0.0, "empty": 0.0}
    assert any("no pictures" in message for message in said)


def test_every_measure_agrees_with_the_truth_at_the_bar() -> None:
    found = validate(n=245, seed=31, size=128)
    assert [row.name for row in found.rows] == list(PRIMITIVES)
    assert {row.name: row.spearman for row in found.rows if row.spearman < 0.77} == {}  # 0.8 on n >= 500, less noise here
    assert all(row.low <= row.spearman <= row.high for row in found.rows)


def test_spearman_is_the_correlation_of_ranks() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert spearman(x, x**3) == pytest.approx(1.0)
    assert spearman(x, -x) == pytest.approx(-1.0)
    assert spearman(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(np.sqrt(3) / 2)
    assert spearman(x, np.ones(4)) == 0.0


def test_the_command(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "one.png"
    manifest.Manifest.load(drawn).image(0).save(file)
    assert main([str(file)]) == 0
    assert '"lines":' in capsys.readouterr().out
    assert main(["--validate", "--n", "49", "--size", "64"]) == 0
    assert "| hatching |" in capsys.readouterr().out
    assert main([]) == 2
    assert main([str(tmp_path / "none.png")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
