"""Sparse autoencoders: what they compute, how they are trained, how they are kept."""
