"""What the gallery is asked for and the address that says it: each gives the other back, and no address breaks the page."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pages._ui.gallery import view
from pages._ui.gallery.maps import picked

WORD = st.text(st.characters(codec="ascii", categories=("L", "N"), exclude_characters=","), min_size=1, max_size=12)
TEXT = st.text(max_size=60).map(lambda text: " ".join(text.split()))


def interval(options: tuple[float, ...]) -> st.SearchStrategy[tuple[float, float]]:
    return st.tuples(st.sampled_from(options), st.sampled_from(options)).map(lambda pair: (min(pair), max(pair)))


def sound(asked: dict[str, Any]) -> dict[str, Any]:
    """There is no list to show alone where there is none."""
    return {**asked, "only": asked["only"] and bool(asked["list"])}


ASKED: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "section": st.sampled_from(view.SECTIONS),
        "group": st.sampled_from(["all alive", "shared", "my sketches only", "dead"]),
        "search": TEXT,
        "image": st.one_of(st.just(""), st.builds("{}:{}".format, WORD, st.integers(0, 10**6))),
        "text": TEXT,
        "rate": interval(view.RATES),
        "score": interval(view.SCORES),
        "status": st.lists(WORD, max_size=4),
        "verdict": st.lists(WORD, max_size=4),
        "class": st.one_of(st.none(), TEXT.filter(bool)),
        "marked": st.booleans(),
        "only": st.booleans(),
        "list": st.lists(st.integers(0, 10**6), max_size=view.LONGEST_LIST, unique=True).map(tuple),
        "sort": st.one_of(st.none(), WORD),
        "page": st.integers(1, 10**6),
        "per": st.sampled_from(view.PER_PAGE),
        "montage": st.booleans(),
    }
).map(sound)


@given(ASKED)
def test_an_address_says_all_that_is_asked_for(asked: dict[str, Any]) -> None:
    assert view.values_of(view.query(asked)) == (asked, [])


def test_nothing_asked_for_is_no_address() -> None:
    defaults = {name: one.default for name, one in view.PARAMS.items()}
    assert view.query(defaults) == {}
    assert view.values_of({}) == (defaults, [])


@given(st.dictionaries(st.sampled_from(sorted(view.PARAMS)), st.text(max_size=80), max_size=8))
def test_whatever_an_address_says_is_read_or_named(asked: dict[str, str]) -> None:
    values, unread = view.values_of(asked)
    assert set(values) == set(view.PARAMS)
    assert set(unread) <= set(asked)
    for name in unread:
        assert values[name] == view.PARAMS[name].default
    again, still = view.values_of(view.query(values))
    assert still == []
    assert again == sound(values)


def test_a_list_too_long_for_an_address_and_an_uploaded_picture_stay_out_of_it() -> None:
    assert view.query({"list": tuple(range(view.LONGEST_LIST + 1))}) == {}
    assert view.query({"image": "upload"}) == {}


def test_a_click_opens_and_a_lasso_lists() -> None:
    points = [{"customdata": [7, "a name"]}, {"customdata": [3, ""]}]
    assert picked({"points": points[:1], "lasso": [], "box": []}) == (7, [])
    assert picked({"points": points, "lasso": [{"x": []}], "box": []}) == (None, [7, 3])
    assert picked({"points": points[:1], "lasso": [], "box": [{"x": []}]}) == (None, [7])
    assert picked({"points": [], "lasso": [], "box": []}) == (None, [])
