"""The sections of the zero-shot page: what is chosen, and one file for each view of it."""
