"""What a dictionary costs CLIP: reconstruction, zero-shot accuracy and caption recall on held-out images."""
