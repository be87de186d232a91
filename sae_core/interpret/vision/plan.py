"""What a job will ask before it asks anything: requests, pictures, tokens, money, and what will leave this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sae_core.errors import InputError
from sae_core.interpret.vision.budget import Budget, Price, Size, estimate
from sae_core.interpret.vision.endpoint import Endpoint
from sae_core.interpret.vision.pictures import MAX_SIDE
from sae_core.interpret.vision.protocol import Interview
from sae_core.interpret.vision.sets import Sets
from sae_core.interpret.vision.shown import Shown

TYPICAL_LABEL = "x" * 40


@dataclass(frozen=True)
class Plan:
    """An upper bound of a job by its counts: as if every latent got a name to test and no reply were kept from before.

    Attributes:
        host, model: who is asked. `loopback`: it is on this machine, so nothing leaves it.
        latents: how many are asked about; `lacking` fire on too few (or too many) pictures and cost nothing.
        requests: how many; `pictures` are sent with them, `distinct` of them different, `domains` how many of each domain.
        tokens_in, tokens_out: (low, high).
        cost: USD (low, high); None when nobody names a price.
        cap: USD.
    """

    host: str
    model: str
    loopback: bool
    latents: int
    lacking: int
    requests: int
    pictures: int
    distinct: int
    domains: Mapping[str, int]
    tokens_in: tuple[int, int]
    tokens_out: tuple[int, int]
    cost: tuple[float, float] | None
    cap: float

    @property
    def leaves(self) -> str:
        """What will leave this machine, in one sentence."""
        of = ", ".join(f"{count:,} of {domain}" for domain, count in self.domains.items())
        if self.loopback:
            return f"Nothing leaves this machine: {self.host} is on it. {self.distinct:,} images are shown to it ({of})."
        return (
            f"{self.distinct:,} images will leave this machine for {self.host} ({of}), as PNG of at most {MAX_SIDE} pixels "
            "without file names or metadata, with the names that are tested."
        )

    def lines(self) -> list[str]:
        """The plan in sentences, what leaves the machine first."""
        price = "unknown: nobody names this model's price"
        if self.cost is not None:
            price = f"${self.cost[0]:.2f} to ${self.cost[1]:.2f}; no request is sent that could go beyond ${self.cap:.2f}"
        return [
            self.leaves,
            f"{self.requests:,} requests to {self.model} about {self.latents:,} latents with {self.pictures:,} pictures in all; "
            f"{self.lacking:,} latents fire on too few distinct pictures to be asked about.",
            f"Tokens: {self.tokens_in[0]:,} to {self.tokens_in[1]:,} in, {self.tokens_out[0]:,} to {self.tokens_out[1]:,} out.",
            f"Price: {price}.",
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the sentence of what leaves the machine."""
        return {**asdict(self), "leaves": self.leaves}


def make_plan(
    sets: Sequence[Sets], interview: Interview, shown: Shown, endpoint: Endpoint, model: str, price: Price | None, cap: float
) -> Plan:
    """Count what the interviews of latents with these sets will take. No picture is opened, nobody is asked.

    Raises: InputError when no picture is there to be shown.
    """
    if not shown.rows.any():
        raise InputError("these images have embeddings but no pictures, and a vision model needs pictures; use --method clip")
    able = [one for one in sets if not one.lacking]
    # All latents have sets of the same sizes, so one stands for all.
    requests = interview.requests(able[0], TYPICAL_LABEL) if able else []
    calls = Counter(Size.of(request) for request in requests)
    calls = Counter({size: count * len(able) for size, count in calls.items()})
    rows = np.unique([item.row for one in able for item in (*one.explain, *one.score)]).astype(np.int64)
    tokens_in, tokens_out = (estimate(calls, Price(*unit)) for unit in ((1.0, 0.0), (0.0, 1.0)))
    return Plan(
        host=endpoint.host,
        model=model,
        loopback=endpoint.loopback,
        latents=len(able),
        lacking=len(sets) - len(able),
        requests=sum(calls.values()),
        pictures=sum(size.images * count for size, count in calls.items()),
        distinct=len(rows),
        domains=shown.domains(rows),
        tokens_in=(round(tokens_in[0]), round(tokens_in[1])),
        tokens_out=(round(tokens_out[0]), round(tokens_out[1])),
        cost=None if price is None else Budget(cap, price).estimate(calls),
        cap=cap,
    )
