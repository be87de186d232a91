"""Testing a name by detection: does a model that reads it pick the held-out pictures on which the latent fires?

Pictures come in requests of at most eight, in two shuffled orders; nobody says how many of them fire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sae_core.interpret.vision import prompts
from sae_core.interpret.vision.messages import Answer, Failure, Request
from sae_core.interpret.vision.scores import Judged
from sae_core.interpret.vision.sets import Item

ORDERS = 2


@dataclass(frozen=True)
class Batch:
    """One request, and the places in the score set of the pictures it shows, in its order."""

    request: Request
    places: tuple[int, ...]


def detect_batches(
    latent: int,
    label: str,
    items: Sequence[Item],
    png: Callable[[int], bytes],
    rng: np.random.Generator,
    *,
    size: int = 8,
    max_tokens: int = 800,
) -> list[Batch]:
    """The requests that show every picture of the score set twice, each time in another random order.

    Args:
        latent: its id.
        label: the name to be tested.
        items: the score set.
        png: the bytes of a row's picture.
        rng: for the orders.
        size: pictures a request.
        max_tokens: of a reply.
    """
    batches = []
    for _ in range(ORDERS):
        order = rng.permutation(len(items)).tolist()
        for start in range(0, len(order), size):
            places = tuple(order[start : start + size])
            parts: list[str | bytes] = [prompts.detect_head(label)]
            for number, place in enumerate(places, 1):
                parts += [prompts.image_line(number), png(items[place].row)]
            form = prompts.DETECT_FORM
            asked = Request("detect", latent, prompts.DETECT, tuple(parts), "detection", form, max_tokens, prompts.VERSION)
            batches.append(Batch(asked, places))
    return batches


def read_detection(
    items: Sequence[Item], batches: Sequence[Batch], outcomes: Sequence[Answer | Failure]
) -> tuple[list[Judged], float | None]:
    """What was said of every picture, and on what share of those answered in both orders the orders agree (None: none).

    A number that was not shown, one that is given twice and a confidence outside 0 to 100 are no answers. Where the two orders
    disagree, the mean confidence decides (fits from 50).
    """
    said: list[list[tuple[bool, float]]] = [[] for _ in items]
    for batch, outcome in zip(batches, outcomes, strict=True):
        if isinstance(outcome, Failure):
            continue
        answers = outcome.data["answers"]
        numbers = [answer["image"] for answer in answers]
        for answer in answers:
            number, confidence = answer["image"], answer["confidence"]
            if 1 <= number <= len(batch.places) and numbers.count(number) == 1 and 0 <= confidence <= 100:
                said[batch.places[number - 1]].append((bool(answer["fits"]), float(confidence)))
    twice = [one for one in said if len(one) == ORDERS]
    agreement = sum(len({fits for fits, _ in one}) == 1 for one in twice) / len(twice) if twice else None
    return [_judged(item, one) for item, one in zip(items, said, strict=True)], agreement


def _judged(item: Item, said: Sequence[tuple[bool, float]]) -> Judged:
    if not said:
        return Judged(item.row, item.fires, None, float("nan"))
    confidence = sum(sure for _, sure in said) / len(said)
    verdicts = {fits for fits, _ in said}
    return Judged(item.row, item.fires, verdicts.pop() if len(verdicts) == 1 else confidence >= 50, confidence)
