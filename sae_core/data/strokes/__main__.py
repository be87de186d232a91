"""Print the measures of pictures, or validate the measures against the drawn world's ground truth."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from sae_core.data.images import decode
from sae_core.data.strokes.measures import measure
from sae_core.data.strokes.validate import validate
from sae_core.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sae_core.data.strokes", description=__doc__)
    parser.add_argument("pictures", nargs="*", help="files to measure; one JSON object a line")
    parser.add_argument("--rendering", choices=("sketch", "photo"), default="sketch", help="what the files are")
    parser.add_argument("--validate", action="store_true", help="print the table of agreement with the drawn world")
    parser.add_argument("--n", type=int, default=980, help="drawings to validate on")
    parser.add_argument("--seed", type=int, default=2007, help="the series of drawings")
    parser.add_argument("--size", type=int, nargs="*", default=[64, 224], help="widths of the drawings, pixels")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.n < 10:
            raise InputError(f"--n {chosen.n}: a rank correlation needs at least 10 drawings")
        if not chosen.pictures and not chosen.validate:
            raise InputError("nothing to do; give pictures, or --validate")
        began = time.process_time()
        for done, file in enumerate(chosen.pictures):
            print(json.dumps({"file": file, **asdict(measure(decode(file)[0], chosen.rendering))}))
            if not done:
                began = time.process_time()  # the first picture waits for a compiler
        if len(chosen.pictures) > 1:
            rate = (len(chosen.pictures) - 1) / (time.process_time() - began)
            print(f"{len(chosen.pictures):,} pictures measured, {rate:.0f} a second of processor time", file=sys.stderr)
        for size in chosen.size if chosen.validate else ():
            print(validate(chosen.n, chosen.seed, size).markdown(), end="\n\n")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
