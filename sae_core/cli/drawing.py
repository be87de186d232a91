"""`steer --decoder`: what was steered as pictures, with the strip, in a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sae_core.errors import InputError, Unavailable
from sae_core.pipeline import Run, plan
from sae_core.progress import Lines
from sae_core.store import Inputs, write_atomic

if TYPE_CHECKING:
    from sae_core.steer.subject import Control

FOLDER = Path("steered")
SINGLE: dict[str, Control] = {"unsteered": "none", "steered": "edited", "random": "random"}


def check_options(args: argparse.Namespace) -> None:
    """Refuse, before anything is made, an unknown decoder and options that go nowhere. Raises InputError."""
    if args.decoder is None:
        given = [f"--{name}" for name in ("out", "fetch", "offload") if getattr(args, name)]
        if given:
            raise InputError(f"{', '.join(given)}: these belong to --decoder ID; give it, or leave them out")
        return
    from sae_core.steer.decoders.catalogue import find_decoder

    if args.scan:
        raise InputError("--scan rates every latent and draws nothing; leave out --decoder")
    find_decoder(args.decoder)
    if args.out is not None and args.out.exists() and not args.out.is_dir():
        raise InputError(f"--out {args.out}: this is a file; give a folder")


def draw(args: argparse.Namespace, made: Run) -> dict[str, Any]:
    """Draw the unsteered image, the steered one, a random direction as far, and the strip of the first edited latent.

    Returns: `decoder`, `files`; where memory ran out `files` is empty and `reason` says so: the artifact holds the recipe.
    Raises: InputError for a decoder of another CLIP, Unavailable when it is not here and may not be fetched.
    """
    import numpy as np

    from sae_core.steer.decoders.catalogue import find_decoder
    from sae_core.steer.decoders.draw import NotDrawn
    from sae_core.steer.pictures import picture
    from sae_core.steer.scene import SteeringScene
    from sae_core.steer.strip import drawn_strip, sweep_of
    from sae_core.steer.strip_files import STRIP_FILES, encoded
    from sae_core.steer.subject import steered_to

    parents = plan(made.config)["steer"].parents
    scene = SteeringScene.open(Inputs({role: made.outcomes[node].path for role, node in parents.items()}))
    done = made.load("steer")
    subject, recipe, decoder = scene.subject(int(done.result["row"])), done.recipe, find_decoder(args.decoder)
    maxima = scene.maxima(recipe)
    kinds = list(SINGLE.values())
    single = [steered_to(subject.x, recipe, scene.sae, maxima, control) for control in kinds]
    swept = sweep_of(subject, recipe.edits[0].latent, recipe, scene) if recipe.edits else None
    rows = np.stack(single) if swept is None else np.concatenate([np.stack(single), swept.points, swept.random])
    drawn = picture(rows, recipe, scene.sae, decoder, device=args.device, offload=args.offload, fetch=args.fetch, report=Lines())
    if isinstance(drawn, NotDrawn):
        return {"decoder": decoder.id, "files": [], "reason": drawn.reason}
    out = args.out or FOLDER
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"cannot make {out}: {error.strerror}; give another folder with --out") from None
    content = {"recipe.json": drawn.recipe.to_json().encode()}
    for name, control in SINGLE.items():
        at = kinds.index(control)
        content[f"{name}.png"] = encoded(drawn.pictures[at])
        if drawn.svgs is not None:
            content[f"{name}.svg"] = drawn.svgs[at].encode()
    if swept is not None:
        n = len(single)
        strip = drawn_strip(swept, drawn.pictures[n:], decoder.id, None if drawn.svgs is None else drawn.svgs[n:])
        content |= {f"strip.{ending}": write(strip) for ending, write in STRIP_FILES.items()}
    for file, data in content.items():
        write_atomic(out / file, data)
    return {"decoder": decoder.id, "files": [str(out / file) for file in content]}
