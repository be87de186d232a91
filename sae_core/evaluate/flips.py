"""Why an image flips: the latents and the residual that move it from one class to another, to the last digit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sae_core.evaluate.metrics import FLOATS, unit
from sae_core.evaluate.zero_shot import ZeroShot
from sae_core.sae.architectures import SAE

SHOWN = 5
"""Latents listed for each image."""
BLOCK = 1024


def flipped(
    sae: SAE,
    zero_shot: ZeroShot,
    images: NDArray[np.int64],
    weights: NDArray[np.float32],
    embeddings: Callable[[NDArray[np.int64]], NDArray[np.float32]],
) -> pd.DataFrame:
    """Every image that x and x̂ are taken for different classes of, with what moved it.

    With w = t̂_sae - t̂_clip, the difference of the two classes' unit text directions, and e = x - x̂ the residual,

        w·x̂ = w·b + Σ_j z_j w·D_j >= 0 >= w·x = w·x̂ + w·e

    so latent j pushes by z_j w·D_j towards the class that x̂ is taken for, and w·e < 0 is what was lost with the residual.

    Args:
        sae: the dictionary.
        zero_shot: the comparison of x with x̂.
        images: int64 [zero_shot.n], id of each image compared.
        weights: float32 [C, d], text directions.
        embeddings: raw embeddings of images compared, by their place in `zero_shot`.

    Returns: DataFrame image, label, pred_clip, pred_sae, kind ("lost": only x is right; "gained": only x̂; "changed": neither),
        margin_clip (w·x), margin_sae (w·x̂), bias (w·b), residual (w·e), latents and pushes (lists of at most 5, the largest
        |push| first). Margins and pushes are in the unit of raw embeddings.
    """
    places = np.flatnonzero(zero_shot.clip != zero_shot.sae)
    directions = unit(weights).astype(np.float64)
    parts = []
    for start in range(0, len(places), BLOCK):
        block = places[start : start + BLOCK]
        w = directions[zero_shot.sae[block]] - directions[zero_shot.clip[block]]
        parts.append(_explained(sae, embeddings(block), w))
    clip, after, labels = zero_shot.clip[places], zero_shot.sae[places], zero_shot.labels[places]
    kind = np.where(clip == labels, "lost", np.where(after == labels, "gained", "changed"))
    table = pd.DataFrame(
        {"image": images[places], "label": labels, "pred_clip": clip, "pred_sae": after, "kind": kind.astype(object)}
    )
    for name in ("margin_clip", "margin_sae", "bias", "residual"):
        table[name] = np.concatenate([part[name].to_numpy() for part in parts]) if parts else np.zeros(0)
    for name in ("latents", "pushes"):
        table[name] = pd.Series([value for part in parts for value in part[name]], dtype=object)
    return table


def _explained(sae: SAE, x: NDArray[np.float32], w: NDArray[np.float64]) -> pd.DataFrame:
    """The parts of w·x of each row, for raw embeddings [n, d] and one w a row, [n, d]."""
    indices, values = sae.encode_sparse(x)
    dictionary = sae.decoder_raw.detach().cpu().numpy()
    pushes = np.empty(values.shape, dtype=np.float64)
    step = max(1, FLOATS // (indices.shape[1] * sae.d))
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        pushes[rows] = values[rows] * np.einsum("nkd,nd->nk", dictionary[indices[rows]].astype(np.float64), w[rows])
    bias = w @ sae.bias_raw.detach().cpu().numpy().astype(np.float64)
    margin_clip = np.einsum("nd,nd->n", x.astype(np.float64), w)
    margin_sae = bias + pushes.sum(axis=1)
    order = np.argsort(-np.abs(np.where(values > 0, pushes, 0.0)), axis=1, kind="stable")[:, :SHOWN]
    chosen = [[(int(indices[i, j]), float(pushes[i, j])) for j in row if values[i, j] > 0] for i, row in enumerate(order)]
    return pd.DataFrame(
        {
            "margin_clip": margin_clip,
            "margin_sae": margin_sae,
            "bias": bias,
            "residual": margin_clip - margin_sae,
            "latents": [[latent for latent, _ in row] for row in chosen],
            "pushes": [[push for _, push in row] for row in chosen],
        }
    )
