"""The seed project's `sae_final.pt`: the state dict of two linear layers with a ReLU between, no bias subtracted before."""

from __future__ import annotations

from pathlib import Path

from sae_core.config import ReluL1
from sae_core.sae.architectures import SAE
from sae_core.sae.formats.files import Format, named, read_state_dict, theirs, write_pickle
from sae_core.sae.formats.fold import folded, unfolded

SEED = "sae_final.pt"
NAMES = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "decoder.weight", "b_dec": "decoder.bias"}


def _matches(file: Path) -> bool:
    return file.name == SEED


def _read(file: Path) -> SAE:
    return unfolded(ReluL1(), named(read_state_dict(file), NAMES, "the seed project's file"), centred=False)


def _write(sae: SAE, file: Path) -> None:
    write_pickle(theirs(folded(sae), NAMES), file)


SEED_PROJECT = Format("seed", (SEED,), ("relu_l1",), _matches, _read, _write)
