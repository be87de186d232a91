"""Tables land between their markers, with what they were measured on."""

from pathlib import Path

import pytest

from benchmarks import tables
from sae_core.errors import InputError


def test_a_table_replaces_what_stood_between_its_markers_and_nothing_else(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(
        "# A\n<!-- begin x -->\nold\n<!-- end x -->\nprose\n<!-- begin x y -->\nkept\n<!-- end x y -->\n", encoding="utf-8"
    )
    tables.write("x", "new\n", readme)
    first = readme.read_text(encoding="utf-8")
    assert first == "# A\n<!-- begin x -->\nnew\n<!-- end x -->\nprose\n<!-- begin x y -->\nkept\n<!-- end x y -->\n"
    tables.write("x", "new", readme)
    assert readme.read_text(encoding="utf-8") == first


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!-- begin x -->\n",
        "<!-- end x -->\n<!-- begin x -->\n",
        "<!-- begin x --><!-- end x --><!-- begin x --><!-- end x -->",
    ],
)
def test_a_table_without_a_place_is_refused_and_the_file_left_alone(tmp_path: Path, text: str) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="begin x"):
        tables.write("x", "new", readme)
    assert readme.read_text(encoding="utf-8") == text


def test_the_readme_has_a_place_for_every_table() -> None:
    from benchmarks.train_quality import SETUPS
    from benchmarks.train_speed import SHAPES

    text = tables.README.read_text(encoding="utf-8")
    speed = [f"train_speed {what} {device}" for what in [*SHAPES, "widths", "memory"] for device in ("cpu", "cuda")]
    for name in [*speed, *(f"train_quality {data}" for data in SETUPS), "time_to_r2"]:
        assert text.count(f"<!-- begin {name} -->") == text.count(f"<!-- end {name} -->") == 1, name


def test_numbers_are_aligned_to_the_right_and_words_to_the_left() -> None:
    lines = tables.table(["a", "b", "c"], [["1", "1,000", "x"], ["2", "", "3"]]).splitlines()
    assert lines == ["| a | b | c |", "| --- | ---: | --- |", "| 1 | 1,000 | x |", "| 2 |  | 3 |"]


def test_the_foot_names_machine_versions_and_command_without_absolute_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["x", "--peers", str(Path.cwd() / "here" / "python"), "--rounds", "5"])
    foot = tables.foot({"torch": "2.9"}, ["note"], "benchmarks.train_speed")
    assert "`python -m benchmarks.train_speed --peers here/python --rounds 5`" in foot
    assert "torch 2.9" in foot
    assert " cores (" in foot
    assert foot.endswith("\n\nnote")
