"""The geometry experiment: its sentences follow the intervals whichever way they lie, and what was judged is not judged again."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import geometry, geometry_words, tables
from benchmarks.geometry import INDICATORS, QUICK, Images, Lab, differences, found_of, planted_table, shares_table
from benchmarks.geometry_words import conclusions, patents_conclusions
from benchmarks.quality_runs import Results
from benchmarks.spread import Estimate
from benchmarks.worlds import World
from sae_core.evaluate.geometry.verdicts import VERDICTS

KINDS = ("trained on sketch", "random, sketch frame", "trained on photo", "random, photo frame")


def record(geometric: int, semantic: int, both: int = 0, neither: int = 100) -> dict[str, Any]:
    return {"counts": [geometric, semantic, both, neither], "geometric_effect": 0.3, "semantic_effect": 0.2}


def found(sketch: tuple[int, int], photo: tuple[int, int], random: tuple[int, int] = (100, 100)) -> dict[Any, Any]:
    """Records of five seeds; latents geometric and semantic of each kind, on both sets of pictures alike."""
    counts = dict(zip(KINDS, (sketch, random, photo, random), strict=True))
    return {(kind, name): [record(*pair)] * 5 for kind, pair in counts.items() for name in ("sketch", "photo")}


def said(records: dict[Any, Any], power: float = 1.0) -> list[str]:
    pairs = {(name, verdict): power for name in geometry_words.RENDERINGS for verdict in geometry_words.AS_CLAIMED}
    return conclusions(records, differences(records), pairs)


@pytest.mark.parametrize(
    ("sketch", "photo", "headline"),
    [
        ((800, 100), (100, 800), "**The idea is supported here.**"),
        ((100, 800), (800, 100), "**The idea is contradicted here.**"),
        ((400, 400), (400, 400), "**Nothing is shown here.**"),
        ((800, 400), (100, 400), "**The idea is supported in part.**"),
        ((800, 800), (100, 100), "**The idea is not supported as it stands.**"),
    ],
)
def test_the_headline_follows_the_intervals(sketch: tuple[int, int], photo: tuple[int, int], headline: str) -> None:
    records = found(sketch, photo)
    for kind, pair in (("trained on sketch", sketch), ("trained on photo", photo)):
        for name in ("sketch", "photo"):  # a thousand latents each, so that shares say what counts say
            records[kind, name] = [record(*pair, neither=2000 - sum(pair))] * 5
    assert said(records)[0].startswith(headline)


def test_a_difference_that_random_dictionaries_have_too_is_none() -> None:
    records = found((800, 100), (100, 800))
    for name in ("sketch", "photo"):
        for side in ("sketch", "photo"):
            frame, trained = f"random, {side} frame", f"trained on {side}"
            records[frame, name] = records[trained, name]
    lines = said(records)
    assert lines[0].startswith("**Nothing is shown here.**")
    assert "not beyond random dictionaries" in " ".join(lines)


def test_a_verdict_without_power_is_not_compared_and_that_is_said() -> None:
    lines = said(found((800, 100), (100, 800)), power=0.5)
    assert lines[0].startswith("**Nothing is shown here.** Of the 0 differences")
    assert sum("cannot be compared: of" in line and "only 50 %" in line for line in lines) == 4
    assert any(line.startswith("Of all 4, power or not, 4 lie as the idea says") for line in lines)


def test_the_patents_sentences_follow_the_intervals() -> None:
    records = {("trained on patents", "patents"): [record(500, 50)] * 5, ("random dictionary", "patents"): [record(50, 500)] * 5}
    text = " ".join(patents_conclusions(records))
    assert "are geometric, more than in a random dictionary" in text
    assert "are semantic, fewer than in a random dictionary" in text
    assert "more geometric than semantic" in text
    swapped = {key: records[other] for key, other in zip(records, reversed(records), strict=True)}
    assert "more semantic than geometric" in " ".join(patents_conclusions(swapped))


def test_the_shares_table_has_a_row_for_every_dictionary_and_set_of_pictures() -> None:
    text = shares_table(KINDS, ("sketch", "photo"), found((100, 0), (0, 100)))
    assert len(text.splitlines()) == 2 + 8
    assert "| sketch | trained on sketch | 5 | 200 | 50.0 [" in text


def test_planted_codes_that_come_out_otherwise_are_named() -> None:
    check = {("sketch", INDICATORS): record(0, 6, 0, neither=2)}
    assert found_of(check["sketch", INDICATORS], ("semantic", "both")) == 0.75
    assert "Otherwise than they must: 2 of 8 on sketch pictures (one indicator a class)." in planted_table(check)
    assert "Every code comes out as it must." in planted_table({("sketch", INDICATORS): record(0, 6, 0, neither=0)})


@pytest.fixture
def world() -> World:
    """300 pictures of three classes; two measures, of which the second says nothing."""
    rng = np.random.default_rng(3)
    labels = np.arange(300) % 3
    strokes = pd.DataFrame({"lines": rng.integers(0, 9, 300).astype(float), "noise": rng.random(300)})
    x = rng.normal(size=(300, 6)).astype(np.float32)
    return World("made", x, labels, np.arange(300), None, None, strokes)  # type: ignore[arg-type]


def test_codes_that_are_a_measure_a_class_or_nothing_are_judged_so_once(world: World, tmp_path: Path) -> None:
    images, lines = Images("made", world, 200), world.strokes["lines"].to_numpy()  # type: ignore[index]
    codes = np.stack([lines, (world.labels == 1).astype(float), np.random.default_rng(4).random(300)], axis=1)
    calls = []

    def of(one: World) -> np.ndarray[Any, Any]:
        calls.append(one)
        return codes

    for _ in range(2):
        lab = Lab(Results(tmp_path / "g.jsonl"), QUICK, lambda text: None)
        judged = lab.judged("planted", 0, "", [images], of)["made"]
        assert dict(zip(VERDICTS, judged["counts"], strict=True)) == {"geometric": 1, "semantic": 1, "both": 0, "neither": 1}
    assert len(calls) == 1
    lab.judged("planted", 1, "", [images], of)
    assert len(calls) == 2


def test_an_estimate_is_on_a_side_only_where_its_interval_holds_no_0() -> None:
    assert [Estimate(1, *ends).side for ends in ((0.1, 2), (-2, -0.1), (-1, 1), (0.0, 0.0))] == [1, -1, 0, 0]


def test_the_readme_has_a_place_for_the_experiments() -> None:
    text = tables.README.read_text(encoding="utf-8")
    names = ["geometry drawn", "geometry planted", "geometry patents", "clip_patents", "pareto drawn", "pareto patents"]
    for name in names:
        assert text.count(f"<!-- begin {name} -->") == text.count(f"<!-- end {name} -->") == 1, name


def test_the_experiment_needs_its_data_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["x", "--parts", "patents", "--quick", "--results", str(tmp_path / "g.jsonl"), "--cache", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    assert geometry.main() == 0
    assert "--data FOLDER was not given" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*arguments, "--data", str(tmp_path / "none")])
    assert geometry.main() == 2
