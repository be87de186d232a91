"""The sparse activation store: written once by `collect`, read by everything that asks what a latent fires on."""
