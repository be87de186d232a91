"""Text towers by the id that embeddings carry, loaded once."""

from __future__ import annotations

from sae_core.clip.encoder import Encoder, load_encoder
from sae_core.errors import InputError, Unavailable


class Towers:
    """Text towers by encoder id, loaded once."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._loaded: dict[str, Encoder] = {}

    def of(self, encoder_id: str) -> Encoder:
        """The encoder that an id such as `bundled/v1` or `ViT-B-32/openai` names.

        Raises: Unavailable when it cannot be found by this id, its weights are not here and cannot be fetched, or are another
            version's.
        """
        if encoder_id not in self._loaded:
            model, _, tag = encoder_id.partition("/")
            if model == "local-dir":
                raise Unavailable(
                    f"{encoder_id} was read from a folder that the embeddings do not remember, so its texts are not here"
                )
            if model.startswith("hf-hub:"):
                model, tag = encoder_id, ""
            try:
                loaded = load_encoder(model, None if model == "bundled" else tag or None, self._device)
            except InputError as error:
                raise Unavailable(f"the texts of {encoder_id} are not here: {error}") from None
            if loaded.id != encoder_id:
                raise Unavailable(
                    f"the embeddings were made by {encoder_id}, here is {loaded.id}; embed them again to use its texts"
                )
            self._loaded[encoder_id] = loaded
        return self._loaded[encoder_id]
