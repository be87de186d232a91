"""Words and numbers as the pages write them."""

from __future__ import annotations

import re

from pages._ui import public

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>$:^=])")
_LINKED = re.compile(r"(https?:(?=//)|www(?=\.)|\w(?=@))", re.IGNORECASE)
"""Where an address begins that Streamlit's markdown makes a link of even if every sign of it is escaped."""


def plain(text: object) -> str:
    """Text that Streamlit's markdown shows as it is: no formatting, no link, no formula, no HTML, one line.

    In a public app also without a path of the server's.
    """
    if public.on():
        text = public.scrub(str(text))
    # A word joiner, which has no width, stands between the parts of an address, so that nothing takes them for one.
    unlinked = _LINKED.sub("\\1\u2060", " ".join(str(text).split()))
    return _MARKDOWN.sub(r"\\\1", unlinked)


def duration(seconds: float) -> str:
    """Seconds as people say them: `0.8 s`, `42 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(number: float, one: str, many: str | None = None) -> str:
    """A counted noun: `1 image`, `4,000 images`."""
    return f"{number:,.0f} {one if number == 1 else many or one + 's'}"


def size(number_of_bytes: float) -> str:
    """Bytes in decimal units: `412 kB`, `16.8 MB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number_of_bytes >= factor:
            return f"{number_of_bytes / factor:.3g} {unit}"
    return f"{number_of_bytes:.0f} B"
