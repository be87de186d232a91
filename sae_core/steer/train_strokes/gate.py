"""What the decoder has to pass on drawings it has not seen: the bundled CLIP reads its drawings back.

classes    zero-shot class of the drawing of an unsteered embedding, against that of the real drawing
sweeps     a latent is clamped to 0, 0.5, 1, 2 and 4 times its maximum: does the drawing's own activation of it follow?
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sae_core.clip.encoder import Encoder
from sae_core.clip.prompts import class_directions
from sae_core.clip.train_bundled.pool import held_out_seed
from sae_core.data import drawn
from sae_core.progress import Event, Report, silent
from sae_core.sae.architectures import SAE
from sae_core.steer.rating import rank_correlation
from sae_core.steer.strokes.curves import Curve
from sae_core.steer.strokes.decoder import StrokeDecoder
from sae_core.steer.strokes.seeing import inked, seen

STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0)
SHARE_OF_REAL = 0.8
STEERS, RANDOM = 0.7, 0.2
MILLISECONDS = 200.0


@dataclass(frozen=True)
class ClassesRead:
    """Class read back from `n` held-out drawings.

    Attributes:
        real: accuracy on the drawings themselves.
        drawn: accuracy on what the decoder draws of their embeddings.
        chosen: the same for the strokes as the network chose them, before their points were moved.
        cosine: mean cosine of a drawing's embedding and the one asked for.
        milliseconds: median time of one drawing.
        worst: the classes least often read back, with their accuracy.
    """

    n: int
    real: float
    drawn: float
    chosen: float
    cosine: float
    milliseconds: float
    worst: tuple[tuple[str, float], ...]

    @property
    def passes(self) -> bool:
        """Whether the share of the real accuracy and the time are what they have to be."""
        return self.drawn >= SHARE_OF_REAL * self.real and self.milliseconds <= MILLISECONDS


def read_classes(decoder: StrokeDecoder, n: int, seed: int = 0, report: Report = silent) -> ClassesRead:
    """Draw the embeddings of `n` held-out sketches of run `seed` and read their classes back."""
    made = drawn.draw(n, held_out_seed(seed), "sketch", keep_scenes=False)
    weights = class_directions(decoder.encoder, drawn.CLASSES, "sketch")
    x = seen(decoder.encoder, made.images)
    plain = StrokeDecoder(decoder.model, decoder.encoder, bends=0)
    back, chosen, times = np.empty_like(x), np.empty_like(x), []
    for i in range(n):
        began = time.perf_counter()
        drawing = decoder.strokes(x[i : i + 1])
        times.append(time.perf_counter() - began)
        back[i] = _see(decoder.encoder, drawing)[0]
        chosen[i] = _see(decoder.encoder, plain.strokes(x[i : i + 1]))[0]
        report(Event("read_classes", i + 1, n))
    right = _class(back, weights) == made.labels
    each = [(name, float(right[made.labels == c].mean())) for c, name in enumerate(drawn.CLASSES) if (made.labels == c).any()]
    return ClassesRead(
        n,
        float((_class(x, weights) == made.labels).mean()),
        float(right.mean()),
        float((_class(chosen, weights) == made.labels).mean()),
        float(np.mean((x * back).sum(axis=1) / np.linalg.norm(x, axis=1) / np.linalg.norm(back, axis=1))),
        float(np.median(times) * 1000),
        tuple(sorted(each, key=lambda pair: pair[1])[:5]),
    )


@dataclass(frozen=True)
class SweepsRead:
    """Read-back over sweeps.

    Attributes:
        latents: int64 [J].
        own: float64 [J], the median over the pictures of Spearman's ρ of the strength and the latent's pre-activation read back.
        random: the same for a random direction of the same length at every strength, read back by the same latent.
        asked: the same for the steered embedding itself, without drawing it: what a perfect decoder would reach.
        selected: `own` by the activation, which is 0 for every latent that the dictionary's rule (TopK) leaves out.
    """

    latents: NDArray[np.int64]
    own: NDArray[np.float64]
    random: NDArray[np.float64]
    asked: NDArray[np.float64]
    selected: NDArray[np.float64]

    @property
    def passes(self) -> bool:
        """Whether both medians are what they have to be."""
        return float(np.median(self.own)) >= STEERS and float(np.median(self.random)) <= RANDOM


def read_sweeps(
    decoder: StrokeDecoder,
    sae: SAE,
    maxima: NDArray[np.float64],
    latents: NDArray[np.int64],
    x: NDArray[np.float32],
    seed: int = 0,
    report: Report = silent,
) -> SweepsRead:
    """Clamp each latent to multiples of its maximum in each embedding, draw, and read it back from the drawing.

    r_j = pre_j(E(G(x + (κ max_j - z_j) D_j))), one drawing a strength, all from the same chance. The pre-activation is what the
    latent's encoder row says of the drawing, before the dictionary's rule keeps the k largest: of the others the activation says
    nothing but 0, and the order of five zeros is none.

    Args:
        maxima: float64 [J], of these latents on training pictures.
        latents: int64 [J].
        x: float32 [n, d] embeddings of held-out pictures.
        seed: of the random directions, another for every latent and picture.
    """
    rng = np.random.default_rng([seed, 7])
    strength = np.array(STRENGTHS)
    codes, rows = np.asarray(sae.encode(x)), sae.decoder_raw.cpu().numpy()
    rho = np.zeros((4, len(latents), len(x)))
    for a, latent in enumerate(latents):
        for b, start in enumerate(x):
            amount = strength * maxima[a] - codes[b, latent]
            other = rng.standard_normal(len(start))
            other *= np.linalg.norm(rows[latent]) / np.linalg.norm(other)
            moved = [(start + amount[:, None] * direction).astype(np.float32) for direction in (rows[latent], other)]
            for which, embeddings in enumerate(moved):
                drawn_x = _see(decoder.encoder, decoder.strokes(embeddings))
                rho[which, a, b] = rank_correlation(strength, _pre(sae, drawn_x, int(latent)))
                if which == 0:
                    rho[3, a, b] = rank_correlation(strength, np.asarray(sae.encode(drawn_x))[:, latent])
            rho[2, a, b] = rank_correlation(strength, _pre(sae, moved[0], int(latent)))
        report(Event("read_sweeps", a + 1, len(latents)))
    return SweepsRead(latents, *np.median(rho, axis=2))


def _pre(sae: SAE, x: NDArray[np.float32], latent: int) -> NDArray[np.float64]:
    return sae.pre_activation(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)), latent).numpy().astype(np.float64)


def _see(encoder: Encoder, drawings: list[list[Curve]]) -> NDArray[np.float32]:
    return seen(encoder, np.stack([inked(drawing) for drawing in drawings]))


def _class(x: NDArray[np.float32], weights: NDArray[np.floating]) -> NDArray[np.int64]:
    return np.asarray((x @ weights.T).argmax(axis=1))
