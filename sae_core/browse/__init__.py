"""Looking through a dictionary: the table of latents and its filters, marks, cards, search, reading a picture, the map."""
