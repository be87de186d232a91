"""From an embedding to a picture: what a decoder is, and pretrained ones through `diffusers`. Start at `decoder`, `draw`."""
