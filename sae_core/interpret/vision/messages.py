"""What is asked of a vision model and what comes of it: an answer that fits its schema, or a failure with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Purpose = Literal["explain", "detect", "intruder"]


@dataclass(frozen=True)
class Request:
    """One question about one latent.

    Attributes:
        purpose: which step of the protocol asks.
        latent: whom it is about; kept beside a reply, no part of its key.
        system: the instruction.
        parts: texts and PNG bytes in the order the model sees them, a text first.
        schema_name: the name of the reply's form, letters, digits, _ and -.
        schema: its JSON schema: an object, all properties required, none additional.
        max_tokens: the longest reply that is paid for.
        prompt_version: changes whenever the wording does.
    """

    purpose: Purpose
    latent: int
    system: str
    parts: tuple[str | bytes, ...]
    schema_name: str
    schema: Mapping[str, Any]
    max_tokens: int
    prompt_version: str

    @property
    def images(self) -> int:
        """How many pictures are sent."""
        return sum(isinstance(part, bytes) for part in self.parts)


@dataclass(frozen=True)
class Answer:
    """A reply that fits the schema.

    Attributes:
        data: the reply, validated; its texts are single lines without control characters.
        model_asked, model_served: who was asked and who says to have answered.
        provider: which company ran it, where the endpoint says so.
        cost: USD for every send it took; None where neither the endpoint's bill nor its price list tells.
        tokens_in, tokens_out: of every send it took; 0 where the endpoint does not count.
        cached: read from the call cache, so nothing was sent and nothing paid now.
        tries: sends that it took.
    """

    data: dict[str, Any]
    model_asked: str
    model_served: str
    provider: str | None
    cost: float | None
    tokens_in: int
    tokens_out: int
    cached: bool
    tries: int


Kind = Literal[
    "error_in_200",
    "html",
    "empty",
    "not_a_reply",
    "no_choices",
    "no_content",
    "length",
    "malformed",
    "schema",
    "refused",
    "bad_request",
    "not_found",
    "redirect",
    "auth",
    "credits",
    "forbidden",
    "timeout",
    "rate",
    "server",
    "connection",
    "too_long",
    "over_cap",
]


@dataclass(frozen=True)
class Failure:
    """No usable reply. It is recorded as a failure and never as a name or a score.

    Attributes:
        kind: what went wrong last.
        message: one line for the user, without the key.
        stops: the next request would fail the same way: the whole job ends here and can be resumed.
        cost: USD spent on it all the same; what a lost reply may have cost counts in full.
        tries: sends that were made.
    """

    kind: Kind
    message: str
    stops: bool
    cost: float
    tries: int = 0
