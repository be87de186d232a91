"""Asking for a name: pictures on which a latent fires beside those on which it is silent, and what the model makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sae_core.interpret.records import clean
from sae_core.interpret.vision import prompts
from sae_core.interpret.vision.messages import Request
from sae_core.interpret.vision.sets import Item

MAX_EXPLANATION = 300


@dataclass(frozen=True)
class Verdict:
    """What a model says of a latent; texts are single lines. `confidence` is its own, 0 to 100, and no score."""

    interpretable: bool
    polysemantic: bool
    label: str
    explanation: str
    counterevidence: str
    confidence: int


def explain_request(latent: int, items: Sequence[Item], png: Callable[[int], bytes], max_tokens: int) -> Request:
    """The contrastive question for a name.

    Args:
        latent: its id.
        items: the explain set, firing pictures first; strengths are shown from 1 to 10, relative to the strongest.
        png: the bytes of a row's picture.
        max_tokens: of the reply.
    """
    most = max((item.value for item in items), default=0.0)
    parts: list[str | bytes] = [prompts.EXPLAIN_HEAD]
    for number, item in enumerate(items, 1):
        strength = max(1, round(10 * item.value / most)) if item.fires else 0
        parts += [prompts.explain_line(number, strength), png(item.row)]
    form = prompts.EXPLAIN_FORM
    return Request("explain", latent, prompts.EXPLAIN, tuple(parts), "explanation", form, max_tokens, prompts.VERSION)


def read_verdict(data: dict[str, Any]) -> Verdict:
    """A reply that fits the form, as a verdict."""
    return Verdict(
        interpretable=bool(data["interpretable"]),
        polysemantic=bool(data["polysemantic"]),
        label=clean(data["label"]),
        explanation=clean(data["explanation"], MAX_EXPLANATION),
        counterevidence=clean(data["counterevidence"], MAX_EXPLANATION),
        confidence=min(100, max(0, int(data["confidence"]))),
    )
