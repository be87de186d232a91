"""Scenes as curves and tokens, and back: what is lost is less than a pixel and nothing the CLIP reads."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sae_core.clip.encoder import load_encoder
from sae_core.data import drawn
from sae_core.steer.strokes.curves import TOLERANCE, Curve, bernstein, fit, outline, scene_of
from sae_core.steer.strokes.seeing import inked, seen
from sae_core.steer.strokes.tokens import (
    BINS,
    CHOSEN,
    CLOSE,
    DOT,
    END,
    GO,
    LARGEST_SIZE,
    LONGEST,
    NEW,
    SIZES,
    VOCABULARY,
    decode,
    encode,
)

SCENES = [drawn.scene(2_345_678, i) for i in range(len(drawn.CLASSES))]


def line(*points: tuple[float, float]) -> drawn.Stroke:
    return drawn.Stroke(np.array(points, dtype=np.float32), 0.03, "polyline", False, 0, False)


def alone(stroke: drawn.Stroke) -> drawn.Scene:
    return drawn.Scene(-1, "test", (stroke,), dict.fromkeys(drawn.PRIMITIVES, 0))


def test_the_round_trip_keeps_every_class_of_drawing() -> None:
    lost = [
        np.abs(inked(decode(encode(fit(scene)))).astype(float) - drawn.render(scene)).mean() for scene in SCENES
    ]  # a blank sheet differs from these drawings by 20 to 60
    assert max(lost) < 10
    assert np.mean(lost) < 4


def test_the_clip_sees_the_same_drawing() -> None:
    encoder = load_encoder(device="cpu")
    before = seen(encoder, np.stack([drawn.render(scene) for scene in SCENES]))
    after = seen(encoder, np.stack([inked(decode(encode(fit(scene)))) for scene in SCENES]))
    cosine = (before * after).sum(axis=1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
    assert np.mean(cosine) > 0.99
    np.testing.assert_allclose(before, encoder.images([drawn.render(scene) for scene in SCENES]), atol=1e-3)


def test_tokens_fit_the_vocabulary_and_follow_their_own_rules() -> None:
    for scene in SCENES:
        tokens = encode(fit(scene))
        assert 0 < len(tokens) <= LONGEST
        assert (tokens >= 0).all()
        assert (tokens < np.array(VOCABULARY)).all()
        first, before = None, None
        for row in tokens:
            if row[0] in (GO, CLOSE):
                assert before is not None
                assert before[0] in (NEW, GO)
                np.testing.assert_array_equal(row[1:4], [before[1], *before[4:6]])
            if row[0] == NEW:
                first = row[2:4]
            if row[0] == CLOSE:
                np.testing.assert_array_equal(row[4:6], first)
            if row[0] == DOT:
                np.testing.assert_array_equal(row[4:], [*row[2:4], *[BINS // 2] * 4])
            before = row


def test_coding_what_was_decoded_changes_nothing() -> None:
    for scene in SCENES:
        tokens = encode(fit(scene))
        again = encode(decode(tokens))
        # A clipped offset, or one that lies half-way between two cells, may land in the next one.
        assert np.abs(again - tokens).max() <= 1


def test_fitted_curves_pass_within_tolerance_of_every_point() -> None:
    for scene in SCENES[:20]:
        inked_strokes = [stroke for stroke in scene.strokes if stroke.width > 0 and stroke.kind != "dot"]
        curves = [curve for curve in fit(scene) if not curve.dot]
        for stroke, curve in zip(inked_strokes, curves, strict=True):
            path = outline(curve, 60)
            gap = np.linalg.norm(stroke.points[:, None] - path[None], axis=2).min(axis=1)
            assert gap.max() <= TOLERANCE + 0.004


def test_a_straight_line_is_one_curve_with_its_inner_points_on_the_chord() -> None:
    (curve,) = fit(alone(line((0.1, 0.2), (0.3, 0.3), (0.5, 0.4), (0.9, 0.6))))
    np.testing.assert_allclose(curve.points[0, 1], [0.1 + 0.8 / 3, 0.2 + 0.4 / 3], atol=0.02)
    assert encode([curve])[0, 6:].tolist() == pytest.approx([BINS // 2] * 4, abs=3)


def test_a_corner_parts_two_curves_and_a_bend_does_not() -> None:
    corner = fit(alone(line((0.1, 0.1), (0.5, 0.1), (0.5, 0.5))))[0]
    assert len(corner.points) == 2
    np.testing.assert_allclose(corner.points[0, 3], [0.5, 0.1], atol=1e-6)
    angles = np.linspace(0, math.pi / 2, 12)
    bend = fit(alone(line(*[(0.5 + 0.3 * math.cos(a), 0.5 + 0.3 * math.sin(a)) for a in angles])))[0]
    assert len(bend.points) == 1


def test_a_circle_closes_on_the_spot() -> None:
    angles = np.linspace(0, 2 * math.pi, 40)
    points = np.stack([0.5 + 0.3 * np.cos(angles), 0.5 + 0.3 * np.sin(angles)], axis=1).astype(np.float32)
    curves = fit(alone(drawn.Stroke(points, 0.02, "arc", True, 0, False)))
    tokens = encode(curves)
    assert tokens[-1, 0] == CLOSE
    (back,) = decode(tokens)
    np.testing.assert_array_equal(back.points[0, 0], back.points[-1, 3])
    radius = np.linalg.norm(outline(back) - 0.5, axis=1)
    assert np.abs(radius - 0.3).max() < 0.015


def test_a_dot_keeps_its_place_and_size() -> None:
    dot = Curve(np.full((1, 4, 2), 0.25), 0.03, True, True)
    (back,) = decode(encode([dot]))
    assert back.dot
    assert abs(back.width - 0.03) <= LARGEST_SIZE / SIZES / 2 + 1e-9
    np.testing.assert_allclose(back.points, 0.25, atol=0.5 / BINS + 1e-9)
    assert scene_of([back]).strokes[0].kind == "dot"


def test_decoding_stops_at_the_end_and_bears_a_chain_without_a_beginning() -> None:
    tokens = encode(fit(SCENES[0]))
    ended = np.concatenate([tokens[:3], np.full((1, 10), END), tokens[3:]])
    assert sum(len(c.points) for c in decode(ended)) == 3
    assert len(decode(tokens[:0])) == 0
    assert len(decode(np.array([[GO, 5, 1, 1, 90, 90, *[BINS // 2] * 4]]))) == 1


def test_bernstein_is_a_partition_of_one() -> None:
    np.testing.assert_allclose(bernstein(np.linspace(0, 1, 9)).sum(axis=1), 1)
    assert CHOSEN[END].sum() == 1
