"""What an edit does, against arithmetic by hand: curves, the band, the verdict, neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sae_core.config import Edit
from sae_core.errors import InputError
from sae_core.evaluate.metrics import unit
from sae_core.steer import effects
from sae_core.steer.edits import Recipe, apply

Array = NDArray[np.float32]
STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0)


def alive(maxima: Array) -> int:
    return int(np.argmax(maxima))


def random_units(rng: np.random.Generator, count: int, d: int) -> Array:
    return unit(rng.standard_normal((count, d)).astype(np.float32))


def test_probabilities_are_a_softmax_of_scaled_cosines() -> None:
    texts = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    x = np.array([3.0, 4.0], dtype=np.float32)
    expected = np.exp(2 * np.array([0.6, 0.8]))
    np.testing.assert_allclose(effects.probabilities(x, texts, 2.0), expected / expected.sum(), rtol=1e-6)
    assert effects.probabilities(np.ones((3, 4, 2), np.float32), texts, 2.0).shape == (3, 4, 2)
    with pytest.raises(InputError, match="at least two"):
        effects.probabilities(x, texts[:1], 2.0)


@pytest.mark.parametrize("keep_error", [True, False])
@pytest.mark.parametrize("renormalise", [True, False])
def test_a_sweep_is_the_recipe_at_each_strength_and_controls_are_as_long(
    sae: Any, x: Array, maxima: Array, keep_error: bool, renormalise: bool
) -> None:
    latent = alive(maxima)
    recipe = Recipe(edits=[Edit(latent=latent, op="set", value=0.3)], keep_error=keep_error, renormalise=renormalise)
    swept = effects.sweep(x[0], recipe, sae, maxima, STRENGTHS, random_units(np.random.default_rng(0), 5, 16))
    for strength, point in zip(STRENGTHS, swept.points, strict=True):
        clamp = recipe.model_copy(update={"edits": (Edit(latent=latent, op="clamp", value=strength),)})
        np.testing.assert_allclose(point, apply(x[:1], clamp, sae, maxima)[0], rtol=1e-5, atol=1e-5)
    empty = Recipe(keep_error=keep_error, renormalise=renormalise)
    np.testing.assert_allclose(swept.base, apply(x[:1], empty, sae)[0], rtol=1e-5, atol=1e-6)
    if renormalise:
        np.testing.assert_allclose(np.linalg.norm(swept.controls, axis=2), np.linalg.norm(x[0]), rtol=1e-4)
    else:
        lengths = np.linalg.norm(swept.points - swept.base, axis=1)
        np.testing.assert_allclose(
            np.linalg.norm(swept.controls - swept.base, axis=2), np.repeat(lengths[:, None], 5, axis=1), atol=1e-4
        )


def test_a_sweep_turns_all_edited_latents_but_ablated_ones() -> None:
    recipe = Recipe(
        edits=[Edit(latent=1, op="ablate"), Edit(latent=2, op="add", value=1.0), Edit(latent=3, op="clamp", value=9.0)]
    )
    assert effects.at_strength(recipe, 0.5).edits == (
        Edit(latent=1, op="ablate"),
        Edit(latent=2, op="clamp", value=0.5),
        Edit(latent=3, op="clamp", value=0.5),
    )
    only = Recipe(edits=[Edit(latent=1, op="ablate")])
    assert effects.at_strength(only, 2.0).edits == (Edit(latent=1, op="clamp", value=2.0),)


def test_nothing_to_sweep_is_refused(sae: Any, x: Array, maxima: Array) -> None:
    with pytest.raises(InputError, match="no latent"):
        effects.sweep(x[0], Recipe(), sae, maxima, STRENGTHS, random_units(np.random.default_rng(0), 5, 16))


def test_a_latent_that_points_at_a_label_is_steerable_and_its_curve_rises(wide_sae: Any) -> None:
    rng = np.random.default_rng(2)
    x = (rng.standard_normal((200, 128)) * 4).astype(np.float32)
    maxima = wide_sae.encode(x).max(axis=0)
    latent = alive(maxima)
    texts = random_units(rng, 10, 128)
    texts[4] = unit(wide_sae.decoder_raw[[latent]])[0]
    recipe = Recipe(edits=[Edit(latent=latent, op="clamp", value=2.0)])
    swept = effects.sweep(x[1], recipe, wide_sae, maxima, STRENGTHS, random_units(rng, 20, 128))
    curves, verdict = effects.label_curves(swept, [f"label {i}" for i in range(10)], texts, 20.0)
    assert verdict.judgement == "steerable"
    assert verdict.label == "label 4"
    assert verdict.spearman == pytest.approx(1.0)
    first = curves[curves["label"] == curves["label"].iloc[0]]
    assert len(curves) == 50
    assert (curves.groupby("strength")["probability"].sum() - 1).abs().max() < 1e-9
    moves = (curves["probability"] - curves["base"]).abs().groupby(curves["label"], sort=False).max().to_numpy()
    assert (np.diff(moves) <= 1e-12).all()
    assert first["strength"].tolist() == list(STRENGTHS)
    assert ((curves["random_low"] <= curves["random_median"]) & (curves["random_median"] <= curves["random_high"])).all()


def test_random_edits_are_seldom_judged_beyond_random() -> None:
    # The edit is itself a random direction: about 5 % lie above the 95th percentile of the others.
    rng = np.random.default_rng(3)
    texts, base = random_units(rng, 12, 32), rng.standard_normal(32).astype(np.float32)
    beyond = 0
    for _ in range(300):
        directions = random_units(rng, 21, 32)
        strengths = np.array([0.0, 1.0, 2.0])
        points = base + strengths[:, None] * directions[0]
        controls = base + strengths[:, None, None] * directions[None, 1:]
        swept = effects.Sweep(strengths, base, points.astype(np.float32), controls.astype(np.float32))
        _, verdict = effects.label_curves(swept, [str(i) for i in range(12)], texts, 20.0)
        beyond += verdict.judgement != "no effect beyond random"
    assert 0.01 < beyond / 300 < 0.12


def judged(p: list[float], random: float) -> effects.Verdict:
    """Two labels; the second one's probability goes as `p` along the strengths, random directions move it by `random`."""
    strengths = np.array([0.0, 1.0, 2.0])
    controls = np.full((3, 20), 0.1 + random)
    controls[0] = 0.1
    two = [np.stack([1 - values, values], axis=-1) for values in (np.array(p), np.array(0.1), controls)]
    return effects.judge(strengths, two[0], two[1], two[2], ["a", "b"])


