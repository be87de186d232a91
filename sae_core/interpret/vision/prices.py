"""Which models an endpoint has that see pictures, and their prices: asked of the endpoint itself, never a list of our own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sae_core.errors import Unavailable
from sae_core.interpret.records import clean
from sae_core.interpret.vision.budget import FREE, Price
from sae_core.interpret.vision.endpoint import Endpoint, connect
from sae_core.interpret.vision.reply import error_message, loads
from sae_core.interpret.vision.secrets import Secret, redact, without_key

TIMEOUT = 20.0


@dataclass(frozen=True)
class VisionModel:
    """A model of an endpoint.

    Attributes:
        id, name: what it is asked by, and called.
        price_in, price_out: USD per token; None where the endpoint names none, or a price that varies.
        price_image, price_request: USD per picture and request, beside the tokens.
        context: tokens it takes in all; None where not said.
        structured: the endpoint says that it keeps to a JSON schema.
    """

    id: str
    name: str
    price_in: float | None
    price_out: float | None
    price_image: float
    price_request: float
    context: int | None
    structured: bool

    @property
    def price(self) -> Price | None:
        """Its price, or None when it is not known."""
        if self.price_in is None or self.price_out is None:
            return None
        return Price(self.price_in, self.price_out, self.price_image, self.price_request)


def models(endpoint: Endpoint, key: Secret | None, timeout: float = TIMEOUT) -> list[VisionModel]:
    """The endpoint's models that take pictures, by name.

    Where an endpoint does not say what its models take (most local servers), all are listed. A local server that names
    no price costs nothing.

    Raises:
        Unavailable: it cannot be reached, refuses, or answers with something that is no list of models.
    """
    content = _get(endpoint, key, timeout)
    rows = content.get("data") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        what = error_message(content["error"]) if isinstance(content, dict) and content.get("error") else "no list of models"
        raise Unavailable(f"{endpoint.host}/models gave {redact(what, key)}; check the endpoint's address")
    return sorted(_vision(rows, endpoint.loopback, key), key=lambda model: (model.name.lower(), model.id))


def price_of(model: str, endpoint: Endpoint, key: Secret | None) -> Price | None:
    """The price of one model by its id, or None when the endpoint names none.

    Raises:
        Unavailable: the list cannot be had, or there is no such model that takes pictures.
    """
    found = {one.id: one for one in models(endpoint, key)}
    if model not in found:
        raise Unavailable(f"{endpoint.host} lists no model {clean(model)!r} that takes pictures; choose one of its {len(found)}")
    return found[model].price


def _get(endpoint: Endpoint, key: Secret | None, timeout: float) -> Any:
    import httpx2
    import openai

    try:
        with connect(endpoint, key, timeout) as http:
            response = http.get("/models", cast_to=httpx2.Response)
            return loads(response.text)
    except openai.APIStatusError as error:
        said = redact(error.response.text, key)
        raise Unavailable(f"{endpoint.host}/models answers {error.status_code}: {said}; check the address and the key") from None
    except (openai.OpenAIError, httpx2.HTTPError) as error:
        what = redact(f"{type(error.__cause__ or error).__name__}: {error.__cause__ or error}", key)
        raise Unavailable(
            f"{endpoint.host} cannot be reached ({what}); check the address, or name latents with --method clip"
        ) from None
    except ValueError:
        raise Unavailable(f"{endpoint.host}/models is no list of models but a page; check the endpoint's address") from None


def _vision(rows: list[Any], loopback: bool, key: Secret | None) -> Iterator[VisionModel]:
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("id"), str) or not row["id"]:
            continue
        architecture = row.get("architecture")
        takes = architecture.get("input_modalities") if isinstance(architecture, dict) else None
        if isinstance(takes, list) and "image" not in takes:
            continue
        named = row.get("pricing")
        pricing = named if isinstance(named, dict) else {}
        free = FREE if loopback and named is None else None
        context, can = row.get("context_length"), row.get("supported_parameters")
        yield VisionModel(
            id=row["id"],
            name=clean(without_key(str(row.get("name") or row["id"]), key)),
            price_in=free.token_in if free else _usd(pricing.get("prompt")),
            price_out=free.token_out if free else _usd(pricing.get("completion")),
            price_image=_usd(pricing.get("image")) or 0.0,
            price_request=_usd(pricing.get("request")) or 0.0,
            context=context if isinstance(context, int) and not isinstance(context, bool) and context > 0 else None,
            structured=isinstance(can, list) and "structured_outputs" in can,
        )


def _usd(text: Any) -> float | None:
    """A price as the endpoint writes it (USD in a string); None when it is none, or -1: it varies."""
    try:
        value = float(text) if isinstance(text, (str, int, float)) and not isinstance(text, bool) else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
