"""The intruder test: four pictures on which a latent fires and one look-alike on which it does not. No label is shown.

A latent whose intruders are found can be read; a bad score of its label is then the label's fault. Chance is 20 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sae_core.interpret.vision import prompts
from sae_core.interpret.vision.messages import Answer, Failure, Request
from sae_core.interpret.vision.scores import LEAST_COVERAGE, wilson
from sae_core.interpret.vision.sets import Item

FIRING = 4
TRIALS = 5
CHANCE = 1 / (FIRING + 1)


@dataclass(frozen=True)
class Trial:
    """One request and the number, from 1, of the picture that does not belong."""

    request: Request
    intruder: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Intruders:
    """Share of intruders found, with Wilson's 95 % interval; None where `why` says what the answers lack.

    `shown` has a dict a trial: rows (of the activation store, in the order they were sent), intruder and answer (numbers from 1;
    no answer is None).
    """

    value: float | None
    ci_low: float | None
    ci_high: float | None
    coverage: float
    trials: int
    chance: float
    why: str
    shown: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for a record."""
        return asdict(self)


def intruder_trials(
    latent: int, items: Sequence[Item], png: Callable[[int], bytes], rng: np.random.Generator, max_tokens: int = 800
) -> list[Trial]:
    """Up to five trials out of the score set; no picture is in two of them.

    Args:
        latent: its id.
        items: the score set.
        png: the bytes of a row's picture.
        rng: for the choice and the orders.
        max_tokens: of a reply.
    """
    firing = [item for item in items if item.fires]
    near = [item for item in items if item.role == "near_miss"]
    count = min(TRIALS, len(firing) // FIRING, len(near))
    firing = [firing[i] for i in rng.permutation(len(firing))]
    near = [near[i] for i in rng.permutation(len(near))]
    trials = []
    for nth in range(count):
        five = [*firing[nth * FIRING : (nth + 1) * FIRING], near[nth]]
        order = rng.permutation(len(five)).tolist()
        parts: list[str | bytes] = [prompts.INTRUDER_HEAD]
        for number, place in enumerate(order, 1):
            parts += [prompts.image_line(number), png(five[place].row)]
        form = prompts.INTRUDER_FORM
        asked = Request("intruder", latent, prompts.INTRUDER, tuple(parts), "intruder", form, max_tokens, prompts.VERSION)
        trials.append(Trial(asked, order.index(FIRING) + 1, tuple(five[place].row for place in order)))
    return trials


def read_intruders(trials: Sequence[Trial], outcomes: Sequence[Answer | Failure]) -> Intruders:
    """The share of trials whose intruder was found; a number that was not shown is no answer."""
    answers = [_answer(outcome) for outcome in outcomes]
    hits = [answer == trial.intruder for trial, answer in zip(trials, answers, strict=True) if answer is not None]
    shown = tuple(
        {"rows": list(trial.rows), "intruder": trial.intruder, "answer": answer}
        for trial, answer in zip(trials, answers, strict=True)
    )
    coverage = len(hits) / len(trials) if trials else 0.0
    if not trials:
        return Intruders(None, None, None, 0.0, 0, CHANCE, "there is no near-miss to take for an intruder")
    if coverage < LEAST_COVERAGE:
        why = f"{len(hits)} of {len(trials)} trials were answered; a score needs {100 * LEAST_COVERAGE:.0f} %"
        return Intruders(None, None, None, coverage, len(hits), CHANCE, why, shown)
    low, high = wilson(sum(hits), len(hits))
    return Intruders(sum(hits) / len(hits), low, high, coverage, len(hits), CHANCE, "", shown)


def _answer(outcome: Answer | Failure) -> int | None:
    if not isinstance(outcome, Answer) or not 1 <= outcome.data["intruder"] <= FIRING + 1:
        return None
    return int(outcome.data["intruder"])
