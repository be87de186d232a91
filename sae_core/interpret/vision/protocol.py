"""One latent through the protocol: name, detection, intruder test, and the record of it.

explain set -> verdict -> (with a label) detection on the score set;   score set -> intruder test
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from sae_core.config import VisionConfig
from sae_core.interpret.vision import prompts
from sae_core.interpret.vision.detect import Batch, detect_batches, read_detection
from sae_core.interpret.vision.explain import Verdict, explain_request, read_verdict
from sae_core.interpret.vision.intruder import Intruders, Trial, intruder_trials, read_intruders
from sae_core.interpret.vision.job import Record, Stopped
from sae_core.interpret.vision.messages import Answer, Failure, Request
from sae_core.interpret.vision.scores import LEAST_BALANCED, Detection, detection
from sae_core.interpret.vision.sets import Item, SetMaker, Sets

ORDER_SEED, INTRUDER_SEED, BOOTSTRAP_SEED = 1, 2, 3


class Asks(Protocol):
    """Whoever answers requests, such as `client.Client`."""

    def ask(self, request: Request) -> Answer | Failure: ...


class Halted(Exception):
    """A failure that ends the whole job, on its way out of a latent."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass
class Bill:
    """What a record took: models, tokens, and USD (None as soon as one reply's cost is unknown)."""

    cost: float | None = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    calls: int = 0
    asked: list[str] = field(default_factory=list)
    served: list[str] = field(default_factory=list)
    providers: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, outcome: Answer | Failure) -> None:
        """Count one outcome. A cached reply counts with what it cost when it was made."""
        self.calls += 1
        if outcome.cost is None or self.cost is None:
            self.cost = None
        else:
            self.cost += outcome.cost
        if isinstance(outcome, Failure):
            self.failures.append(f"{outcome.kind}: {outcome.message}")
            return
        self.tokens_in += outcome.tokens_in
        self.tokens_out += outcome.tokens_out
        for seen, name in ((self.asked, outcome.model_asked), (self.served, outcome.model_served)):
            if name not in seen:
                seen.append(name)
        if outcome.provider and outcome.provider not in self.providers:
            self.providers.append(outcome.provider)

    def to_json(self) -> dict[str, Any]:
        """The fields of a record."""
        return {
            "model_asked": ", ".join(self.asked) or None,
            "model_served": ", ".join(self.served) or None,
            "provider": ", ".join(self.providers) or None,
            "prompt_version": prompts.VERSION if self.calls else None,
            "cost": self.cost,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "calls": self.calls,
        }


