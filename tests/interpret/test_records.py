"""Names on disk: a round trip, nulls where there is no number, and text that stays text in a spreadsheet."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sae_core.errors import DamagedArtifact, InputError
from sae_core.interpret.records import CSV_COLUMNS, FIELDS, Names, clean, frame, inert


def record(latent: int, **changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "latent": latent,
        "status": "ok",
        "label": "spiral",
        "candidate": "spiral",
        "reason": "cosine 0.6",
        "cosine": 0.6,
        "score": 0.9,
        "ci_low": 0.8,
        "ci_high": 0.95,
        "near_miss_auroc": 0.7,
        "p": 0.001,
        "swap_gap": 0.3,
        "positives": 40,
        "negatives": 400,
        "alternatives": [{"word": "coil", "cosine": 0.5}],
        "top_images": ["sketch/1.png", "photo/2.png"],
    }
    return {**base, **changes}


ABOUT = {"method": "clip", "random_abstention": 0.99, "random_abstention_by_kind": {"isotropic": 0.99, "data": 0.4}}
NOTHING = {
    "label": None,
    "score": np.nan,
    "ci_low": np.nan,
    "ci_high": np.nan,
    "near_miss_auroc": np.nan,
    "p": np.nan,
    "swap_gap": np.nan,
}


def read_csv(folder: Path) -> list[dict[str, str]]:
    with (folder / "sae_latents.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_names_survive_a_round_trip(tmp_path: Path) -> None:
    table = frame([record(3), record(5, status="insufficient_data", positives=4, **NOTHING), record(9, status="dead", **NOTHING)])
    Names(table, ABOUT).save(tmp_path)
    names = Names.load(tmp_path)
    assert list(names.table.columns) == list(FIELDS)
    assert names.label(3) == "spiral"
    assert names.label(5) is None
    assert names.label(9) is None
    assert names.label(77) is None
    assert names.table["score"].tolist()[0] == 0.9
    assert np.isnan(names.table["score"][1])
    assert names.table["alternatives"][0] == [{"word": "coil", "cosine": 0.5}]
    assert names.metrics() == {
        "names_ok": 1.0,
        "names_uninterpretable": 0.0,
        "names_insufficient_data": 1.0,
        "names_dead": 1.0,
        "names_score_median": 0.9,
        "names_abstention_isotropic": 0.99,
        "names_abstention_data": 0.4,
    }


def test_an_absent_number_is_null_and_an_empty_cell(tmp_path: Path) -> None:
    Names(frame([record(5, status="insufficient_data", **NOTHING)]), ABOUT).save(tmp_path)
    kept = json.loads((tmp_path / "names.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert kept["records"][0]["score"] is None
    assert kept["records"][0]["label"] is None
    rows = read_csv(tmp_path)
    assert rows[0]["score"] == ""
    assert rows[0]["interpretation"] == ""


def test_the_seed_projects_columns_come_first(tmp_path: Path) -> None:
    Names(frame([record(3)]), ABOUT).save(tmp_path)
    with (tmp_path / "sae_latents.csv").open(newline="", encoding="utf-8") as file:
        header, row = list(csv.reader(file))
    assert tuple(header) == CSV_COLUMNS
    assert header[:2] == ["latent_id", "interpretation"]
    assert row[:2] == ["3", "spiral"]
    cells = dict(zip(header, row, strict=True))
    assert cells["alternatives"] == "coil (0.500)"
    assert cells["top_images"] == "sketch/1.png; photo/2.png"


@pytest.mark.parametrize("text", ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", "\r\n=1", " =1"])
def test_no_cell_is_a_formula(tmp_path: Path, text: str) -> None:
    changes = {"label": text, "candidate": text, "reason": text, "top_images": [text], "swap_gap": -0.25}
    Names(frame([record(1, **changes)]), ABOUT).save(tmp_path)
    row = read_csv(tmp_path)[0]
    for column in ("interpretation", "candidate", "reason", "top_images"):
        assert row[column][0] == "'", row[column]
        assert row[column][1] in "=+-@", row[column]
    assert float(row["swap_gap"]) == -0.25


def test_labels_are_one_short_line() -> None:
    assert clean("two\nlines\tand \x00\x1b[31mmore\u202e") == "two lines and [31mmore"
    assert len(clean("word " * 50)) <= 80
    assert clean("word " * 50).endswith("…")
    assert inert("plain") == "plain"


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no names"):
        Names.load(tmp_path)
    (tmp_path / "names.json").write_text("{")
    with pytest.raises(DamagedArtifact, match=r"names\.json"):
        Names.load(tmp_path)
    (tmp_path / "names.json").write_text(json.dumps({"about": {"format": 99}, "records": []}))
    with pytest.raises(InputError, match="format 99"):
        Names.load(tmp_path)
