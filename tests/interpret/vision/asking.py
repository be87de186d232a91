"""A question, a form and a client for the tests of the transport."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sae_core.interpret.vision.budget import Budget, Price
from sae_core.interpret.vision.calls import CallCache
from sae_core.interpret.vision.client import Client
from sae_core.interpret.vision.endpoint import Endpoint
from sae_core.interpret.vision.messages import Request
from sae_core.interpret.vision.secrets import Secret
from tests.interpret.vision.loopback import PRICED, Loopback

FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "confidence": {"type": "integer"}},
    "required": ["label", "confidence"],
    "additionalProperties": False,
}
GOOD = {"label": "parallel lines", "confidence": 80}
CANARY = "sk-or-v1-canary-0123456789abcdef"
PRICE = Price(1e-6, 4e-6)
MODEL = str(PRICED["id"])


def question(latent: int = 0, text: str = "what is this?", image: bytes = b"a picture") -> Request:
    """A request with one picture."""
    return Request("explain", latent, "You name pictures.", (f"{text} {latent}", image), "name", FORM, 500, "1")


class Waits(list[float]):
    """A sleep that only notes how long it was to be."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def asking(
    server: Loopback,
    *,
    calls: CallCache | None = None,
    budget: Budget | None = None,
    openrouter: bool = True,
    timeout: float = 5.0,
    sleep: Any = None,
) -> Client:
    """A client of a loopback server that passes for OpenRouter unless told otherwise; it does not really wait."""
    endpoint = replace(Endpoint.parse(server.url), openrouter=openrouter)
    budget = Budget(1.0, PRICE) if budget is None else budget
    sleep = Waits() if sleep is None else sleep
    key, rng = Secret(CANARY), np.random.default_rng(0)
    client = Client(endpoint, MODEL, key, calls, budget, timeout=timeout, sleep=sleep, rng=rng)
    server.closing.append(client.close)
    return client
