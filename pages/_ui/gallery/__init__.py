"""The gallery in parts: what is asked for and its link, the controls, and each of the ways in which latents are shown."""
