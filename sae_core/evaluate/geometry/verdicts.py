"""Geometry against semantics: for every latent, whether it follows strokes within a class, class beyond strokes, both or neither.

`prepare` reads the measures and the labels once; `judge` gives the verdicts of one dictionary (or of a control: raw embedding
dimensions, a random dictionary) on the same images, the same permutations and the same model of class given geometry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest, false_discovery_control

from sae_core.errors import InputError
from sae_core.evaluate.codes import Codes, columns, shape
from sae_core.evaluate.geometry.conditional import (
    Given,
    class_beyond_geometry,
    geometry_within_class,
    given_geometry,
    within_permutations,
)
from sae_core.evaluate.geometry.propensity import FOLDS, class_chances, standard_basis
from sae_core.evaluate.geometry.ranks import code_ranks, measure_ranks

DRAWS = 1000
ALPHA = 0.05
LEAST_EFFECT = 0.1
"""An association below this (on the scale of a correlation) is small by Cohen's convention, and no reason for a verdict."""
LEAST_FIRINGS = 10
"""A latent that fires on fewer images cannot be judged."""
VERDICTS = ("geometric", "semantic", "both", "neither")
UNTESTED = "untested"
POSTINGS = 1_000_000
CELLS = 4_000_000
"""(latent, class) pairs held at once."""


@dataclass(frozen=True)
class Setting:
    """What all dictionaries judged on the same images share.

    Attributes:
        rows: int64 [n], rows of the codes that are used: labelled, of a class with enough images, one a near-duplicate group.
        classes: int64 [n], their classes, numbered from 0.
        class_labels: int64 [C], the label each of these numbers stands for.
        measures: names of the stroke measures.
        within: float64 [n, q], the measures' centred ranks within classes.
        permutations: int32 [draws, n], within classes.
        given: what geometry says about class.
    """

    rows: NDArray[np.int64]
    classes: NDArray[np.int64]
    class_labels: NDArray[np.int64]
    measures: tuple[str, ...]
    within: NDArray[np.float64]
    permutations: NDArray[np.int32]
    given: Given

    def metrics(self) -> dict[str, float]:
        """How many images and classes, and how well strokes alone tell the class (held out), beside the commonest class."""
        right = np.argmax(self.given.chances, axis=1) == self.classes
        return {
            "geometry_n": float(len(self.rows)),
            "geometry_classes": float(len(self.class_labels)),
            "class_from_strokes": float(right.mean()),
            "class_from_nothing": float(np.bincount(self.classes).max() / len(self.classes)),
        }


@dataclass(frozen=True)
class Geometry:
    """Verdicts of one dictionary.

    Attributes:
        latents: DataFrame, one row a latent: latent, count (images it fires on), measure (the one it follows most), rho (its
            class-conditional rank correlation with it), geometric_effect, geometric_p, geometric_q, semantic_effect,
            semantic_p, semantic_q, verdict. Effects are in [0, 1] on the scale of a correlation, chance taken out; q is p after
            Benjamini-Hochberg over the latents tested.
        rho: float64 [m, q], class-conditional rank correlation of each latent with each measure; NaN for untested latents.
        p: float64 [m, q], of each, adjusted for the number of measures.
        measures: names of the q measures.
    """

    latents: pd.DataFrame
    rho: NDArray[np.float64]
    p: NDArray[np.float64]
    measures: tuple[str, ...]

    def shares(self) -> pd.DataFrame:
        """Share of each verdict among the latents tested, with its 95 % Wilson interval, which is no point even for 0 of n.

        Returns: DataFrame verdict, latents, share, low, high; NaN when none was tested.
        """
        tested = self.latents.loc[self.latents["verdict"] != UNTESTED, "verdict"].to_numpy()
        lines = []
        for verdict in VERDICTS:
            count, n = int((tested == verdict).sum()), len(tested)
            share, low, high = (count / n, *binomtest(count, n).proportion_ci(method="wilson")) if n else (float("nan"),) * 3
            lines.append((verdict, count, share, low, high))
        return pd.DataFrame(lines, columns=["verdict", "latents", "share", "low", "high"])

    def metrics(self) -> dict[str, float]:
        """geometric_share, geometric_share_ci_low, geometric_share_ci_high, and so on, and latents_tested."""
        out = {"latents_tested": float((self.latents["verdict"] != UNTESTED).sum())}
        shares = self.shares()
        for verdict, numbers in zip(shares["verdict"], shares[["share", "low", "high"]].to_numpy(np.float64), strict=True):
            out.update(zip((f"{verdict}_share{end}" for end in ("", "_ci_low", "_ci_high")), map(float, numbers), strict=True))
        return out


