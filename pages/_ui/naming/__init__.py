"""The Interpret page in parts: how to name and what it costs, the names as a table, one latent's test, a person's label."""
