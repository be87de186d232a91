"""What a training learns from: the training rows of its domains, and the device to learn on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sae_core.errors import InputError
from sae_core.sae.batches import Pool
from sae_core.store import Inputs

HELD_OUT, MOST_HELD_OUT = 0.1, 2048
"""Share of the training rows, and the most of them, on which the best weights are chosen."""


@dataclass(frozen=True)
class Rows:
    """Training and test rows of all domains, the near-duplicate group of each training row, and their encoder."""

    train: Pool
    test: Pool
    groups: NDArray[np.int64]
    encoder: str


def training_rows(inputs: Inputs) -> Rows:
    """The rows of the domains in `inputs`: `manifest:<domain>` and `embed:<domain>` of each domain to train on.

    Raises: InputError when domains differ in width or encoder.
    """
    from sae_core.clip.embed import Embeddings
    from sae_core.data.manifest import Manifest

    train, test, groups = [], [], []
    width, encoder = 0, ""
    for place, (domain, folder) in enumerate(inputs.domains("embed").items()):
        embeddings, manifest = Embeddings.load(folder), Manifest.load(inputs[f"manifest:{domain}"])
        if place and (embeddings.d, embeddings.encoder) != (width, encoder):
            raise InputError(
                f"domain {domain}: embeddings of {embeddings.encoder} ({embeddings.d} wide) cannot be trained on together with "
                f"those of {encoder} ({width} wide); choose sae.domains"
            )
        width, encoder = embeddings.d, embeddings.encoder
        images = np.asarray(embeddings.images, dtype=np.int64)
        training = np.zeros(manifest.n, dtype=bool)
        training[manifest.split_rows("train")] = True
        rows = np.flatnonzero(training[images])
        train.append((embeddings, rows))
        test.append((embeddings, np.flatnonzero(~training[images])))
        # Groups are numbered within a manifest; pairing with the domain keeps two domains' numbers apart.
        groups.append(manifest.table["group"].to_numpy(np.int64)[images[rows]] * len(inputs.paths) + place)
    return Rows(Pool(train, width), Pool(test, width), np.concatenate(groups), encoder)


def pick_device(name: str) -> torch.device:
    """The torch device of a runtime's name; `auto` is CUDA where there is one, never Apple's MPS, which has no sparse kernels.

    Raises: InputError on one that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise InputError(f"device {name!r} is not available here; use cpu or auto") from None
    return device
