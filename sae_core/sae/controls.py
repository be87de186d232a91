"""Controls that are computed instead of trained, as ordinary dictionaries, so that they stand in the same tables.

    PCA       z = relu(±projections on the first principal axes): the best that few fixed directions can do
    k-means   z = 1 at the nearest centre: the best that one latent a row can do
    SpLiCE    z = the few words that are nearest together: what can be had without learning

Each stands in the frame of every dictionary, about the mean of the rows: b_dec is that mean in scaled units, and b_enc begins
with -W_enc b_dec. (The fourth control, random directions, is trained: its encoder learns.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sae_core.config import Architecture, KMeans, Pca, SaeConfig, Splice
from sae_core.errors import InputError, Unavailable
from sae_core.progress import Event, Report, silent
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import WINDOW, Pool, stream
from sae_core.sae.recipe import moments

PASSES, LEAST_GAIN = 50, 1e-4
"""k-means ends after so many passes over the rows, or after one that lowers the error by less than this share."""
SEED_ROWS = 3
"""Rows for each centre among which k-means++ chooses the first centres; as many as scikit-learn's mini-batches take."""
TEMPLATES = ("{}",)
"""A concept is its bare word, as in SpLiCE."""
ROWS = 256
"""Rows whose paths are followed together."""
RIDGE, TIE = 1e-12, 1e-10
"""What is added to each concept's square norm, so that no choice of concepts is singular; by how much a concept's correlation
must fall more slowly than those of the chosen ones to be told from a copy of them."""


@dataclass(frozen=True)
class Fitted:
    """A control, and what is to be recorded of it, as JSON.

    about: of PCA `explained`, its share of the rows' variance; of k-means `passes`, the last one's mean square `error` in scaled
        units and its `empty` centres; of SpLiCE its `concepts` in the order of the latents, their `templates`, and a `note` on
        words left out.
    """

    sae: SAE
    about: Mapping[str, Any]


@dataclass(frozen=True)
class _Rows:
    """The rows a control is computed from, and the frame it is put in."""

    pool: Pool
    mean: Tensor
    scale: float
    encoder_id: str | None
    centre: Tensor  # float64 [d], mean of the rows in scaled units
    report: Report

    def scaled(self, x: Tensor) -> Tensor:
        """u = (x - mean) · scale in float64."""
        return (x.double() - self.mean.double()) * self.scale

    def blocks(self, step: int = 0, total: int = 1) -> Iterator[Tensor]:
        """All raw rows, block by block; `report` can stop it once a window."""
        for number, block in enumerate(self.pool.blocks()):
            if number % WINDOW == 0:
                self.report(Event("train", step, total))
            yield block

    def dictionary(self, architecture: Architecture, encoder: Tensor, decoder: Tensor, bias: Tensor | float = 0.0) -> SAE:
        """The dictionary of pre = (u - centre) encoderᵀ + bias and û = z decoder + centre, its parameters in float32."""
        parts = {"W_enc": encoder, "b_enc": bias - encoder @ self.centre, "W_dec": decoder, "b_dec": self.centre}
        return SAE(architecture, {k: v.float() for k, v in parts.items()}, self.mean.cpu(), self.scale, self.encoder_id)


def is_fitted(architecture: Architecture) -> bool:
    """Whether a dictionary of this architecture is computed by `fit`; the others are trained."""
    return isinstance(architecture, Pca | KMeans | Splice)


def fit(
    config: SaeConfig,
    pool: Pool,
    mean: Tensor,
    scale: float,
    encoder_id: str | None,
    device: str | torch.device = "cpu",
    report: Report = silent,
) -> Fitted:
    """Compute a control from rows that may be larger than memory.

    Args:
        config: its architecture (see `is_fitted`); of k-means its width and seed as well.
        pool: the rows.
        mean, scale: the input scaling, see `recipe.scaling`.
        encoder_id: the CLIP of these embeddings; its text tower makes SpLiCE's concepts.
        device: where rows are compared with centres, and where the text tower runs; the dictionary is on the CPU.
        report: told of progress; may raise `Cancelled`.

    Raises: InputError when there are too few rows or concepts, or no text tower.
    """
    mean = mean.cpu()
    centre = (moments(pool)[0] - mean.double()) * scale
    rows = _Rows(pool, mean, scale, encoder_id, centre, report)
    match config.architecture:
        case Pca():
            fitted = _pca(config.architecture, rows)
        case KMeans():
            fitted = _k_means(config, rows, device)
        case Splice():
            fitted = _splice(config.architecture, rows, device)
        case other:
            raise AssertionError(f"{other.kind} is trained")
    report(Event("train", 1, 1))
    return fitted


# ---------------------------------------------------------------- PCA


