"""Trains the bundled stroke decoder on the drawn world: `python -m sae_core.steer.train_strokes --out DIR`."""
