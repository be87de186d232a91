"""What the shares of verdicts support, in sentences chosen by where the intervals lie, whichever way that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.spread import RESAMPLES, Estimate, share, share_difference
from sae_core.evaluate.geometry.verdicts import VERDICTS

DRAWN, PATENTS = "drawn", "patents"
AS_CLAIMED = {"geometric": 1, "semantic": -1}
"""Sign of sketch-trained minus photo-trained that the idea says."""

WIDER = ("geometric or both", "semantic or both")
PLANTED = {"geometric": "the true counts of primitives", "semantic": "the indicators of classes"}
LEAST_POWER = 0.8
"""The usual demand on a test's power."""
RENDERINGS = ("sketch", "photo")

Gaps = Mapping[tuple[str, str, str], Estimate]
Found = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]


def conclusions(found: Found, gaps: Gaps, power: Mapping[tuple[str, str], float]) -> list[str]:
    """Whether sketch-trained dictionaries have more geometric and fewer semantic latents than photo-trained ones.

    A difference counts where its 95 % interval holds no 0, and that of what it has beyond the same difference of the random
    dictionaries (which have the frame and nothing learned) lies on the same side. It can be compared where the test has power: of
    the codes known to deserve the verdict at least `LEAST_POWER` get it, alone or with the other. The idea is supported where all
    four can be compared and lie as it says; contradicted where some lie the other way and none as it says.

    Args:
        found: records by (dictionary, pictures).
        gaps: differences by ("trained", "random" or "beyond", pictures, verdict).
        power: of the planted codes that deserve a verdict, the share that gets it, by pictures and verdict.
    """
    pairs = [(name, verdict) for name in RENDERINGS for verdict in AS_CLAIMED]
    able = [pair for pair in pairs if power[pair] >= LEAST_POWER]
    blind = [
        f"On {name} pictures {verdict} latents cannot be compared: of {PLANTED[verdict]} only {100 * power[name, verdict]:.0f} % "
        f"are found to be so there, and {100 * LEAST_POWER:.0f} % are asked for."
        for name, verdict in pairs
        if (name, verdict) not in able
    ]
    signs = [side(gaps, name, verdict) for name, verdict in able]
    whole = f"Of the {len(able)} differences that can be compared {_counted(signs)}."
    lines = [f"**{_headline(signs, len(pairs))}** {whole}", *blind]
    if blind:
        lines.append(f"Of all {len(pairs)}, power or not, {_counted([side(gaps, *pair) for pair in pairs])}.")
    wider = "; ".join(
        f"{verdict} on {name} pictures {gaps['trained', name, verdict].percent(signed=True)}"
        for name in RENDERINGS
        for verdict in WIDER
    )
    return [
        *lines,
        " ".join(_said(gaps, name, verdict) for name, verdict in able),
        f"Whatever else a latent follows (points, sketch-trained minus photo-trained): {wider}.",
        *_against_random(found),
    ]


def side(gaps: Gaps, name: str, verdict: str) -> int:
    """1 where a difference lies as the idea says, -1 where it lies the other way, 0 where it is not beyond chance or frame."""
    trained, beyond = gaps["trained", name, verdict].side, gaps["beyond", name, verdict].side
    return trained * AS_CLAIMED[verdict] if trained == beyond else 0


def _counted(signs: Sequence[int]) -> str:
    return (
        f"{signs.count(1)} lie as the idea says, {signs.count(-1)} the other way, and {signs.count(0)} cannot be told from 0 or "
        "from what random dictionaries give"
    )


def _headline(signs: Sequence[int], wanted: int) -> str:
    right, wrong = 1 in signs, -1 in signs
    if right and wrong:
        return "The idea is not supported as it stands."
    if wrong:
        return "The idea is contradicted here."
    if not right:
        return "Nothing is shown here."
    return "The idea is supported here." if list(signs) == [1] * wanted else "The idea is supported in part."


def _said(gaps: Gaps, name: str, verdict: str) -> str:
    gap, beyond = gaps["trained", name, verdict], gaps["beyond", name, verdict]
    words = {1: "more", -1: "fewer", 0: "neither more nor fewer, as far as can be told,"}[gap.side]
    against = "beyond" if side(gaps, name, verdict) else "not beyond"
    learned = f", {against} random dictionaries: {beyond.percent(signed=True)}" if gap.side else ""
    return (
        f"On {name} pictures, training on sketches gives {words} {verdict} latents ({gap.percent(signed=True)} points{learned})."
    )


def _against_random(found: Found) -> list[str]:
    rng = np.random.default_rng(20_073)
    parts = []
    for name in RENDERINGS:
        for side in RENDERINGS:
            pair = [[r["counts"] for r in found[kind, name]] for kind in (f"trained on {side}", f"random, {side} frame")]
            words = [f"{_against(pair, verdict, rng)} {verdict}" for verdict in AS_CLAIMED]
            parts.append(f"{side}-trained on {name} pictures {' and '.join(words)}")
    return [f"Against random dictionaries in the same frame (difference in points): {'; '.join(parts)}."]


def _against(pair: Sequence[Sequence[Sequence[int]]], verdict: str, rng: np.random.Generator) -> str:
    return share_difference(pair[0], pair[1], [VERDICTS.index(verdict)], rng).percent(signed=True)


def patents_conclusions(found: Found) -> list[str]:
    """Whether dictionaries of real line drawings have geometric or semantic latents beyond what a random dictionary has."""
    rng = np.random.default_rng(20_074)
    own, control = ([r["counts"] for r in found[kind, PATENTS]] for kind in ("trained on patents", "random dictionary"))
    lines = []
    for verdict in AS_CLAIMED:
        gap = share_difference(own, control, [VERDICTS.index(verdict)], rng)
        words = {1: "more than", -1: "fewer than", 0: "not distinguishable from"}[gap.side]
        level = share(own, [VERDICTS.index(verdict)], rng).percent()
        lines.append(
            f"{level} % of the latents tested are {verdict}, {words} in a random dictionary ({gap.percent(signed=True)} points)."
        )
    more = _within(own, rng)
    which = {
        1: "more geometric than semantic",
        -1: "more semantic than geometric",
        0: "as many geometric as semantic, as far as can be told,",
    }
    lines.append(f"Geometric against semantic: {which[more.side]} ({more.percent(signed=True)} points).")
    return [" ".join(lines), "No photo-trained dictionary stands beside it, so this says nothing of photos."]


def _within(counts: Sequence[Sequence[int]], rng: np.random.Generator) -> Estimate:
    """Share geometric minus share semantic of the same latents; seeds resampled, latents within."""
    table = np.asarray(counts, dtype=np.int64)
    total = table.sum(axis=1)
    seeds = rng.integers(0, len(table), (RESAMPLES, len(table)))
    drawn = np.zeros(RESAMPLES)
    first, second = (VERDICTS.index(verdict) for verdict in AS_CLAIMED)
    for s, row in enumerate(table):
        picked = (seeds == s).sum(axis=1)
        # `picked` copies of the seed, each with its latents drawn anew: one multinomial of picked * tested latents.
        cells = rng.multinomial(picked * total[s], row / max(total[s], 1))
        drawn += cells[:, first] - cells[:, second]
    size = total[seeds].sum(axis=1)
    low, high = np.quantile(drawn / np.maximum(size, 1), (0.025, 0.975)).tolist()
    value = float((table[:, first] - table[:, second]).sum() / max(int(total.sum()), 1))
    return Estimate(value, low, high)
