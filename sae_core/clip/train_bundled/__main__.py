"""`python -m sae_core.clip.train_bundled --out DIR [--steps N | --minutes M] [--seed S] [--device D] [--threads T]`"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from sae_core.clip.encoder import load_encoder, resolve_device
from sae_core.clip.train_bundled.card import held_out, write_card
from sae_core.clip.train_bundled.loop import Recipe, train
from sae_core.data import drawn
from sae_core.errors import SaeLabError
from sae_core.progress import Lines

RECIPE = Recipe()
HELD_OUT_IMAGES = 4000


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, test on held-out drawings, write the model card; returns the exit code."""
    parser = argparse.ArgumentParser("python -m sae_core.clip.train_bundled", description="Train the bundled demo model.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the open_clip model")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=RECIPE.steps, help="optimiser steps (default: %(default)s)")
    length.add_argument("--minutes", type=float, help="as many steps as fit, instead of --steps")
    parser.add_argument("--scenes", type=int, default=RECIPE.scenes, help="scenes drawn to learn from (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's)")
    chosen = parser.parse_args(arguments)
    # open_clip warns that the model starts without weights, which is the point here.
    logging.getLogger().setLevel(logging.ERROR)
    if chosen.threads is not None:
        torch.set_num_threads(chosen.threads)
    try:
        device = resolve_device(chosen.device)
        recipe = dataclasses.replace(RECIPE, steps=chosen.steps, scenes=chosen.scenes, seed=chosen.seed)
        steps, seconds = train(chosen.out, recipe, device, Lines(), chosen.minutes)
        encoder = load_encoder(f"local-dir:{chosen.out}", device=chosen.device)
        results = {name: held_out(encoder, name, HELD_OUT_IMAGES, chosen.seed) for name in drawn.RENDERINGS}
    except SaeLabError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    # The steps made, not the minutes given: that is what reproduces the weights.
    command = f"python -m sae_core.clip.train_bundled --out DIR --steps {steps} --scenes {recipe.scenes} --seed {recipe.seed}"
    write_card(chosen.out, recipe, command, steps, seconds, device, encoder, results)
    for name, result in results.items():
        print(f"{name}: accuracy {result.accuracy:.4f} on {result.n} held-out drawings", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
