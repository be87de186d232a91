"""Trains the bundled demo model on the drawn world: `python -m sae_core.clip.train_bundled --out DIR`."""
