"""Rates many latents at once: what turning each does to some images' label probabilities, beside random directions of equal norm.

    a(j, i, κ)  = κ max_j - z_ij                                   x' = x_i + a D_j
    p(label)    = softmax(τ (x_i·t + a D_j·t) / |x'|),             |x'|² = |x_i|² + 2a x_i·D_j + a²|D_j|²
    effect_j    = mean over images i and strengths κ of max over labels of p - p_base

The same numbers as `effects.sweep` and `label_curves`, but only D·t, D·x and their like are needed, one GEMM each for a block of
latents; no x' is ever written out. Random directions are drawn for each latent anew, so that one lucky draw does not judge all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from sae_core.evaluate.metrics import unit
from sae_core.sae.architectures import SAE
from sae_core.steer.effects import LEAST_EFFECT, LEAST_SPEARMAN, bar

NUMBERS = 1 << 23
"""Float32 numbers in one of the largest arrays of a block; a few such exist at a time."""
READ_BACK = 2.0
"""The strength at which the embedding is encoded again."""
MOVED = 0.1
"""A latent that changes by this share of its own maximum counts as collateral."""
COLUMNS = ("latent", "verdict", "effect", "random_high", "beyond", "gain", "spearman", "label", "agreement")


@dataclass(frozen=True)
class Start:
    """An image that is steered, and the labels that are followed on it.

    Attributes:
        x: float32 [d] raw embedding.
        labels: C names, at least two.
        texts: float32 [C, d] unit rows; images of equal labels should share the array.
        logit_scale: τ.
    """

    x: NDArray[np.float32]
    labels: tuple[str, ...]
    texts: NDArray[np.float32]
    logit_scale: float


def rate(
    latents: NDArray[np.int64],
    maxima: NDArray[np.float64],
    starts: Sequence[Start],
    sae: SAE,
    strengths: Sequence[float],
    random: int,
    seed: int,
) -> pd.DataFrame:
    """How each latent steers, by the rule of `effects.judge` with means over the images.

    Args:
        latents: int64 [J].
        maxima: float64 [J], the unit of each one's strengths: its largest activation on training images.
        starts: the images, at least one.
        sae: the dictionary, on the device to compute on.
        strengths: of the sweep, at least two.
        random: directions of equal norm that each is compared with.
        seed: with a latent's number it gives that latent's directions.

    Returns: a row a latent: latent; verdict; effect (0 to 1); random_high, what it must exceed; beyond, how far it does; gain,
        effect at the strongest; spearman of strength and the probability of the label raised most there, median over the
        images; label, raised most on average; agreement, the share of images on which it is that one.
    """
    kappa = np.asarray(strengths, dtype=np.float64)
    names = list(dict.fromkeys(name for start in starts for name in start.labels))
    number = {name: i for i, name in enumerate(names)}
    columns = [torch.tensor([number[name] for name in start.labels], device=sae.decoder.device) for start in starts]
    codes = sae.encode(np.stack([start.x for start in starts]))[:, latents]
    most = max(len(start.labels) for start in starts)
    parts = []
    for at in _blocks(len(latents), len(kappa) * random * most):
        block = _Block.of(latents[at], sae, random, seed)
        amounts = kappa[None, None] * maxima[at][:, None, None] - codes[:, at].T[:, :, None]
        parts.append(_rated(block, torch.from_numpy(amounts).float(), starts, columns, names, kappa))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))


def _blocks(count: int, numbers: int) -> Iterator[slice]:
    size = max(1, NUMBERS // numbers)
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


@dataclass(frozen=True)
class _Block:
    """Some latents' decoder directions [J, d], raw, and random unit directions of their own [J, r, d]."""

    latents: NDArray[np.int64]
    directions: Tensor
    random: Tensor

    @classmethod
    def of(cls, latents: NDArray[np.int64], sae: SAE, random: int, seed: int) -> _Block:
        drawn = [unit(np.random.default_rng([seed, int(j)]).standard_normal((random, sae.d))) for j in latents]
        device = sae.decoder.device
        return cls(latents, sae.decoder_raw[torch.from_numpy(latents).to(device)], torch.from_numpy(np.stack(drawn)).to(device))


