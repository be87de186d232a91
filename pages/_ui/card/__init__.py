"""The parts of a latent's card, as the latent page shows them one below the other."""
