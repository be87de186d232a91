"""What a drawing is once it stands in the frame: strokes, a class and the true counts of its primitives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from sae_core.errors import InputError

PRIMITIVES: tuple[str, ...] = ("lines", "curves", "corners", "junctions", "loops", "hatching", "dots")
RENDERINGS: tuple[str, ...] = ("sketch", "photo")
VERSION: int = 1  # raise it when any picture, count or caption changes; pictures also depend on the version of OpenCV

KINDS: tuple[str, ...] = ("line", "arc", "curve", "polyline", "dot")


@dataclass(frozen=True, slots=True, eq=False)
class Stroke:
    """One stroke of the pen.

    Attributes:
        points: float32 [n, 2] in the frame [0, 1]^2, x to the right, y down; neighbours are to be joined.
        width: ink width as a fraction of the frame; 0 means an area that has colour in a photo but no ink.
        kind: "line", "arc", "curve", "polyline" or "dot" (a dot is an outline to be inked solid).
        closed: whether the last point is joined to the first.
        part: which part of the object it belongs to; a part has one colour in a photo-like picture.
        filled: whether the area it bounds is solid (an open filled stroke is closed by a straight line for that).
    """

    points: npt.NDArray[np.float32]
    width: float
    kind: str
    closed: bool
    part: int
    filled: bool


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One object, placed in the frame.

    Attributes:
        label: index into `CLASSES`, or -1 for a planted primitive.
        name: the class, or the kind of primitive.
        strokes: in painter's order, the farthest first.
        counts: how many there are of each of `PRIMITIVES` (see `truth` for the definitions).
        seed, index: what it was made from; a photo-like picture and a caption draw their chance from them too.
    """

    label: int
    name: str
    strokes: tuple[Stroke, ...]
    counts: dict[str, int]
    seed: int = 0
    index: int = 0

    def caption(self, rendering: str = "sketch", generator: np.random.Generator | None = None) -> str:
        """Return a sentence that names the class and primitives; without a generator always the same one."""
        from .captions import caption  # captions knows what a Scene is

        return caption(self, rendering, generator)

    def svg(self, size: int = 256) -> str:
        """Return the strokes as an SVG document, black ink on white, shown `size` pixels wide."""
        body = []
        for stroke in self.strokes:
            if stroke.width <= 0:
                continue
            steps = " L".join(f"{x * 100:.2f} {y * 100:.2f}" for x, y in stroke.points.tolist())
            data = f"M{steps}{' Z' if stroke.closed else ''}"
            if stroke.kind == "dot":
                body.append(f'<path d="{data}" fill="#000" stroke="none"/>')
            else:
                body.append(f'<path d="{data}" stroke-width="{stroke.width * 100:.2f}"/>')
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" width="{size}" height="{size}">'
            f'<title>{escape(self.name)}</title><rect width="100" height="100" fill="#fff"/>'
            f'<g fill="none" stroke="#000" stroke-linecap="round" stroke-linejoin="round">{"".join(body)}</g></svg>'
        )

    def to_json(self) -> str:
        """Return the scene as JSON; `from_json` gives back exactly the same geometry."""
        strokes = [
            {
                "points": s.points.astype(np.float64).tolist(),
                "width": s.width,
                "kind": s.kind,
                "closed": s.closed,
                "part": s.part,
                "filled": s.filled,
            }
            for s in self.strokes
        ]
        return json.dumps(
            {
                "version": VERSION,
                "label": self.label,
                "name": self.name,
                "seed": self.seed,
                "index": self.index,
                "counts": self.counts,
                "strokes": strokes,
            }
        )

    @staticmethod
    def from_json(text: str) -> Scene:
        """Read what `to_json` wrote.

        Raises:
            InputError: the text is not JSON, or not a scene.
        """
        try:
            raw = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"scene is not JSON: {error}; write it with Scene.to_json") from None
        try:
            strokes = tuple(_stroke(s) for s in raw["strokes"])
            counts = {name: int(raw["counts"][name]) for name in PRIMITIVES}
            return Scene(int(raw["label"]), str(raw["name"]), strokes, counts, int(raw["seed"]), int(raw["index"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"scene JSON is damaged: {error!r}; write it with Scene.to_json") from None


def _stroke(raw: dict[str, Any]) -> Stroke:
    points = np.asarray(raw["points"], dtype=np.float32)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2 or not np.isfinite(points).all():
        raise ValueError("a stroke needs points [n, 2], n >= 2, all finite")
    if raw["kind"] not in KINDS:
        raise ValueError(f"kind {raw['kind']!r} is none of {', '.join(KINDS)}")
    return Stroke(points, float(raw["width"]), str(raw["kind"]), bool(raw["closed"]), int(raw["part"]), bool(raw["filled"]))