class Interview:
    """Names and tests latents with one model; may be used by several threads."""

    def __init__(
        self,
        client: Asks,
        maker: SetMaker,
        png: Callable[[int], bytes],
        config: VisionConfig,
        seed: int,
        slots: AbstractContextManager[Any] | None = None,
    ) -> None:
        """
        Args:
            client: who answers.
            maker: draws the sets.
            png: the bytes of a row's picture.
            config: sizes and limits.
            seed: for orders, intruders and the bootstrap.
            slots: entered for every question, such as a semaphore that bounds how many are under way.
        """
        self.client, self.maker, self.png, self.config, self.seed = client, maker, png, config, seed
        self._slots = nullcontext() if slots is None else slots

    def record(self, latent: int, over: Callable[[], bool] = lambda: False) -> Record | Failure:
        """The record of a latent, or the failure that ends the job. Raises Stopped when `over` says so."""
        sets = self.maker.sets(latent)
        if sets.lacking:
            return _record(latent, "insufficient_data", sets.lacking, Bill(), sets, None, None, None)
        bill = Bill()
        ask = self._asker(bill, over)
        try:
            replied = ask(explain_request(latent, sets.explain, self.png, self.config.max_tokens))
            verdict = read_verdict(replied.data) if isinstance(replied, Answer) else None
            found = None
            if verdict is not None and verdict.label and (verdict.interpretable or verdict.polysemantic):
                found = self._detection(latent, verdict.label, sets.score, ask)
            intruders = self._intruders(latent, sets.score, ask) if verdict is not None and self.config.intruder else None
        except Halted as halted:
            return halted.failure
        status, reason = _status(verdict, found, bill.failures)
        return _record(latent, status, reason, bill, sets, verdict, found, intruders)

    def detection(self, latent: int, label: str) -> tuple[Detection, Bill] | Failure | str:
        """How well any label tells the latent's held-out pictures, what it took, or why there is no score (a text)."""
        sets, bill = self.maker.sets(latent), Bill()
        if sets.lacking:
            return sets.lacking
        try:
            return self._detection(latent, label, sets.score, self._asker(bill, lambda: False)), bill
        except Halted as halted:
            return halted.failure

    def requests(self, sets: Sets, label: str) -> list[Request]:
        """Every request that a latent with these sets takes when its name is `label`."""
        if sets.lacking:
            return []
        first = explain_request(sets.latent, sets.explain, self.png, self.config.max_tokens)
        rest = [batch.request for batch in self._batches(sets.latent, label, sets.score)]
        trials = self._trials(sets.latent, sets.score) if self.config.intruder else []
        return [first, *rest, *(trial.request for trial in trials)]

    def _asker(self, bill: Bill, over: Callable[[], bool]) -> Callable[[Request], Answer | Failure]:
        def ask(request: Request) -> Answer | Failure:
            with self._slots:
                if over():
                    raise Stopped
                outcome = self.client.ask(request)
            if isinstance(outcome, Failure) and outcome.stops:
                raise Halted(outcome)
            bill.add(outcome)
            return outcome

        return ask

    def _rng(self, latent: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, latent, purpose])

    def _batches(self, latent: int, label: str, items: Sequence[Item]) -> list[Batch]:
        size, longest = self.config.detection_batch, self.config.max_tokens
        return detect_batches(latent, label, items, self.png, self._rng(latent, ORDER_SEED), size=size, max_tokens=longest)

    def _trials(self, latent: int, items: Sequence[Item]) -> list[Trial]:
        return intruder_trials(latent, items, self.png, self._rng(latent, INTRUDER_SEED), self.config.max_tokens)

    def _detection(self, latent: int, label: str, items: Sequence[Item], ask: Callable[[Request], Answer | Failure]) -> Detection:
        batches = self._batches(latent, label, items)
        judged, agreement = read_detection(items, batches, [ask(batch.request) for batch in batches])
        return detection(judged, agreement, self._rng(latent, BOOTSTRAP_SEED))

    def _intruders(self, latent: int, items: Sequence[Item], ask: Callable[[Request], Answer | Failure]) -> Intruders:
        trials = self._trials(latent, items)
        return read_intruders(trials, [ask(trial.request) for trial in trials])


def _status(verdict: Verdict | None, found: Detection | None, failures: Sequence[str]) -> tuple[str, str]:
    """Status and its reason. A name is `ok` only when the model stands by it and it predicts held-out pictures."""
    if verdict is None:
        return "failed", failures[0]
    if verdict.polysemantic:
        return "polysemantic", "the model sees two or more kinds of picture that have nothing in common"
    if not verdict.interpretable:
        return "uninterpretable", "the model finds no description that tells firing from silent pictures"
    if not verdict.label:
        return "failed", "the model calls it interpretable but gives no label"
    assert found is not None
    if found.value is None:
        return "failed", "; ".join([f"its name could not be tested: {found.why}", *failures[:1]])
    if not found.passes:
        told = f"balanced accuracy {found.value:.2f}, from {found.ci_low:.2f}"
        return (
            "uninterpretable",
            f"the name does not predict held-out pictures: {told} ({LEAST_BALANCED} is needed, above chance)",
        )
    return "ok", f"balanced accuracy {found.value:.2f} on held-out pictures"


def _record(
    latent: int,
    status: str,
    reason: str,
    bill: Bill,
    sets: Sets,
    verdict: Verdict | None,
    found: Detection | None,
    intruders: Intruders | None,
) -> Record:
    label = verdict.label if verdict is not None and verdict.label else None
    return {
        "latent": latent,
        "status": status,
        "label": label if status == "ok" else None,
        "candidate": label,
        "reason": reason,
        "explanation": verdict.explanation if verdict is not None else None,
        "counterevidence": verdict.counterevidence if verdict is not None else None,
        "confidence": verdict.confidence if verdict is not None else None,
        "scores": {
            "detection": None if found is None else found.to_json(),
            "intruder": None if intruders is None else intruders.to_json(),
        },
        "shown": _by_role(sets.explain),
        "scored": _by_role(sets.score),
        **bill.to_json(),
    }


def _by_role(items: Sequence[Item]) -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for item in items:
        out.setdefault(item.role, []).append(item.row)
    return out
