"""The bundled demo model's files, an open_clip `local-dir:` model; see MODEL_CARD.md beside this file."""
