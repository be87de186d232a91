"""Drawings as parametric strokes: cubic curves, their tokens, and a small decoder from the bundled CLIP's embedding to them."""
