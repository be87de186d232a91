"""What a command found, as text for people; `--json` prints the same as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table as a list of rows; None for a number that is not defined, since JSON has no NaN."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def spreadsheet(table: pd.DataFrame) -> bytes:
    """A table as CSV; a text that would be taken for a formula gets an apostrophe before it."""
    from sae_core.interpret.records import inert

    safe = table.map(lambda value: inert(value) if isinstance(value, str) else value)
    return safe.to_csv(index=False).encode()


def human(result: Any, indent: str = "") -> str:
    """Lines of names and values, what stands in a mapping indented below its name."""
    if not isinstance(result, dict):
        return f"{indent}{result}"
    lines = []
    for name, value in result.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", human(value, indent + "  ")] if value else []
        elif isinstance(value, list):
            lines.append(f"{indent}{name}:")
            lines += [indent + "  " + _inline(item) for item in value]
        else:
            lines.append(f"{indent}{name}: {_cell(value)}")
    return "\n".join(lines)


def _inline(item: Any) -> str:
    if not isinstance(item, dict):
        return _cell(item)
    return "  ".join(f"{k}={_cell(v)}" for k, v in item.items() if not isinstance(v, (dict, list)))


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
