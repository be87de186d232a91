"""The contrastive loss: CLIP's softmax over cosines, with more than one right answer.

In the drawn world many images of a batch share a class, a caption or a primitive. Calling only one's own caption right would
push equals apart, so each row's target is a distribution over everything that is true of it (as in supervised contrastive
learning, Khosla et al. 2020, arXiv:2004.11362, form L_out), and CLIP's own one-hot target is the case of a single truth.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def multi_positive(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of softmax(logits) against each row of `truth` scaled to sum 1, averaged over rows that have any truth.

        L = mean_a - sum_b (t_ab / sum_b' t_ab') log softmax(l_a)_b

    Args:
        logits: [a, b].
        truth: [a, b], >= 0.

    Returns:
        A scalar, 0 when no row has any truth.
    """
    mass = truth.sum(dim=1, keepdim=True)
    some = mass[:, 0] > 0
    target = truth / mass.clamp_min(1e-12)
    rows = -(target * F.log_softmax(logits, dim=1)).sum(dim=1)
    return (rows * some).sum() / some.sum().clamp_min(1)


def both_ways(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """`multi_positive` from images to texts and from texts to images, averaged: CLIP's symmetric loss."""
    return (multi_positive(logits, truth) + multi_positive(logits.T, truth.T)) / 2


def spread(embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean squared cosine between embeddings of different classes: 0 when orthogonal, 1 / rank when they share few dimensions.

    Without it the towers stop at the dozen dimensions that suffice to tell the classes apart, and a dictionary of such embeddings
    has nothing to take apart. A quadratic form of uniformity (Wang and Isola 2020, arXiv:2005.10242).

    Args:
        embeddings: [n, d], any length.
        labels: [n].
    """
    unit = F.normalize(embeddings, dim=1)
    other = (labels[:, None] != labels[None]).float()
    return ((unit @ unit.T).square() * other).sum() / other.sum().clamp_min(1)
