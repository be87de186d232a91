"""What an edit does, always beside what random edits of the same size do: label curves, nearest images, a verdict.

    p(label) = softmax(τ cos(x', t))          τ the model's logit scale
    effect   = max over labels of p(label) - p_base(label)     the most that any label gains, 0 to 1

Most directions of a dictionary do not steer (10 to 15 % of CLIP's do, arXiv:2504.08729), so an effect counts only beyond the
effects of random directions of equal norm. Those are isotropic: what is asked is whether pushing along this direction does
anything that pushing anywhere as far would not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import spearmanr

from sae_core.config import Edit
from sae_core.errors import InputError
from sae_core.evaluate.metrics import unit
from sae_core.steer.edits import Dictionary, Recipe, apply, checked_rows, rescaled, resolve

BAND = (5.0, 95.0)
"""Percentiles over random directions that the band shows."""
LEVEL = 0.05
LEAST_EFFECT = 0.1
LEAST_SPEARMAN = 0.9

Judgement = Literal["steerable", "weak", "no effect beyond random"]


@dataclass(frozen=True)
class Sweep:
    """Embeddings along a sweep of strengths, with random controls of equal norm.

    Attributes:
        strengths: float64 [s], multiples of each edited latent's maximum.
        base: float32 [d], where the edit starts: x, or its reconstruction when the error is not kept.
        points: float32 [s, d], steered embeddings.
        controls: float32 [s, r, d]: base plus a random direction as long as `points - base`.
    """

    strengths: NDArray[np.float64]
    base: NDArray[np.float32]
    points: NDArray[np.float32]
    controls: NDArray[np.float32]


@dataclass(frozen=True)
class Verdict:
    """Whether an edit steers, and the numbers that say so.

    Attributes:
        judgement: steerable | weak | no effect beyond random.
        reason: the rule as it applied, in a line.
        label: the label the strongest edit raises most.
        effects: float64 [s], the most that any label gains on the base at each strength.
        random_high: float64 [s], the 95th percentile of the same over random directions.
        effect: mean of `effects` over the sweep, what the verdict goes by.
        effect_random: the same mean for the most effective of the random directions.
        p: share of directions, this one and the random ones, that have at least its mean effect.
        spearman: of strength and the label's probability, -1 to 1 (0 where either is constant).
    """

    judgement: Judgement
    reason: str
    label: str
    effects: NDArray[np.float64]
    random_high: NDArray[np.float64]
    effect: float
    effect_random: float
    p: float
    spearman: float


def at_strength(recipe: Recipe, strength: float) -> Recipe:
    """The recipe with every edited latent clamped to `strength` times its maximum, all together.

    Ablated latents stay ablated, unless there are no others: then the sweep turns those.
    """
    edits, _ = resolve(recipe.edits)
    turned = [edit for edit in edits if edit.op != "ablate"] or list(edits)
    swept = tuple(Edit(latent=e.latent, op="clamp", value=strength) if e in turned else e for e in edits)
    return recipe.model_copy(update={"edits": swept})


def sweep(
    x: NDArray[np.float32],
    recipe: Recipe,
    sae: Dictionary,
    maxima: NDArray[np.floating],
    strengths: Sequence[float],
    directions: NDArray[np.float32],
) -> Sweep:
    """Steer one embedding along a sweep, and push it as far along random directions.

    Args:
        x: float32 [d] raw embedding.
        recipe: its edits say which latents the sweep turns, see `at_strength`.
        sae: the dictionary.
        maxima: float [m], the latents' largest activations on training images.
        strengths: s multiples of them.
        directions: float32 [r, d] unit rows, random (`interpret.random_directions`).
    """
    if not recipe.edits:
        raise InputError("the recipe edits no latent, so there is nothing to sweep; add an edit")
    row = checked_rows(np.asarray(x)[None], sae.d)
    start = row if recipe.keep_error else np.asarray(sae(row), dtype=np.float32)
    base = rescaled(start, row)[0] if recipe.renormalise else start[0]
    plain = recipe.model_copy(update={"renormalise": False})
    moved = np.concatenate([apply(row, at_strength(plain, strength), sae, maxima) for strength in strengths])
    lengths = np.linalg.norm(moved - start, axis=1)
    controls = start[0] + lengths[:, None, None] * directions[None]
    if recipe.renormalise:
        moved, controls = rescaled(moved, row), rescaled(controls, row[None])
    return Sweep(np.asarray(strengths, dtype=np.float64), base, moved, controls.astype(np.float32))


def probabilities(x: NDArray[np.float32], texts: NDArray[np.float32], logit_scale: float) -> NDArray[np.float64]:
    """p(label) = softmax over labels of τ cos(x, t), float64 [..., C] for x float32 [..., d] and unit rows texts [C, d].

    Raises:
        InputError: fewer than two labels, among which any probability is 1.
    """
    if len(texts) < 2:
        raise InputError(f"{len(texts)} label(s) to compare with; label curves need at least two")
    flat = unit(x.reshape(-1, x.shape[-1]))
    return np.asarray(softmax(logit_scale * (flat @ texts.T).astype(np.float64), axis=1).reshape(*x.shape[:-1], -1))


def label_curves(
    swept: Sweep, labels: Sequence[str], texts: NDArray[np.float32], logit_scale: float
) -> tuple[pd.DataFrame, Verdict]:
    """Every label's probability along the sweep with the band of random directions, and the verdict.

    Returns:
        A frame `strength, label, probability, base, random_low, random_median, random_high`, the labels that move most first,
        and the Verdict.
    """
    p = probabilities(swept.points, texts, logit_scale)
    base = probabilities(swept.base, texts, logit_scale)
    controls = probabilities(swept.controls, texts, logit_scale)
    order = np.argsort(-np.abs(p - base).max(axis=0), kind="stable")
    low, middle, high = np.percentile(controls, [BAND[0], 50.0, BAND[1]], axis=1)
    s, c = p.shape
    curves = pd.DataFrame(
        {
            "strength": np.tile(swept.strengths, c),
            "label": np.repeat(np.array(labels, dtype=object)[order], s),
            "probability": p[:, order].T.ravel(),
            "base": np.repeat(base[order], s),
            "random_low": low[:, order].T.ravel(),
            "random_median": middle[:, order].T.ravel(),
            "random_high": high[:, order].T.ravel(),
        }
    )
    return curves, judge(swept.strengths, p, base, controls, labels)


def judge(
    strengths: NDArray[np.float64],
    p: NDArray[np.float64],
    base: NDArray[np.float64],
    controls: NDArray[np.float64],
    labels: Sequence[str],
) -> Verdict:
    """The verdict on a sweep.

    *no effect beyond random*: the mean effect over the sweep is not in the top 5 % of the same for random directions of equal
    norms (with fewer than 20 of them: not above all). *steerable*: it is, the effect at the strongest is at least 0.1, and the
    label raised most there rises with strength (Spearman >= 0.9). Else *weak*. The mean over the sweep is what tells them
    apart: pushed far enough, any direction changes the label, an effective one does so early. And what counts is the gain of
    one label, for a push in any direction takes probability from the label that was there.

    Args:
        strengths: float64 [s].
        p: float64 [s, C], steered; base: float64 [C], unsteered; controls: float64 [s, r, C], random.
        labels: C names.
    """
    effects = (p - base).max(axis=-1)
    random = (controls - base).max(axis=-1)
    effect, others = float(effects.mean()), random.mean(axis=0)
    p_value = float((1 + (others >= effect).sum()) / (1 + len(others)))
    strongest = int(np.argmax(strengths))
    raised = int(np.argmax(p[strongest] - base))
    rho = _spearman(strengths, p[:, raised])
    numbers = f"mean effect {effect:.3f} over the sweep, of {len(others)} random directions at most {others.max():.3f}"
    if p_value > chance(len(others)) + 1e-9:
        judgement: Judgement = "no effect beyond random"
        reason = f"{numbers} (p = {p_value:.2f})"
    elif effects[strongest] >= LEAST_EFFECT and rho >= LEAST_SPEARMAN:
        judgement = "steerable"
        reason = f"{numbers}, and {labels[raised]!r} rises with strength (Spearman {rho:.2f})"
    elif rho < LEAST_SPEARMAN:
        judgement = "weak"
        reason = f"{numbers}, but the label it raises most does not rise steadily (Spearman {rho:.2f})"
    else:
        judgement = "weak"
        reason = f"{numbers}, but no label gains more than {effects[strongest]:.3f} at the strongest"
    high = np.percentile(random, BAND[1], axis=1)
    return Verdict(judgement, reason, labels[raised], effects, high, effect, float(others.max()), p_value, rho)


def bar(others: NDArray[np.float64]) -> NDArray[np.float64]:
    """The effect that lies beyond random directions' effects [..., r]: it must exceed this, and then p <= 0.05 as in `judge`.

    With fewer than 20 of them no p is that small, and it must exceed them all.
    """
    r = others.shape[-1]
    return np.asarray(np.sort(others, axis=-1)[..., r - round(chance(r) * (1 + r))])


def chance(random: int) -> float:
    """The probability that one more random direction is judged beyond `random` others: 1/21 for 20."""
    return max(1, int(LEVEL * (1 + random) + 1e-9)) / (1 + random)


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(spearmanr(a, b).statistic)


# ---------------------------------------------------------------- nearest images, collateral


def nearest(
    x: NDArray[np.float32], units: NDArray[np.float32], groups: NDArray[np.int64], count: int, without: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The images nearest to an embedding by cosine, near-duplicates once.

    Args:
        x: float32 [d].
        units: float32 [n, d] unit rows to search.
        groups: int64 [n], equal for near-duplicates.
        count: images wanted.
        without: a group to leave out (the image's own).

    Returns: rows int64 [<= count] and cosines, nearest first.

    Raises:
        InputError: nothing to search.
    """
    if not len(units):
        raise InputError("the gallery is empty, so there are no nearest images; collect activations of some images first")
    cosines = (units @ unit(x[None])[0]).astype(np.float64)
    order = np.argsort(-cosines, kind="stable")
    if without is not None:
        order = order[groups[order] != without]
    _, first = np.unique(groups[order], return_index=True)
    rows = order[np.sort(first)[:count]]
    return rows, cosines[rows]


def jaccard(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """|A and B| / |A or B| of two sets of rows, 0 to 1; two empty sets are equal: 1."""
    union = len(np.union1d(a, b))
    return len(np.intersect1d(a, b)) / union if union else 1.0


def specificity(change: NDArray[np.float64], edited: NDArray[np.int64]) -> float:
    """Σ |Δ| over edited latents / Σ |Δ| over all, 0 to 1; Δ float64 [m] in units of each latent's maximum. 0 for no change."""
    total = float(np.abs(change).sum())
    return float(np.abs(change[edited]).sum()) / total if total else 0.0
