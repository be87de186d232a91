"""What the gallery is asked to show: kept for the session, and in the address, so that a filtered gallery can be linked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui.text import plain

PICTURES, MAP, SHIFT, TABLE = "Pictures", "Map", "Domain shift", "Table"
SECTIONS = (PICTURES, MAP, SHIFT, TABLE)
ALIVE, DEAD = "all alive", "dead"
FIRED = "how strongly the picture fires it"
"""The order that a picture brings, beside the core's own."""
RATES = (0.0, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
SCORES = tuple(i / 20 for i in range(21))
PER_PAGE = (24, 48)
LONGEST_LIST = 60
"""Latents that a link names at most; a longer list lives in the session alone."""
_WRITTEN, _ASKED = "_gallery_written", "_gallery_asked"


@dataclass(frozen=True)
class Param:
    """One thing that can be asked for.

    `default` is what an address without it means, `write` its text in the address (empty: it is not in there), `read` the way
    back, which raises ValueError on a text that says nothing.
    """

    default: Any
    write: Callable[[Any], str]
    read: Callable[[str], Any]


def _one_of(options: tuple[Any, ...]) -> Callable[[str], Any]:
    named = {str(option).lower().replace(" ", "-"): option for option in options}

    def read(text: str) -> Any:
        if text not in named:
            raise ValueError(text)
        return named[text]

    return read


def _slug(value: object) -> str:
    return str(value).lower().replace(" ", "-")


def _text(most: int) -> Callable[[str], str]:
    return lambda text: " ".join(text.split())[:most]


def _interval(options: tuple[float, ...]) -> Callable[[str], tuple[float, float]]:
    def read(text: str) -> tuple[float, float]:
        low, _, high = text.partition("-")
        found = (float(low), float(high))
        if found[0] > found[1] or not set(found) <= set(options):
            raise ValueError(text)
        return found

    return read


def _write_interval(value: tuple[float, float]) -> str:
    return f"{value[0]:.4f}".rstrip("0").rstrip(".") + "-" + f"{value[1]:.4f}".rstrip("0").rstrip(".")


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word][:10]


def _number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high):
            raise ValueError(text)
        return int(text)

    return read


def _ids(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_number(0, 10**9)(one) for one in text.split(",")[:LONGEST_LIST]))


def _image(text: str) -> str:
    _, colon, number = text.rpartition(":")
    if not colon:
        raise ValueError(text)
    _number(0, 10**9)(number)
    return text


PARAMS: Mapping[str, Param] = {
    "section": Param(PICTURES, _slug, _one_of(SECTIONS)),
    "group": Param(ALIVE, str, _text(80)),
    "search": Param("", str, _text(100)),
    "image": Param("", lambda value: value if ":" in value else "", _image),
    "text": Param("", str, _text(100)),
    "rate": Param((0.0, 1.0), _write_interval, _interval(RATES)),
    "score": Param((0.0, 1.0), _write_interval, _interval(SCORES)),
    "status": Param([], ",".join, _words),
    "verdict": Param([], ",".join, _words),
    "class": Param(None, str, lambda text: _text(100)(text) or None),
    "marked": Param(False, lambda value: "1", lambda text: text == "1"),
    "only": Param(False, lambda value: "1", lambda text: text == "1"),
    "list": Param((), lambda value: ",".join(map(str, value)) if len(value) <= LONGEST_LIST else "", _ids),
    "sort": Param(None, str, lambda text: _text(60)(text) or None),
    "page": Param(1, str, _number(1, 10**6)),
    "per": Param(PER_PAGE[0], str, _one_of(PER_PAGE)),
    "montage": Param(False, lambda value: "1", lambda text: text == "1"),
}
FILTERS = ("text", "rate", "score", "status", "verdict", "class", "marked", "only")
"""What cuts the latents down; `clear` takes these and the searches away."""

OWN_DEFAULT = ("page", "rate", "score")
"""Those whose widget cannot be without a default of its own; Streamlit's log complains of two."""


def key(name: str) -> str:
    """The session's key of a parameter, which is its widget's key too."""
    return f"gallery-{name}"


def get(name: str) -> Any:
    """What is asked for now."""
    return st.session_state.get(key(name), PARAMS[name].default)


def put(name: str, value: Any) -> None:
    """Ask for something else; before the parameter's widget is drawn, or in a callback."""
    st.session_state[key(name)] = value


def sort_column() -> str:
    """The column that the latents are sorted by."""
    return "fired" if get("sort") == FIRED else sc.SORTS.get(str(get("sort")), ("",))[0]


def query(values: Mapping[str, Any]) -> dict[str, str]:
    """The part of the address that asks for `values` (by parameter); defaults are left out."""
    texts = {name: one.write(values[name]) for name, one in PARAMS.items() if values.get(name, one.default) != one.default}
    if not texts.get("list"):
        texts.pop("only", None)
    return {name: text for name, text in texts.items() if text}


def values_of(asked: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """What an address asks for, every parameter; and the names of those that say nothing, which keep their default."""
    values, unread = {name: one.default for name, one in PARAMS.items()}, []
    for name, text in asked.items():
        if not text.strip():
            continue
        try:
            values[name] = PARAMS[name].read(text)
        except ValueError:
            unread.append(name)
    return values, unread


def follow_link(here: str) -> None:
    """Take over what the address asks for when it is news: a link, or the browser's back button.

    Without any of it, someone who comes from another page finds the gallery as they left it.

    Args:
        here: the key of a widget that only this page draws and that dies with it, which tells that we were here before.
    """
    asked = {name: st.query_params[name] for name in PARAMS if name in st.query_params}
    came = here not in st.session_state
    if asked != st.session_state.get(_WRITTEN, {}) and (asked or not came):
        values, unread = values_of(asked)
        for name, value in values.items():
            if value != get(name):
                put(name, value)
        if unread:
            st.warning(plain(f"The link says nothing that is understood about: {', '.join(unread)}. The rest of it is shown."))
    for name, one in PARAMS.items():
        if name not in OWN_DEFAULT:
            st.session_state.setdefault(key(name), one.default)


def write_link(natural: str | None = None) -> None:
    """Put what is asked for into the address, beside the run; `natural` is the sort that comes without being asked for."""
    now = query({name: get(name) for name in PARAMS if name != "sort" or get(name) != natural})
    # Coming back from a latent's page, Streamlit still holds that page's parameter.
    others = {name: value for name, value in st.query_params.to_dict().items() if name not in (*PARAMS, "latent")}
    if {**others, **now} != st.query_params.to_dict():
        st.query_params.from_dict({**others, **now})
    st.session_state[_WRITTEN] = now


def back_to_page_one() -> None:
    """Show the first page again when something else is asked for than at the last run."""
    asked = tuple(str(get(name)) for name in PARAMS if name not in ("section", "page"))
    if st.session_state.get(_ASKED, asked) != asked and get("page") != 1:
        put("page", 1)
    st.session_state[_ASKED] = asked


def clear() -> None:
    """Every filter and search back to its default; the tab, the section and the sort stay."""
    for name in (*FILTERS, "search", "image", "page"):
        put(name, PARAMS[name].default)
    put("sort", None)
