"""The table of latents: whose a latent is, what is joined to it, filters against a loop, orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sae_core.activations.index import Activations
from sae_core.browse.filter import LatentFilter
from sae_core.browse.marks import Marks
from sae_core.browse.table import SORTS, domain_sizes, latent_groups, latent_table, sorted_latents, with_marks
from sae_core.errors import InputError
from sae_core.evaluate.geometry.report import GeometryReport
from sae_core.interpret.records import FIELDS, Names, frame

Stored = Callable[..., Activations]
N = {"sketch": 1000, "photo": 1000}


def fires(*counts: tuple[int, int]) -> pd.DataFrame:
    table = pd.DataFrame(counts, columns=["sketch.count", "photo.count"])
    return table.assign(latent=range(len(table)), count=table.sum(axis=1))


def test_a_latent_is_a_domains_own_from_ten_times_the_rate_beyond_chance() -> None:
    table = fires((600, 5), (100, 30), (0, 500), (0, 0), (3, 0))
    assert latent_groups(table, N) == ["sketch only", "shared", "photo only", "dead", "shared"]


def test_with_one_domain_there_is_no_other_to_share_with() -> None:
    one = pd.DataFrame({"latent": [0, 1], "a.count": [9, 0], "count": [9, 0]})
    assert latent_groups(one, {"a": 10}) == ["shared", "dead"]


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=20))
def test_whose_a_latent_is_does_not_depend_on_the_order_of_domains(counts: list[tuple[int, int]]) -> None:
    table = fires(*counts)
    assert latent_groups(table, N) == latent_groups(table, dict(reversed(N.items())))


def test_of_three_domains_a_latents_own_is_own_against_both_others() -> None:
    table = pd.DataFrame({"latent": [0, 1], "a.count": [600, 600], "b.count": [5, 5], "c.count": [5, 400]})
    n = {"a": 1000, "b": 1000, "c": 1000}
    assert latent_groups(table.assign(count=table[[f"{d}.count" for d in n]].sum(axis=1)), n) == ["a only", "shared"]


def names_of(*records: tuple[int, str, str | None, float]) -> Names:
    plain: dict[str, Any] = {**dict.fromkeys(FIELDS), "positives": 9, "negatives": 9, "alternatives": [], "top_images": []}
    kinds = ("latent", "status", "label", "score")
    return Names(frame([{**plain, **dict(zip(kinds, one, strict=True))} for one in records]), {})


def judged(*rows: tuple[str, int, str, str, float]) -> GeometryReport:
    table = pd.DataFrame(rows, columns=["domain", "latent", "verdict", "measure", "rho"])
    return GeometryReport({"domains": dict.fromkeys(table["domain"])}, table, pd.DataFrame())


@pytest.fixture
def acts(stored: Stored) -> Activations:
    rng = np.random.default_rng(3)
    z = np.where(rng.random((60, 8)) < 0.3, 1.0, 0.0)
    z[:, 6] = 0
    return stored(z, rng.integers(0, 2, 60), sketches=30)


def test_everything_known_stands_in_the_row_of_its_latent(acts: Activations) -> None:
    # Names and verdicts in another order than the latents, and of some only.
    names = names_of((5, "ok", "spiral", 0.9), (2, "uninterpretable", "grid", 0.6))
    geometry = judged(
        ("photo", 5, "both", "loops", 0.4), ("sketch", 2, "geometric", "lines", -0.3), ("sketch", 5, "neither", "dots", 0.0)
    )
    marks = Marks(frozenset({2}), {5: "a coil"})
    table = latent_table(acts, names, geometry, marks, {"sketch": ["a", "b"], "photo": ["a", "b"]})
    assert table["latent"].tolist() == list(range(8))
    pd.testing.assert_frame_equal(table[acts.stats.columns], acts.stats)
    assert table["name"].tolist() == [None, None, None, None, None, "spiral", None, None]
    assert table["status"].dropna().to_dict() == {2: "uninterpretable", 5: "ok"}
    assert table["score"].dropna().to_dict() == {2: 0.6, 5: 0.9}
    assert table["sketch.verdict"].dropna().to_dict() == {2: "geometric", 5: "neither"}
    assert table["photo.measure"].dropna().to_dict() == {5: "loops"}
    assert table["sketch.rho"].dropna().to_dict() == {2: -0.3, 5: 0.0}
    assert table.index[table["bookmarked"]].tolist() == [2]
    assert table["note"].tolist() == ["", "", "", "", "", "a coil", "", ""]
    assert table["best_class"].notna().sum() == 7
    assert table["group"].iloc[6] == "dead"
    assert domain_sizes(acts) == {"sketch": 30, "photo": 30}


def test_what_a_run_does_not_have_has_no_columns(acts: Activations) -> None:
    table = latent_table(acts)
    assert set(table) == {*acts.stats, "group", "name", "bookmarked", "note"}
    assert table["name"].isna().all()
    assert not table["bookmarked"].any()


def test_other_marks_change_nothing_else(acts: Activations) -> None:
    table = latent_table(acts, marks=Marks(frozenset({1}), {1: "x"}))
    pd.testing.assert_frame_equal(with_marks(table, Marks()), latent_table(acts))


# ---------------------------------------------------------------- filters


def some_table(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    m = 30
    pick = lambda *of: pd.Series(rng.choice(np.array(of, dtype=object), m))  # noqa: E731
    return pd.DataFrame(
        {
            "latent": np.arange(m),
            "rate": np.round(rng.random(m), 1),
            "group": pick("shared", "sketch only", "dead"),
            "name": pick(None, "Spiral", "a house", "grid"),
            "status": pick("ok", "uninterpretable", None),
            "score": np.where(rng.random(m) < 0.3, np.nan, np.round(rng.random(m), 1)),
            "sketch.verdict": pick("geometric", "neither", None),
            "photo.verdict": pick("semantic", "both"),
            "best_class": pick(None, "moon", "cup"),
            "bookmarked": rng.random(m) < 0.5,
            "note": pick("", "like a spiral", "HOUSE?"),
        }
    )


spans = st.tuples(st.integers(0, 10), st.integers(0, 10)).map(lambda pair: (min(pair) / 10, max(pair) / 10))
wanted = st.fixed_dictionaries(
    {},
    optional={
        "group": st.sampled_from(["shared", "sketch only", "dead", "alive", "photo only"]),
        "rate": spans,
        "status": st.sampled_from([("ok",), ("ok", "uninterpretable")]),
        "verdict": st.sampled_from([("geometric",), ("neither", "both"), ("untested",)]),
        "class_name": st.sampled_from(["moon", "anchor"]),
        "text": st.sampled_from(["spiral", " HOUSE", "zebra", "(", ""]),
        "score": spans,
        "bookmarked": st.booleans(),
        "ids": st.lists(st.integers(0, 40), max_size=20).map(tuple),
    },
)


def passes(row: dict[str, Any], asked: dict[str, Any]) -> bool:
    text = asked.get("text", "").strip().lower()
    low, high = asked.get("rate", (0, 1))
    tests = [
        low <= row["rate"] <= high,
        asked.get("group") in (None, row["group"]) or (asked["group"] == "alive" and row["group"] != "dead"),
        not asked.get("status") or row["status"] in asked["status"],
        not asked.get("verdict") or bool({row["sketch.verdict"], row["photo.verdict"]} & set(asked["verdict"])),
        asked.get("class_name") in (None, row["best_class"]),
        text in (row["name"] or "").lower() or text in row["note"].lower(),
        "score" not in asked or asked["score"][0] <= row["score"] <= asked["score"][1],
        not asked.get("bookmarked") or row["bookmarked"],
        "ids" not in asked or row["latent"] in asked["ids"],
    ]
    return all(tests)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 50), asked=wanted)
def test_a_filter_is_a_loop_over_latents(seed: int, asked: dict[str, Any]) -> None:
    table = some_table(seed)
    plain = table.astype(object).where(table.notna(), None).assign(score=table["score"])
    expected = [row["latent"] for row in plain.to_dict("records") if passes(row, asked)]
    assert LatentFilter(**asked).apply(table)["latent"].tolist() == expected


def test_a_filter_says_what_it_does() -> None:
    assert LatentFilter().describe() == "every latent"
    asked = LatentFilter(
        group="shared", rate=(0.001, 0.1), verdict=("geometric", "both"), text=" coil ", bookmarked=True, ids=(3, 3)
    )
    parts = ["shared", "fires on 0.1 % to 10 % of all images", "geometric or both", "name or note contains “coil”", "bookmarked"]
    assert asked.describe() == ", ".join([*parts, "among 1 chosen"])
    assert (
        LatentFilter(status=("ok",), score=(0.5, 1.0), class_name="cup").describe()
        == "name ok, of class cup, name's score 0.50 to 1.00"
    )


def test_a_filter_that_cannot_be_met_says_so(acts: Activations) -> None:
    for asked, what in (
        (LatentFilter(status=("ok",)), "names"),
        (LatentFilter(verdict=("both",)), "verdicts"),
        (LatentFilter(class_name="a"), "classes"),
    ):
        with pytest.raises(InputError, match=f"have no {what}"):
            asked.apply(latent_table(acts))
    for bad in ({"rate": (0.5, 0.1)}, {"rate": (0.0, 2.0)}, {"colour": "red"}):
        with pytest.raises(ValidationError):
            LatentFilter(**bad)


# ---------------------------------------------------------------- orders


@pytest.mark.parametrize("by", SORTS)
def test_sorted_with_the_unknown_last_and_ties_by_number(by: str) -> None:
    table = some_table(1).assign(sum=1.0, max=np.arange(30) % 4, best_class_lift=np.nan, likeness=-np.arange(30.0))
    table["steering_beyond"] = np.where(np.arange(30) % 5, np.nan, np.arange(30) / 30)
    column, ascending = SORTS[by]
    found = sorted_latents(table.sample(frac=1, random_state=0), by)
    known = found[found[column].notna()]
    assert found[column].notna().tolist() == [True] * len(known) + [False] * (30 - len(known))
    pairs = list(zip(known[column], known["latent"], strict=True))
    order = sorted(pairs, key=lambda pair: pair[1])
    assert pairs == sorted(order, key=lambda pair: pair[0], reverse=not ascending)


def test_an_order_that_is_not_there_says_which_are(acts: Activations) -> None:
    for by in ("name's score", "colour"):
        with pytest.raises(InputError, match="choose among summed activation"):
            sorted_latents(latent_table(acts), by)