def _pca(architecture: Pca, rows: _Rows) -> Fitted:
    """The axes v of largest variance, latent 2i in direction v_i and latent 2i + 1 in direction -v_i: x̂ is PCA's."""
    components, n, d = architecture.components, rows.pool.n, rows.pool.d
    if components > min(n, d):
        raise InputError(
            f"sae.architecture.components: {components} of {n} rows of width {d}; there are at most {min(n, d)} principal axes"
        )
    spread = torch.zeros(d, d, dtype=torch.float64)
    for block in rows.blocks():
        u = rows.scaled(block) - rows.centre
        spread.addmm_(u.T, u)
    variances, vectors = torch.linalg.eigh(spread)  # ascending
    axes = vectors.T.flip(0)[:components]
    # An axis has no sign of its own; its largest coordinate positive, latents come in the same order everywhere.
    axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    both = torch.stack([axes, -axes], 1).flatten(0, 1)
    total = float(variances.sum())
    explained = float(variances.flip(0)[:components].sum()) / total if total > 0 else 1.0
    return Fitted(rows.dictionary(architecture, both, both), {"explained": explained})


# ---------------------------------------------------------------- k-means


def _k_means(config: SaeConfig, rows: _Rows, device: str | torch.device) -> Fitted:
    """Lloyd's algorithm over all rows from a greedy k-means++ start; a centre without a row stays where it is.

    c = u W_encᵀ + b_enc with W_enc = centres and b_enc = -|centre|²/2 is largest at the nearest centre.
    """
    from sklearn.cluster import kmeans_plusplus

    m, n = config.width, rows.pool.n
    if m > n:
        raise InputError(f"sae.width: {m} centres of {n} training rows; set sae.width to at most {n}")
    rng = stream(config.seed, "weights")
    sample = rows.scaled(rows.pool.take(np.sort(rng.permutation(n)[: SEED_ROWS * m])))
    first, _ = kmeans_plusplus(sample.float().numpy(), m, random_state=int(rng.integers(1 << 31)))
    centres, error = torch.from_numpy(first).double() - rows.centre, float("inf")
    for step in range(PASSES):
        nearest = rows.dictionary(config.architecture, centres, centres, -centres.square().sum(1) / 2).to(device)
        sums, counts, before, error = torch.zeros_like(centres), torch.zeros(m, dtype=torch.float64), error, 0.0
        for block in rows.blocks(step, PASSES):
            near, u = nearest.encode_sparse(block)[0][:, 0].cpu(), rows.scaled(block) - rows.centre
            error += float((u - centres[near]).square().sum()) / n
            sums.index_add_(0, near, u)
            counts += torch.bincount(near, minlength=m)
        centres = torch.where(counts[:, None] > 0, sums / counts[:, None], centres)
        rows.report(Event("train", step + 1, PASSES, {"loss": error}))
        if error >= (1 - LEAST_GAIN) * before:
            break
    sae = rows.dictionary(config.architecture, centres, centres, -centres.square().sum(1) / 2)
    return Fitted(sae, {"passes": step + 1, "error": error, "empty": int((counts == 0).sum())})


# ---------------------------------------------------------------- SpLiCE


def _splice(architecture: Splice, rows: _Rows, device: str | torch.device) -> Fitted:
    """Concepts unit(t - mean of t) of the shipped words and the ImageNet classes that the CLIP can know, t = unit(text)."""
    from sae_core.clip.prompts import class_directions
    from sae_core.clip.towers import Towers
    from sae_core.clip.words import builtin_words, imagenet_words, read_by

    key, encoder = "sae.architecture: splice", rows.encoder_id
    if encoder is None:
        raise InputError(f"{key} needs the text tower of the CLIP that made the embeddings, and which that was is not known")
    words, note = read_by(encoder, tuple(dict.fromkeys((*builtin_words(), *imagenet_words()))))
    if architecture.k > len(words):
        raise InputError(
            f"{key} has k = {architecture.k} of {len(words)} concepts; set sae.architecture.k to at most {len(words)}"
        )
    try:
        texts = torch.from_numpy(class_directions(Towers(str(device)).of(encoder), words, TEMPLATES)).double()
    except Unavailable as error:
        raise InputError(f"{key} needs the text tower of the CLIP that made the embeddings; {error}") from None
    if texts.shape[1] != rows.pool.d:
        raise InputError(
            f"{key}: embeddings are {rows.pool.d} wide, texts of {encoder} are {texts.shape[1]}; name the CLIP that made them"
        )
    concepts = F.normalize(texts - texts.mean(0), dim=1)
    sae = rows.dictionary(architecture, concepts, concepts)
    return Fitted(sae, {"concepts": list(words), "templates": list(TEMPLATES), "note": note})


