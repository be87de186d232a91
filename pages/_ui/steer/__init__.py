"""The steer page: what is steered, the sliders, what they do, the strip, recipes, generators."""
