"""`python -m sae_core.steer.train_strokes --out DIR [--work DIR] [--steps N] [--scenes N] [--seed S] [--threads T]`"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from sae_core.clip.encoder import load_encoder
from sae_core.errors import SaeLabError
from sae_core.progress import Lines
from sae_core.steer.strokes.decoder import WEIGHTS, StrokeDecoder, read_model, write_model
from sae_core.steer.train_strokes.card import write_card
from sae_core.steer.train_strokes.gate import read_classes
from sae_core.steer.train_strokes.loop import CHECKPOINT, Recipe, begin, load_checkpoint, run
from sae_core.steer.train_strokes.pool import draw_pool, train_seed

RECIPE = Recipe()


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the pool, train, write weights and card; returns the exit code."""
    parser = argparse.ArgumentParser("python -m sae_core.steer.train_strokes", description="Train the bundled stroke decoder.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights and their card")
    parser.add_argument("--work", type=Path, help="folder for drawings and the checkpoint; a later call goes on from there")
    parser.add_argument("--steps", type=int, default=RECIPE.steps, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--scenes", type=int, default=RECIPE.scenes, help="scenes drawn to learn from (default: %(default)s)")
    parser.add_argument("--width", type=int, default=RECIPE.width, help="of the network (default: %(default)s)")
    parser.add_argument("--layers", type=int, default=RECIPE.layers, help="of the network (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=RECIPE.lr, help="learning rate (default: %(default)s)")
    parser.add_argument("--noise", type=float, default=RECIPE.noise, help="on embeddings, of their norm (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's)")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw (default: %(default)s)")
    parser.add_argument(
        "--finish", action="store_true", help="write the checkpoint's averaged weights as they are, train no more"
    )
    parser.add_argument("--held-out", type=int, default=1080, help="drawings it is tested on (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    if chosen.threads is not None:
        torch.set_num_threads(chosen.threads)
    work: Path = chosen.work or chosen.out / "work"
    recipe = dataclasses.replace(
        RECIPE, **{name: getattr(chosen, name) for name in ("steps", "scenes", "seed", "width", "layers", "lr", "noise")}
    )
    try:
        checkpoint = work / CHECKPOINT
        pool = draw_pool(work / "pool", recipe.scenes, train_seed(recipe.seed), Lines(), chosen.workers)
        training = load_checkpoint(checkpoint, recipe) if checkpoint.is_file() else begin(pool, recipe)
        if not chosen.finish:
            run(training, pool, Lines(), checkpoint)
        chosen.out.mkdir(parents=True, exist_ok=True)
        weights = chosen.out / WEIGHTS.name
        write_model(training.average, weights)
        decoder = StrokeDecoder(read_model(weights), load_encoder(device="cpu"))
        result = read_classes(decoder, chosen.held_out, recipe.seed, Lines())
    except SaeLabError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    write_card(weights, decoder.model, decoder.encoder, recipe, training.step, training.seconds, result)
    print(f"class read back {result.drawn:.3f} of {result.real:.3f} on {result.n} held-out drawings", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
