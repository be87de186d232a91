"""The Hugging Face Hub, by its own client: a publication goes up in one commit, and comes back with equal hashes."""