def _rated(
    block: _Block,
    amounts: Tensor,
    starts: Sequence[Start],
    columns: Sequence[Tensor],
    names: Sequence[str],
    kappa: NDArray[np.float64],
) -> pd.DataFrame:
    """Amounts are float32 [J, n, s]: by how much of its direction each latent moves each image at each strength."""
    device = block.directions.device
    amounts = amounts.to(device)
    j, n, _ = amounts.shape
    square, one = block.directions.square().sum(1), torch.ones((), device=device)
    strongest = int(np.argmax(kappa))
    effect, gain = torch.zeros(j, device=device), torch.zeros(j, device=device)
    others = torch.zeros(j, block.random.shape[1], device=device)
    raised = torch.zeros(j, len(names), device=device)
    top, rho = torch.zeros(j, n, dtype=torch.int64, device=device), np.zeros((j, n))
    seen: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
    for i, start in enumerate(starts):
        if id(start.texts) not in seen:
            texts = torch.from_numpy(start.texts).to(device)
            seen[id(start.texts)] = texts, block.directions @ texts.T, block.random @ texts.T
        texts, toward, toward_random = seen[id(start.texts)]
        x = torch.from_numpy(np.ascontiguousarray(start.x)).to(device)
        here = (x @ texts.T, x.square().sum(), start.logit_scale)
        base = torch.softmax(start.logit_scale * here[0] / here[1].sqrt(), 0)
        amount = amounts[:, i]
        change = _moved(amount, toward[:, None], (block.directions @ x)[:, None], square[:, None], *here) - base
        length = amount.abs() * square.sqrt()[:, None]
        others_here = _moved(length[:, :, None], toward_random[:, None], (block.random @ x)[:, None], one, *here)
        effect += change.amax(-1).mean(1)
        gain += change[:, strongest].amax(-1)
        others += others_here.sub_(base).amax(-1).mean(1)
        best = change[:, strongest].argmax(-1)
        top[:, i] = columns[i][best]
        raised.index_add_(1, columns[i], change[:, strongest])
        rho[:, i] = rank_correlation(kappa, change[torch.arange(j, device=device), :, best].cpu().numpy())
    return _table(block.latents, effect / n, gain / n, others / n, np.median(rho, axis=1), raised.argmax(1), top, names)


def _moved(
    amount: Tensor, toward: Tensor, along: Tensor, square: Tensor, x_texts: Tensor, x_square: Tensor, scale: float
) -> Tensor:
    """p(label) [..., C] of x + amount v, from v·t [..., C], v·x and |v|²; amount, v·x and |v|² broadcast."""
    length = (x_square + 2 * amount * along + amount.square() * square).clamp_min_(1e-12).sqrt_()
    return torch.softmax((x_texts + amount[..., None] * toward).mul_(scale / length[..., None]), -1)


def _table(
    latents: NDArray[np.int64],
    effect: Tensor,
    gain: Tensor,
    others: Tensor,
    rho: NDArray[np.float64],
    label: Tensor,
    top: Tensor,
    names: Sequence[str],
) -> pd.DataFrame:
    effects, gains = effect.double().cpu().numpy(), gain.double().cpu().numpy()
    high = bar(others.double().cpu().numpy())
    beyond = effects > high
    steers = beyond & (gains >= LEAST_EFFECT) & (rho >= LEAST_SPEARMAN)
    return pd.DataFrame(
        {
            "latent": latents,
            "verdict": np.where(steers, "steerable", np.where(beyond, "weak", "no effect beyond random")),
            "effect": effects,
            "random_high": high,
            "beyond": effects - high,
            "gain": gains,
            "spearman": rho,
            "label": np.array(names, dtype=object)[label.cpu().numpy()],
            "agreement": (top == label[:, None]).double().mean(1).cpu().numpy(),
        }
    )


def rank_correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Spearman's ρ of a [s] with each row of b [..., s], equal values by their mean rank; 0 where either is constant."""
    ranks = rankdata(a) - (len(a) + 1) / 2
    others = rankdata(b, axis=-1) - (len(a) + 1) / 2
    norm = np.sqrt((ranks**2).sum() * (others**2).sum(axis=-1))
    return np.asarray(np.divide(others @ ranks, norm, out=np.zeros(np.shape(norm)), where=norm > 0))


def read_back(
    latents: NDArray[np.int64],
    maxima: NDArray[np.float64],
    x: NDArray[np.float32],
    sae: SAE,
    strength: float = READ_BACK,
) -> pd.DataFrame:
    """Turn each latent up and encode again: how much of what changes is the latent itself, and how many others change.

    Args:
        latents: int64 [J].
        maxima: float64 [m] of every latent: Δ is in these units, and one without a maximum does not count.
        x: float32 [n, d] raw embeddings.
        sae: the dictionary.
        strength: multiple of the latent's maximum that it is clamped to.

    Returns: a row a latent: latent; specificity, mean over the images of |Δ_j| / Σ_k |Δ_k|, 0 to 1; collateral, mean number of
        other latents that change by a tenth of their maximum or more.
    """
    device = sae.decoder.device
    rows = torch.from_numpy(np.ascontiguousarray(x)).to(device)
    before = sae.encode(rows)
    units = torch.from_numpy(np.divide(1.0, maxima, out=np.zeros(len(maxima)), where=maxima > 0)).float().to(device)
    specific, collateral = [np.empty(0)], [np.empty(0)]
    for at in _blocks(len(latents), len(x) * sae.m):
        chosen = torch.from_numpy(latents[at]).to(device)
        amount = strength * torch.from_numpy(maxima[latents[at]]).float().to(device)[:, None] - before[:, chosen].T
        moved = rows[None] + amount[:, :, None] * sae.decoder_raw[chosen][:, None]
        change = sae.encode(moved.flatten(0, 1)).view(len(chosen), len(x), -1).sub_(before).abs_().mul_(units)
        own = change.gather(2, chosen[:, None, None].expand(-1, len(x), 1))[..., 0]
        total = change.sum(2)
        specific.append(torch.where(total > 0, own / total.clamp_min(1e-30), 0).double().mean(1).cpu().numpy())
        others = (change >= MOVED).sum(2) - (own >= MOVED).long()
        collateral.append(others.double().mean(1).cpu().numpy())
    return pd.DataFrame({"latent": latents, "specificity": np.concatenate(specific), "collateral": np.concatenate(collateral)})
