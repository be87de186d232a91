"""What a dictionary's shares of verdicts support, said in sentences that follow from the counts, whichever way they come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scipy.stats import fisher_exact

from sae_core.evaluate.geometry.report import OWN, RANDOM, RAW

WORDS = {"geometric": "geometry alone", "semantic": "class alone", "both": "both"}
TELLING = 0.9
"""Where strokes tell the class of so many images, class beyond strokes hardly exists."""


def geometry_claims(domain: Mapping[str, Any]) -> list[str]:
    """Whether a dictionary has more latents of geometry, of class, and of both, than its controls have on the same images.

    Two shares differ where Fisher's exact test of the counts says so at 5 %. It takes latents as independent; trainings over
    seeds are another matter.

    Args:
        domain: a domain of a geometry report, with its `dictionaries`.

    Returns: a sentence for each verdict in `WORDS`, and one where strokes leave nothing for class to explain; one sentence that
        nothing can be said where no latent was tested.
    """
    judged = {name: one for name, one in domain["dictionaries"].items() if one["tested"]}
    if OWN not in judged:
        return ["No latent fires on enough of these images to be judged, so nothing is supported either way."]
    found = []
    for verdict, word in WORDS.items():
        parts = [
            f"{_SIDES[_side(judged[OWN], judged[name], verdict)]} {words} ({_share(judged[name], verdict)})"
            for name, words in _CONTROLS.items()
            if name in judged
        ]
        against = ", ".join(parts) or "there is no control to hold that against"
        found.append(f"{_share(judged[OWN], verdict)} of the latents tested follow {word}: {against}.")
    told = domain.get("class_from_strokes")
    if told is not None and told >= TELLING:
        found.append(
            f"Strokes alone tell the class of {100 * told:.0f} % of these images, so hardly any latent can follow class beyond "
            "them here: that few do shows nothing."
        )
    return found


def geometry_contrast(name_a: str, a: Mapping[str, Any], name_b: str, b: Mapping[str, Any]) -> list[str]:
    """Whether one dictionary has more latents of geometry, of class, and of both, than another on a domain of the same images.

    Args:
        name_a, name_b: what to call the dictionaries.
        a, b: the domain's part of each geometry report.

    Returns: a sentence for each verdict; none where one of them has no latent tested.
    """
    first, second = (one["dictionaries"].get(OWN) for one in (a, b))
    if not (first and first["tested"] and second and second["tested"]):
        return []
    found = []
    for verdict, word in WORDS.items():
        side = _side(first, second, verdict)
        verdict_on_it = "no difference is shown" if side == 0 else f"clearly more in {name_a if side > 0 else name_b}"
        numbers = f"{_share(first, verdict)} of the latents of {name_a}, {_share(second, verdict)} of those of {name_b}"
        found.append(f"{word[0].upper()}{word[1:]} is followed by {numbers}: {verdict_on_it}.")
    return found


_CONTROLS = {RANDOM: "a random dictionary", RAW: "the raw dimensions"}
_SIDES = {1: "clearly more than", -1: "clearly fewer than", 0: "not distinguishable from"}


def _side(a: Mapping[str, Any], b: Mapping[str, Any], verdict: str) -> int:
    """1 where a has a larger share than b, -1 a smaller one, 0 where Fisher's exact test tells none."""
    counts = [[one[verdict]["latents"], one["tested"] - one[verdict]["latents"]] for one in (a, b)]
    if fisher_exact(counts).pvalue > 0.05:
        return 0
    return 1 if a[verdict]["share"] > b[verdict]["share"] else -1


def _share(one: Mapping[str, Any], verdict: str) -> str:
    return f"{100 * one[verdict]['share']:.1f} %"
