"""API keys: read from the environment or a field, shown to nobody, and cut out of every text that leaves this package."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import quote

from sae_core.errors import InputError
from sae_core.interpret.vision.endpoint import Endpoint

OPENROUTER_VARIABLE = "OPENROUTER_API_KEY"
OWN_VARIABLE = "SAE_LAB_VISION_KEY"
REMOVED = "[key removed]"
MAX_MESSAGE = 300
_LOOKS_LIKE_A_KEY = re.compile(r"\bsk-[A-Za-z0-9_\-]{8,}")


class Secret:
    """An API key that no repr, str, format, pickle or traceback shows.

    >>> Secret("sk-or-v1-not-a-key")
    Secret(***)

    Raises:
        InputError: it is empty, or has spaces, line breaks or characters beyond ASCII (a client sends no such header).
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not value:
            raise InputError("the API key is empty: paste it whole, or leave the field alone")
        if any(not "!" <= character <= "~" for character in value):
            raise InputError("the API key has a space, a line break or a character beyond ASCII: paste it again without them")
        self._value = value

    def reveal(self) -> str:
        """The key itself, for the header of a request and nothing else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("an API key is not written down: it cannot be pickled or copied")


def key_for(endpoint: Endpoint, environment: Mapping[str, str] | None = None) -> Secret | None:
    """The key the environment holds for an endpoint, or None.

    `SAE_LAB_VISION_KEY` is for whichever endpoint is configured; `OPENROUTER_API_KEY` goes to OpenRouter alone.

    Raises: InputError when it has characters no key has.
    """
    environment = os.environ if environment is None else environment
    for variable in (OWN_VARIABLE, *((OPENROUTER_VARIABLE,) if endpoint.openrouter else ())):
        if value := environment.get(variable, "").strip():
            return Secret(value)
    return None


def without_key(text: str, key: Secret | None = None) -> str:
    """`text` without `key` (as it is, or quoted for JSON or a link) and without anything of a key's form (`sk-...`)."""
    if key is not None:
        value = key.reveal()
        # A server may quote the header back in JSON or in a link.
        for form in {value, json.dumps(value)[1:-1], quote(value, safe="")}:
            text = text.replace(form, REMOVED)
    return _LOOKS_LIKE_A_KEY.sub(REMOVED, text)


def redact(text: str, key: Secret | None = None) -> str:
    """`text` as one line of at most 300 characters, without `key` or anything that looks like one."""
    text = without_key(text, key)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1].rstrip() + "…"
