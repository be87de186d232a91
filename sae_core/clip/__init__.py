"""CLIP: any open_clip model as an encoder, prompts, the embed stage, the bundled demo model and what trained it."""
