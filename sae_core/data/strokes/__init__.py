"""Stroke measures of any line drawing, real or drawn: lines, curves, corners, junctions, loops, hatching, dots and the pen.

`data/drawn/truth.py` has the definitions; the drawn world's counts validate them (`python -m sae_core.data.strokes --validate`).
"""

from __future__ import annotations

from sae_core.data.strokes.measures import Strokes, Traced, measure, trace
from sae_core.data.strokes.stage import StrokeTable, run

strokes = measure
"""The name `measure` has in the public API."""

__all__ = ["StrokeTable", "Strokes", "Traced", "measure", "run", "strokes", "trace"]
