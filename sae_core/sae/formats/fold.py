"""Input scaling goes into the weights, for readers that know nothing of it, and comes back out of them.

A foreign reader computes one of two maps on raw embeddings, the second where a package subtracts its decoder bias first:

    plain     pre = x W_encᵀ + b_enc              x̂ = z W_dec + b_dec
    centred   pre = (x - b_dec) W_encᵀ + b_enc    x̂ = z W_dec + b_dec

Ours is u = (x - mean) · scale, pre = u W_encᵀ + b_enc, x̂ = (z W_dec + b_dec) / scale + mean. Both are the same map when
W_enc' = scale W_enc, W_dec' = W_dec / scale, b_dec' = b_dec / scale + mean, and every bias of the encoder moves by
W_enc' (c - mean), where c is what the reader subtracts: 0 or b_dec'. Pre-activations stay as they are, so codes and thresholds
do. A centred file is read back without any arithmetic: its b_dec is our mean.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sae_core.config import Architecture
from sae_core.sae.architectures import SAE


def folded(sae: SAE, centred: bool = False) -> dict[str, Tensor]:
    """The weights of the same map on raw embeddings, float32 [same names and shapes], computed in float64."""
    weights = {name: tensor.double().cpu() for name, tensor in sae.weights.items()}
    mean = sae.mean.double().cpu()
    out = dict(weights)
    out["W_enc"] = weights["W_enc"] * sae.scale
    out["W_dec"] = weights["W_dec"] / sae.scale
    # Rounded first: the reader subtracts the stored number, and the encoder's bias must match that one.
    out["b_dec"] = (weights["b_dec"] / sae.scale + mean).float()
    moved = out["W_enc"] @ ((out["b_dec"].double() if centred else 0) - mean)
    for name in weights.keys() & {"b_enc", "b_gate", "b_mag"}:
        # A gated dictionary's magnitudes see the pre-activation times e^r_mag.
        out[name] = weights[name] + moved * (weights["r_mag"].exp() if name == "b_mag" else 1.0)
    return {name: tensor.float() for name, tensor in out.items()}


def unfolded(
    architecture: Architecture, weights: Mapping[str, Tensor], centred: bool, scale: float = 1.0, encoder: str | None = None
) -> SAE:
    """The dictionary of a plain or centred file.

    Args:
        scale: what the reader multiplies raw embeddings with beforehand, and divides reconstructions by afterwards.

    Raises: InputError when the weights do not fit together, see `SAE`.
    """
    weights = dict(weights)
    mean = None
    if centred:
        mean = weights["b_dec"] / scale
        weights["b_dec"] = torch.zeros_like(weights["b_dec"])
    return SAE(architecture, weights, mean, scale, encoder)
