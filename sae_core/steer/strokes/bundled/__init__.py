"""The bundled stroke decoder's weights; see MODEL_CARD.md beside this file."""
