"""Write a contact sheet of every class in both renderings, and print how many drawings a second were made."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sae_core.errors import InputError

from .batch import draw
from .compose import CLASSES, scene
from .model import RENDERINGS
from .rasterise import render


def contact_sheet(seed: int, each: int, cell: int, labels: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Return an RGB sheet: a row for every class, `each` sketches and then the same `each` scenes as photos.

    Args:
        seed: the series.
        each: how many scenes a class.
        cell: width of a picture on the sheet, pixels.
        labels: which classes.
    """
    name_width = 110
    sheet = np.full((len(labels) * (cell + 4), name_width + 2 * each * (cell + 4), 3), 200, dtype=np.uint8)
    for row, label in enumerate(labels):
        y = row * (cell + 4)
        cv2.putText(sheet, CLASSES[label], (4, y + cell // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        for column in range(2 * each):
            item = scene(seed, label + len(CLASSES) * (column % each))
            picture = render(item, RENDERINGS[column // each])
            if picture.ndim == 2:
                picture = np.repeat(picture[..., None], 3, axis=2)
            x = name_width + column * (cell + 4)
            sheet[y : y + cell, x : x + cell] = cv2.resize(picture, (cell, cell), interpolation=cv2.INTER_CUBIC)
    return sheet


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sae_core.data.drawn", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("sheet.png"), help="where the PNG goes")
    parser.add_argument("--seed", type=int, default=0, help="the series of drawings")
    parser.add_argument("--each", type=int, default=6, help="scenes a class")
    parser.add_argument("--cell", type=int, default=96, help="width of a picture on the sheet, pixels")
    parser.add_argument("--classes", nargs="*", default=list(CLASSES), help="which classes (default: all)")
    chosen = parser.parse_args(arguments)
    try:
        unknown = [name for name in chosen.classes if name not in CLASSES]
        if unknown:
            raise InputError(f"class {unknown[0]!r} is unknown: choose from {', '.join(CLASSES)}")
        if chosen.each < 1 or chosen.cell < 8:
            raise InputError(f"--each {chosen.each} --cell {chosen.cell}: ask for at least 1 scene, at least 8 pixels wide")
        labels = [CLASSES.index(name) for name in chosen.classes]
        sheet = contact_sheet(chosen.seed, chosen.each, chosen.cell, labels)
        if not cv2.imwrite(str(chosen.out), sheet[..., ::-1]):
            raise InputError(f"cannot write {chosen.out}: choose a folder that exists and a name that ends in .png")
        rates = [f"{rendering} {_rate(rendering, chosen.seed):,.0f}/s" for rendering in RENDERINGS]
    except (InputError, cv2.error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{chosen.out}: {len(labels)} classes; drawings on one core: {', '.join(rates)}")
    return 0


def _rate(rendering: str, seed: int) -> float:
    """Return drawings per second of processor time on one core, scene, caption and pixels together, 20 of every class."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        draw(len(CLASSES), seed, rendering, keep_scenes=False)  # fills the banks
        n = 20 * len(CLASSES)
        started = time.process_time()
        draw(n, seed, rendering, keep_scenes=False)
        return n / (time.process_time() - started)
    finally:
        cv2.setNumThreads(threads)


if __name__ == "__main__":
    sys.exit(main())
