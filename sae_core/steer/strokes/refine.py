"""A drawing's strokes bent until the CLIP sees it nearer to the embedding asked for: a few steps along the gradient.

The network chooses what is drawn; how far each line bends is a matter of degree, which choices from a grid follow poorly. Only
points move: no stroke comes or goes, and widths stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.clip.encoder import Encoder
from sae_core.steer.strokes.curves import Curve, bernstein

SIZE = 64
STEPS = 4
RATE = 0.0125
"""Frames that a point moves in a step, at most."""
SOFTNESS = 1 / 4
"""Pixels from black to grey at a stroke's edge: an edge without width would have no gradient."""
SAMPLES = 24
"""Points along a cubic that the distance to it is measured by."""
_FINE = 4


@dataclass(frozen=True)
class _Layout:
    """What does not move: which points make which sample, and how wide the ink is there.

    Attributes:
        cubics: int64 [k, 4], the points of every cubic.
        dots: int64 [m], the centres of dots.
        half: float32 [k (SAMPLES + 1) + m], half the ink's width at every sample, a dot's radius.
    """

    cubics: Tensor
    dots: Tensor
    half: Tensor


def refined(
    encoder: Encoder, drawing: Sequence[Curve], x: NDArray[np.floating], steps: int = STEPS, rate: float = RATE
) -> list[Curve]:
    """The drawing with its points moved by up to `steps` steps of Adam on 1 - cos(E(ink), x), the best one of the way.

    Args:
        encoder: E, differentiable in its pixels.
        drawing: at least one curve.
        x: [d], the embedding asked for.
        steps: 0 leaves the drawing as it is.
        rate: see `RATE`.
    """
    if not steps:
        return list(drawing)
    points, layout = _taken_apart(drawing)
    place = torch.from_numpy(points.astype(np.float32)).requires_grad_()
    wanted = torch.from_numpy(np.asarray(x, dtype=np.float32))
    optimizer = torch.optim.Adam([place], lr=rate, betas=(0.8, 0.95))
    best, found = -np.inf, points
    for step in range(steps + 1):
        pixels = (2 * ink(place, layout) - 1)[None, None].expand(1, 3, -1, -1)
        seen = encoder.forward_pixels(pixels.contiguous(memory_format=torch.channels_last))[0]
        near = torch.cosine_similarity(seen, wanted, dim=0)
        if near.item() > best:
            best, found = near.item(), place.detach().numpy().astype(np.float64)
        if step < steps:
            (place.grad,) = torch.autograd.grad(-near, place)
            optimizer.step()
            with torch.no_grad():
                place.clamp_(0, 1)
    return _put_together(drawing, found, layout)


def ink(points: Tensor, layout: _Layout) -> Tensor:
    """The picture of a drawing, float32 [64, 64], 0 ink and 1 paper, differentiable in the points [n, 2].

    A pixel's shade is a logistic function of its distance to the nearest sample, less half the ink's width there.
    """
    along = torch.from_numpy(bernstein(np.linspace(0, 1, SAMPLES + 1)).astype(np.float32))
    samples = torch.cat([torch.einsum("tk,pkc->ptc", along, points[layout.cubics]).reshape(-1, 2), points[layout.dots]])
    centres = (torch.arange(SIZE) + 0.5) / SIZE
    pixels = torch.stack([centres.expand(SIZE, SIZE), centres[:, None].expand(SIZE, SIZE)], dim=2)
    nearest = _nearest(samples.detach().numpy())
    beyond = (pixels - samples[nearest]).square().sum(dim=2).add(1e-12).sqrt() - layout.half[nearest]
    return torch.sigmoid(beyond * (SIZE / SOFTNESS))


def _nearest(samples: NDArray[np.float32]) -> Tensor:
    """For every pixel the number of the sample nearest to it, int64 [64, 64], to a quarter of a pixel."""
    fine = SIZE * _FINE
    cells = np.clip((samples * fine).astype(np.int64), 0, fine - 1)
    owner = np.zeros((fine, fine), dtype=np.int64)
    paper = np.ones((fine, fine), dtype=np.uint8)
    paper[cells[:, 1], cells[:, 0]] = 0
    owner[cells[:, 1], cells[:, 0]] = np.arange(len(samples))
    _, labels = cv2.distanceTransformWithLabels(paper, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    by_label = np.zeros(labels.max() + 1, dtype=np.int64)
    by_label[labels[paper == 0]] = owner[paper == 0]
    return torch.from_numpy(by_label[labels[_FINE // 2 :: _FINE, _FINE // 2 :: _FINE]])


def _taken_apart(drawing: Sequence[Curve]) -> tuple[NDArray[np.float64], _Layout]:
    """A drawing's points [n, 2], each once, so that what hangs together moves together, and their layout."""
    points: list[NDArray[np.float64]] = []
    cubics: list[tuple[int, int, int, int]] = []
    dots: list[int] = []
    half: list[float] = []
    radii: list[float] = []

    def add(point: NDArray[np.float64]) -> int:
        points.append(point)
        return len(points) - 1

    for curve in drawing:
        first = here = add(curve.points[0, 0])
        if curve.dot:
            dots.append(first)
            radii.append(curve.width)
            continue
        for i, control in enumerate(curve.points):
            closes = curve.closed and 0 < i == len(curve.points) - 1
            cubics.append((here, add(control[1]), add(control[2]), first if closes else add(control[3])))
            here = cubics[-1][3]
            half += [curve.width / 2] * (SAMPLES + 1)
    return np.array(points), _Layout(
        torch.tensor(cubics, dtype=torch.long).reshape(-1, 4),
        torch.tensor(dots, dtype=torch.long),
        torch.tensor([*half, *radii], dtype=torch.float32),
    )


def _put_together(drawing: Sequence[Curve], points: NDArray[np.float64], layout: _Layout) -> list[Curve]:
    """The drawing with its points elsewhere."""
    cubics, dots = iter(layout.cubics.numpy()), iter(layout.dots.tolist())
    moved = []
    for curve in drawing:
        if curve.dot:
            control = np.broadcast_to(points[next(dots)], (1, 4, 2)).copy()
        else:
            control = np.stack([points[next(cubics)] for _ in curve.points])
        moved.append(Curve(control, curve.width, curve.closed, curve.dot))
    return moved
