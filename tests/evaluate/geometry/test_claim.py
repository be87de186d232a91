"""The sentences follow from the counts, whichever way they come out."""

from __future__ import annotations

from typing import Any

from sae_core.evaluate.geometry.claim import geometry_claims, geometry_contrast


def judged(tested: int, geometric: int, semantic: int = 0, both: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {"tested": tested}
    for name, latents in (("geometric", geometric), ("semantic", semantic), ("both", both)):
        found[name] = {"latents": latents, "share": latents / tested if tested else None, "low": 0.0, "high": 1.0}
    return found


def domain(own: dict[str, Any], **controls: dict[str, Any]) -> dict[str, Any]:
    return {"dictionaries": {"dictionary": own, **{name.replace("_", " "): one for name, one in controls.items()}}}


def test_more_fewer_and_no_difference() -> None:
    found = domain(judged(100, 30, 2), random_dictionary=judged(100, 5, 3), raw_dimensions=judged(100, 60, 40))
    geometry, semantics, both = geometry_claims(found)
    assert geometry == (
        "30.0 % of the latents tested follow geometry alone: clearly more than a random dictionary (5.0 %), "
        "clearly fewer than the raw dimensions (60.0 %)."
    )
    assert semantics.startswith("2.0 % of the latents tested follow class alone: not distinguishable from a random dictionary")

    assert both.startswith("0.0 % of the latents tested follow both: not distinguishable")


def test_it_is_said_where_strokes_leave_nothing_to_class() -> None:
    found = {**domain(judged(100, 30)), "class_from_strokes": 0.98}
    assert "98 % of these images" in geometry_claims(found)[-1]
    assert len(geometry_claims({**found, "class_from_strokes": 0.4})) == 3


def test_few_latents_against_none_is_no_claim() -> None:
    (geometry, *_) = geometry_claims(domain(judged(100, 4), random_dictionary=judged(100, 0)))
    assert "not distinguishable" in geometry


def test_nothing_tested_supports_nothing() -> None:
    assert "either way" in geometry_claims(domain(judged(0, 0), random_dictionary=judged(50, 3)))[0]
    assert "no control" in geometry_claims(domain(judged(10, 3), random_dictionary=judged(0, 0)))[0]
    assert geometry_contrast("a", domain(judged(0, 0)), "b", domain(judged(9, 1))) == []


def test_two_dictionaries_either_way_round() -> None:
    many, few = domain(judged(100, 40)), domain(judged(100, 5))
    assert geometry_contrast("a", many, "b", few)[0] == (
        "Geometry alone is followed by 40.0 % of the latents of a, 5.0 % of those of b: clearly more in a."
    )
    assert geometry_contrast("b", few, "a", many)[0].endswith("clearly more in a.")
    assert geometry_contrast("a", many, "b", many)[0].endswith("no difference is shown.")