@dataclass(frozen=True)
class SpliceRule:
    """The non-negative least squares of at most k concepts that the lasso chooses (see `sparse_non_negative`).

    SpLiCE (Bhalla et al. 2024, arXiv:2402.10376) takes the lasso's codes, which are too small, at a fixed penalty, and scales the
    reconstruction to unit length. Here x̂ is compared as it is, so the chosen concepts are fitted without the penalty: on 200 CLIP
    embeddings, 749 captions as concepts and k = 32, R² .367 instead of .259. Encoding is slow: 0.8 ms a row there on one core
    (scikit-learn's `lars_path_gram` alone 4.2), and 4 ms at k = 64, so 50,000 images take most of a minute, or minutes.
    """

    k: int
    W_enc: Tensor  # [m, d], a concept a row

    @cached_property
    def gram(self) -> Tensor:
        """float64 [m, m]: products of the concepts."""
        concepts = self.W_enc.double()
        gram = concepts @ concepts.T
        gram.diagonal().mul_(1 + RIDGE)
        return gram

    def dense(self, pre: Tensor) -> Tensor:
        return torch.zeros_like(pre).scatter_add_(1, *self.sparse(pre))

    def sparse(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        parts = [sparse_non_negative(part.double(), self.gram, self.k) for part in torch.split(pre, ROWS)]
        return torch.cat([indices for indices, _ in parts]), torch.cat([values for _, values in parts]).to(pre.dtype)


@torch.no_grad()
def sparse_non_negative(products: Tensor, gram: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Codes z >= 0 of rows v over concepts C: the least squares |v - z C|² among the first k concepts of the lasso's path.

    The path is z(α) = argmin ½|v - z C|² + α Σ z_j over z >= 0. It begins with z = 0 at α = max_j c_j of c = (v - z C) Cᵀ and is
    piecewise linear: as α falls by 1, the chosen concepts A grow by w = G_AA⁻¹ 1, so that all c_A stay equal to α, and every c
    falls by G w. A piece ends where another concept's c reaches α (it enters) or a chosen one's z reaches 0 (it leaves). Once one
    would enter beside k others, only these k may come and go from there to α = 0, and that is their non-negative least squares.

    Args:
        products: float64 [n, m], v Cᵀ.
        gram: float64 [m, m], G = C Cᵀ with a positive definite part for every choice of concepts.
        k: 1 to m.

    Returns: indices int64 [n, k] and values float64 [n, k], in no order; rows with fewer concepts are padded with value 0.
    Source: Efron et al. 2004 (arXiv:math/0406456), sections 3.1 and 3.4.
    """
    n = len(products)
    c, alpha = products.clone(), products.amax(1).clamp_min(0)
    end = alpha * 1e-9
    chosen, inside = products.new_zeros(n, k, dtype=torch.int64), products.new_zeros(n, k, dtype=torch.bool)
    z, eye = products.new_zeros(n, k), torch.eye(k, dtype=gram.dtype, device=gram.device)
    free = torch.ones_like(products, dtype=torch.bool)  # concepts that may enter
    for step in range(4 * k + 8):  # twice k and a few are usual; rounding must not turn in circles
        if bool((alpha <= end).all()):
            break
        s = min(step + 1, k)  # so many places can be taken by now
        a, here, now = chosen[:, :s], inside[:, :s], z[:, :s]
        block = torch.where(here[:, :, None] & here[:, None, :], gram[a[:, :, None], a[:, None, :]], eye[:s, :s])
        w = torch.cholesky_solve(here.to(z.dtype)[:, :, None], torch.linalg.cholesky(block)).squeeze(2)
        fall = F.embedding_bag(a, gram, mode="sum", per_sample_weights=w)
        slower = 1 - fall
        gap = (alpha[:, None] - c).clamp_min(0)
        until_entry, entering = torch.where(free & (slower > TIE), gap / slower, torch.inf).min(1)
        until_exit, leaving = torch.where(here & (w < 0), now.clamp_min(0) / -w, torch.inf).min(1)
        length = torch.minimum(torch.minimum(until_entry, until_exit), alpha)
        now += length[:, None] * w
        c -= length[:, None] * fall
        alpha = alpha - length
        going = alpha > end

        exits = (going & (until_exit <= until_entry)).nonzero().flatten()
        place = leaving[exits]
        z[exits, place], inside[exits, place] = 0.0, False
        free[exits, chosen[exits, place]] = True

        enters = (going & (until_entry < until_exit)).nonzero().flatten()
        full = inside[enters].all(1)
        free[enters[full]] = False
        enters = enters[~full]
        place = (~inside[enters]).to(torch.int8).argmax(1)
        chosen[enters, place], inside[enters, place] = entering[enters], True
        free[enters, entering[enters]] = False
    return chosen * inside, (z * inside).clamp_min(0)
