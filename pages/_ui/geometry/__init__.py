"""The sections of the geometry page: verdicts on latents, one latent's measures, and the domain-shift map."""