def prepare(
    measures: pd.DataFrame,
    labels: NDArray[np.integer[Any]],
    rng: np.random.Generator,
    groups: NDArray[np.integer[Any]] | None = None,
    rows: NDArray[np.integer[Any]] | None = None,
    draws: int = DRAWS,
) -> Setting:
    """Choose the images, rank their measures, model class given geometry, draw the permutations.

    Args:
        measures: one numeric column a stroke measure, one line a row of the codes.
        labels: int [n], class of each row; below 0: none, left out.
        rng: randomness of folds, permutations and label draws.
        groups: int [n], near-duplicates; the first of each group is used, as copies are no further evidence.
        rows: rows to choose from; None: all. Some 10,000 are plenty; time and memory grow with images times classes.
        draws: permutations, and label draws (8 bytes an image and draw in memory).

    Raises: InputError on measures that are not finite numbers or not one line a row, or fewer than two classes of 5 images.
    """
    values = _numbers(measures)
    if not len(values) == len(labels) or (groups is not None and len(groups) != len(labels)):
        raise InputError(
            f"{len(values)} lines of measures, {len(labels)} labels: give one of each (and one group) a row of the codes"
        )
    chosen = np.arange(len(labels)) if rows is None else np.unique(rows).astype(np.int64)
    chosen = chosen[labels[chosen] >= 0]
    if groups is not None:
        chosen = chosen[np.sort(np.unique(groups[chosen], return_index=True)[1])]
    found, counts = np.unique(labels[chosen], return_counts=True)
    enough = found[counts >= FOLDS]
    if len(enough) < 2:
        raise InputError(
            f"geometry against semantics needs two classes of {FOLDS} distinct images; of {len(found)} classes {len(enough)} "
            "have so many: give a labelled data set, or larger splits"
        )
    chosen = chosen[np.isin(labels[chosen], enough)]
    classes = np.searchsorted(enough, labels[chosen]).astype(np.int64)
    basis = standard_basis(values[chosen])
    return Setting(
        chosen,
        classes,
        enough.astype(np.int64),
        tuple(str(name) for name in measures.columns),
        measure_ranks(values[chosen], classes, len(enough)),
        within_permutations(classes, draws, rng),
        given_geometry(basis, class_chances(basis, classes, rng), classes, draws, rng),
    )


def _numbers(measures: pd.DataFrame) -> NDArray[np.float64]:
    try:
        values = measures.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("a stroke measure is not a number; give a table of numeric columns only") from None
    bad = [str(name) for name, ok in zip(measures.columns, np.isfinite(values).all(axis=0), strict=True) if not ok]
    if bad or not values.shape[1]:
        raise InputError(f"stroke measures without a finite number in every row: {', '.join(bad) or 'there is no measure'}")
    return values


def judge(
    codes: Codes,
    setting: Setting,
    alpha: float = ALPHA,
    least_effect: float = LEAST_EFFECT,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Geometry:
    """Each latent's verdict: significant at false-discovery rate `alpha`, and of an effect of at least `least_effect`.

        geometric   it follows a stroke measure among images of one class, and not class beyond the measures
        semantic    it follows class beyond what the measures explain, and no measure within classes
        both, neither

    What strokes that were not measured, or were measured with error, would explain counts as class: read `semantic` as "beyond
    these measures". The other way there is no such leak: within a class, class explains nothing.

    Args:
        codes: z [n, m], rows as given to `prepare`.
        setting: from `prepare`.
        alpha: false-discovery rate, of each of the two tests over the latents tested.
        least_effect: on the scale of a correlation.
        tick: called with (latents done, latents); may raise to stop.
    """
    _, m = shape(codes)
    q, count = len(setting.measures), len(setting.class_labels)
    rho, p = np.full((m, q), np.nan), np.full((m, q), np.nan)
    found = np.full((m, 6), np.nan)  # count, measure, and an effect and a p each for geometry and class
    everyone = np.zeros(len(setting.rows), dtype=np.int64)
    for start, block in columns(codes, setting.rows, POSTINGS, max(1, CELLS // count)):
        fired = np.diff(block.indptr)
        found[start : start + len(fired), 0] = fired
        tested = np.flatnonzero(fired >= LEAST_FIRINGS)
        if len(tested):
            at = start + tested
            within = geometry_within_class(
                code_ranks(block[:, tested], setting.classes, count), setting.within, setting.classes, setting.permutations
            )
            beyond = class_beyond_geometry(code_ranks(block[:, tested], everyone, 1), setting.given)
            rho[at], p[at] = within.rho, within.p_measure
            found[at, 1:] = np.stack([within.best, within.effect, within.p, beyond.effect, beyond.p], axis=1)
        tick(start + len(fired), m)
    return Geometry(_verdicts(found, rho, setting.measures, alpha, least_effect), rho, p, setting.measures)


def _verdicts(
    found: NDArray[np.float64], rho: NDArray[np.float64], measures: tuple[str, ...], alpha: float, least_effect: float
) -> pd.DataFrame:
    tested = ~np.isnan(found[:, 1])
    best = np.where(tested, found[:, 1], 0).astype(np.int64)
    table: dict[str, Any] = {
        "latent": np.arange(len(found)),
        "count": found[:, 0].astype(np.int64),
        "measure": np.where(tested, np.array(measures)[best], ""),
        "rho": rho[np.arange(len(rho)), best],
    }
    holds = []
    for kind, (effect, p) in (("geometric", (found[:, 2], found[:, 3])), ("semantic", (found[:, 4], found[:, 5]))):
        q = np.full(len(p), np.nan)
        if tested.any():
            q[tested] = false_discovery_control(p[tested])
        table.update({f"{kind}_effect": effect, f"{kind}_p": p, f"{kind}_q": q})
        holds.append((q <= alpha) & (effect >= least_effect))
    geometric, semantic = holds
    table["verdict"] = np.select(
        [~tested, geometric & semantic, geometric, semantic], [UNTESTED, "both", "geometric", "semantic"], "neither"
    )
    return pd.DataFrame(table)