def test_the_verdict_follows_its_rule() -> None:
    verdict = judged([0.1, 0.5, 0.9], 0.3)
    assert verdict.judgement == "steerable"
    assert verdict.label == "b"
    assert verdict.effects.tolist() == pytest.approx([0.0, 0.4, 0.8])
    assert verdict.effect == pytest.approx(0.4)
    assert verdict.effect_random == pytest.approx(0.2)
    assert judged([0.1, 0.5, 0.9], 0.59).judgement == "steerable"
    assert judged([0.1, 0.5, 0.9], 0.61).judgement == "no effect beyond random"
    assert judged([0.1, 0.15, 0.19], 0.01).judgement == "weak"  # an effect below 0.1
    assert judged([0.1, 0.9, 0.3], 0.05).judgement == "weak"  # rises, then falls
    assert "does not rise steadily" in judged([0.1, 0.9, 0.3], 0.05).reason


def test_nearest_images_leave_out_the_image_and_show_near_duplicates_once() -> None:
    units = unit(np.array([[1, 0], [1, 0.01], [1, 0.1], [0.9, 0.11], [0, 1], [-1, 0]], dtype=np.float32))
    groups = np.array([0, 0, 1, 1, 2, 3])
    rows, cosines = effects.nearest(np.array([5.0, 0.0], np.float32), units, groups, 3, without=0)
    assert rows.tolist() == [2, 4, 5]
    np.testing.assert_allclose(cosines, [1 / np.sqrt(1.01), 0, -1], atol=1e-6)
    rows, _ = effects.nearest(np.array([5.0, 0.0], np.float32), units, groups, 2)
    assert rows.tolist() == [0, 2]
    with pytest.raises(InputError, match="gallery is empty"):
        effects.nearest(np.ones(2, np.float32), units[:0], groups[:0], 3)


def test_jaccard_and_specificity_by_hand() -> None:
    assert effects.jaccard(np.array([1, 2, 3]), np.array([3, 4])) == 0.25
    assert effects.jaccard(np.array([1]), np.array([1])) == 1.0
    assert effects.jaccard(np.empty(0, np.int64), np.empty(0, np.int64)) == 1.0
    assert effects.specificity(np.array([3.0, -1.0, 0.0]), np.array([0])) == 0.75
    assert effects.specificity(np.zeros(3), np.array([0])) == 0.0
