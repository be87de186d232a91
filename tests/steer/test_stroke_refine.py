"""Bending strokes along the gradient: the soft ink is the real one, points move and nothing else, the CLIP sees it nearer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sae_core.clip.encoder import Encoder, load_encoder
from sae_core.data import drawn
from sae_core.steer.strokes.curves import Curve, fit
from sae_core.steer.strokes.refine import _taken_apart, ink, refined
from sae_core.steer.strokes.seeing import inked, seen

SCENES = [drawn.scene(2_345_678, i) for i in (0, 3, 5, 8)]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(device="cpu")


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("scene", SCENES)
def test_the_soft_ink_is_about_the_rasterisers(scene: drawn.Scene) -> None:
    points, layout = _taken_apart(fit(scene))
    soft = 255 * ink(torch.from_numpy(points.astype(np.float32)), layout).numpy()
    real = inked(fit(scene)).astype(float)
    assert np.corrcoef(soft.ravel(), real.ravel())[0, 1] > 0.95
    assert ((soft < 128) != (real < 128)).mean() < 0.04


def test_its_gradient_is_the_one_of_differences() -> None:
    points, layout = _taken_apart(fit(SCENES[0]))
    place = torch.from_numpy(points).double().requires_grad_()
    weights = torch.from_numpy(np.random.default_rng(0).standard_normal((64, 64)))
    (found,) = torch.autograd.grad((ink(place.float(), layout) * weights).sum(), place)
    steepest = np.unravel_index(int(found.abs().argmax()), found.shape)
    step = 1e-4
    shift = torch.zeros_like(place)
    shift[steepest] = step
    with torch.no_grad():
        ends = [(ink((place + sign * shift).float(), layout) * weights).sum().item() for sign in (1, -1)]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(found[steepest].item(), rel=0.25)


def test_points_move_and_nothing_else(encoder: Encoder) -> None:
    for scene in SCENES:
        drawing = fit(scene)
        bent = refined(encoder, drawing, np.random.default_rng(1).standard_normal(encoder.dim), 3)
        assert [(c.width, c.closed, c.dot, len(c.points)) for c in bent] == [
            (c.width, c.closed, c.dot, len(c.points)) for c in drawing
        ]
        assert any(not np.allclose(a.points, b.points) for a, b in zip(bent, drawing, strict=True))
        for curve in bent:
            assert (curve.points >= 0).all()
            assert (curve.points <= 1).all()
            np.testing.assert_array_equal(curve.points[1:, 0], curve.points[:-1, 3] if not curve.dot else curve.points[1:, 0])
            if curve.closed and len(curve.points) > 1:
                np.testing.assert_array_equal(curve.points[-1, 3], curve.points[0, 0])


def test_the_clip_sees_the_bent_drawing_nearer_to_what_was_asked(encoder: Encoder) -> None:
    real = seen(encoder, np.stack([inked(fit(scene)) for scene in SCENES]))
    before, after = [], []
    for at, scene in enumerate(SCENES):
        asked = real[at] + 0.5 * real[(at + 1) % len(SCENES)]
        bent = seen(encoder, inked(refined(encoder, fit(scene), asked, 6))[None])[0]
        before.append(cosine(real[at], asked))
        after.append(cosine(bent, asked))
    assert np.mean(after) > np.mean(before)
    assert np.mean(np.array(after) > np.array(before)) >= 0.75


def test_without_a_step_it_stays_as_it_is_and_one_dot_is_enough(encoder: Encoder) -> None:
    drawing = fit(SCENES[0])
    for a, b in zip(refined(encoder, drawing, np.ones(encoder.dim), 0), drawing, strict=True):
        np.testing.assert_array_equal(a.points, b.points)
    dot = Curve(np.full((1, 4, 2), 0.5), 0.05, closed=True, dot=True)
    (moved,) = refined(encoder, [dot], np.ones(encoder.dim), 2)
    assert moved.dot
    assert (moved.points == moved.points[0, 0]).all()
