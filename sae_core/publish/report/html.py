"""HTML from plain values. Whatever comes from data or from a user goes through `esc`; nothing here is a template language."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence

import plotly.graph_objects as go

ABSENT = "–"


class Markup(str):
    """Text that is HTML already and is not escaped again."""


def esc(value: object) -> str:
    """A value as text in HTML, and in a quoted attribute; `Markup` as it is."""
    return value if isinstance(value, Markup) else html.escape(str(value), quote=True)


def section(identity: str, title: str, *parts: str) -> Markup:
    """A section with its heading; empty parts are dropped."""
    body = "\n".join(part for part in parts if part)
    return Markup(f'<section id="{esc(identity)}">\n<h2>{esc(title)}</h2>\n{body}\n</section>')


def heading(text: object) -> Markup:
    """A heading below a section's."""
    return Markup(f"<h3>{esc(text)}</h3>")


def paragraph(text: object, kind: str = "") -> Markup:
    """A paragraph; `kind` is its class."""
    return Markup(f'<p class="{esc(kind)}">{esc(text)}</p>' if kind else f"<p>{esc(text)}</p>")


def absent(what: str, command: str, reason: str = "") -> Markup:
    """Says that something was not measured, why if that is known, and which command makes it."""
    why = f" {esc(reason)}" if reason else ""
    return Markup(
        f'<p class="absent">{esc(what)}{why} <code>python -m sae_core {esc(command)} --config FILE</code> makes it.</p>'
    )


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]], words: int = 1) -> Markup:
    """A table with a caption; the first cell of a row heads it.

    Args:
        words: how many columns at the left are text; the others are numbers, set to the right.
    """
    lines = []
    for row in rows:
        cells = [f'<th scope="row">{esc(row[0])}</th>']
        cells += [f"<td{'' if nth < words else ' class=n'}>{esc(cell)}</td>" for nth, cell in enumerate(row[1:], 1)]
        lines.append("<tr>" + "".join(cells) + "</tr>")
    heads = "".join(f'<th scope="col"{"" if nth < words else " class=n"}>{esc(name)}</th>' for nth, name in enumerate(head))
    body = "\n".join(lines)
    return Markup(
        f'<div class="wide" role="region" aria-label="{esc(caption)}" tabindex="0">'
        f"<table><caption><span>{esc(caption)}</span></caption>\n<thead><tr>{heads}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def folded(title: str, content: str, is_open: bool = False) -> Markup:
    """Content behind a title that opens it; printing opens all."""
    return Markup(f"<details{' open' if is_open else ''}><summary>{esc(title)}</summary>\n{content}\n</details>")


def code(text: str) -> Markup:
    """Text as it is, in a fixed pitch."""
    return Markup(f"<pre><code>{esc(text)}</code></pre>")


def figure(drawn: go.Figure, caption: str) -> Markup:
    """A plotly figure as data for the page's script, with a caption that is also its alternative text.

    `<` is written as an escape, so that no name in the data can end the script element.
    """
    drawn = go.Figure(drawn).update_layout(template="none")
    data = json.dumps(json.loads(drawn.to_json()), separators=(",", ":")).replace("<", "\\u003c")
    height = int(drawn.layout.height or 400)
    return Markup(
        f'<figure><div class="plot" role="img" aria-label="{esc(caption)}" style="height:{height}px"></div>'
        f'<script type="application/json">{data}</script><figcaption>{esc(caption)}</figcaption></figure>'
    )


# ---------------------------------------------------------------- numbers


def number(value: object, form: str = ".3f") -> str:
    """A number in a format; a dash where it was not measured or is not defined."""
    return format(value, form) if _finite(value) else ABSENT


def percent(value: object, digits: int = 1) -> str:
    """A share in percent."""
    return f"{100 * value:.{digits}f} %" if _finite(value) else ABSENT  # type: ignore[operator]


def between(value: object, low: object, high: object, form: str = ".1f", times: float = 100) -> str:
    """A value with its interval, `times` it: "41.2 [38.0, 44.1]"; the value alone where no interval is known."""
    if not _finite(value):
        return ABSENT
    told = format(times * value, form)  # type: ignore[operator]
    if not (_finite(low) and _finite(high)):
        return told
    return f"{told} [{format(times * low, form)}, {format(times * high, form)}]"  # type: ignore[operator]


def measured(found: Mapping[str, object], name: str, form: str = ".3f") -> str:
    """The number of a name with its interval, `<name>_ci_low` and `<name>_ci_high`, as far as they are there."""
    return between(found.get(name), found.get(f"{name}_ci_low"), found.get(f"{name}_ci_high"), form, 1)


def points(value: object, low: object, high: object) -> str:
    """A difference of shares in percentage points with its interval."""
    return between(value, low, high, "+.1f")


def p_value(value: object) -> str:
    """A p to two digits; below 1e-4 only that."""
    if not _finite(value):
        return ABSENT
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"  # type: ignore[operator]


def count(value: object) -> str:
    """A whole number with its thousands parted."""
    return f"{int(value):,}" if _finite(value) else ABSENT  # type: ignore[call-overload]


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
