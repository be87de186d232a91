"""Geometry against semantics: does a latent follow strokes within a class, or class beyond strokes? Start at `verdicts`."""
