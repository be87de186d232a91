"""Money: what a job will cost before it starts, and a cap that holds because every send is reserved before it leaves.

A reservation is an upper bound: all text, all pictures at the dearest token count seen or feared, the longest reply allowed.
What providers make of a picture differs fifty-fold, so until one reply has shown it requests go one at a time, and after
three the bound is what those three showed. A reply that cost more than was reserved raises the bound at once.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from sae_core.errors import InputError
from sae_core.interpret.vision.messages import Request

CALIBRATED = 3
IMAGE_TOKENS = (85, 1600)
"""Tokens a 384-pixel picture takes where it takes few (GPT-4o, low detail) and many (Claude); gpt-4o-mini counts 8500."""
CHARACTERS_A_TOKEN = (2.5, 4.5)
OVERHEAD_TOKENS = 60
SHORT_REPLY = 60
MARGIN = 1.1


@dataclass(frozen=True)
class Price:
    """USD per input token, per output token, per picture and per request."""

    token_in: float
    token_out: float
    image: float = 0.0
    request: float = 0.0

    def of(self, tokens_in: float, tokens_out: float, images: int) -> float:
        """USD for one request."""
        return tokens_in * self.token_in + tokens_out * self.token_out + images * self.image + self.request


FREE = Price(0.0, 0.0)


@dataclass(frozen=True)
class Size:
    """How large a request is: characters of text with its schema, pictures, and the longest reply in tokens."""

    characters: int
    images: int
    max_tokens: int

    @classmethod
    def of(cls, request: Request) -> Size:
        """The size of a request; a schema is billed as the text it is."""
        texts = [request.system, json.dumps(dict(request.schema)), *(part for part in request.parts if isinstance(part, str))]
        return cls(sum(len(text.encode()) for text in texts), request.images, request.max_tokens)

    def text_tokens(self, most: bool) -> float:
        """Tokens of its text, at most or at least."""
        return self.characters / CHARACTERS_A_TOKEN[0 if most else 1] + (OVERHEAD_TOKENS if most else 0)


def estimate(calls: Mapping[Size, int], price: Price, image_tokens: tuple[float, float] = IMAGE_TOKENS) -> tuple[float, float]:
    """USD for so many requests of each size, (low, high).

    low takes few tokens a picture and a short reply, high many and the longest reply. Each request counts once: a
    retry of a failed send is not billed as a rule, a repaired reply is, and the cap holds whatever happens.
    """
    low = sum(
        n * price.of(size.text_tokens(False) + size.images * image_tokens[0], min(SHORT_REPLY, size.max_tokens), size.images)
        for size, n in calls.items()
    )
    high = sum(
        n * price.of(size.text_tokens(True) + size.images * image_tokens[1], size.max_tokens, size.images)
        for size, n in calls.items()
    )
    return low, high


class Budget:
    """What may be spent, is spent, and is reserved for requests under way; thread-safe.

    Args:
        cap: USD, the most that may be spent.
        price: the model's; None when nobody names it.
        allow_unknown: with no price, go on: the cap then holds as far as the endpoint says what a reply cost.
        spent: USD that a job being resumed has spent before.

    Raises:
        InputError: a cap that is no amount; no price and no permission to do without.
    """

    def __init__(self, cap: float, price: Price | None, *, allow_unknown: bool = False, spent: float = 0.0) -> None:
        if not math.isfinite(cap) or cap < 0:
            raise InputError(f"cap: {cap} is no amount of money; give USD, 0 or more")
        if price is None and not allow_unknown:
            raise InputError(
                "the price of this model is not known, so no cap can hold; choose another, or allow an unknown price"
            )
        self.cap, self.price = cap, price
        self._spent, self._presumed, self._reserved = spent, 0.0, 0.0
        self._under_way = 0
        self._image_tokens: list[float] = []
        self._markups: list[float] = []
        self._replies, self._dearest = 0, 0.0
        self._changed = threading.Condition()

    @property
    def spent(self) -> float:
        """USD spent, `presumed` included."""
        return self._spent

    @property
    def presumed(self) -> float:
        """USD of `spent` that nobody confirmed: replies that were lost after they may have been made."""
        return self._presumed

    @property
    def reserved(self) -> float:
        """USD set aside for requests under way."""
        return self._reserved

    def reserve(self, size: Size) -> float | None:
        """Set aside the most a request can cost, in USD, or None when that would go beyond the cap.

        Waits while requests under way may still give something back, and for the first reply before a second request leaves.
        Whoever reserves must `settle` or `release`.
        """
        with self._changed:
            while True:
                most = self._most(size)
                learning = self._replies == 0 and most > 0
                fits = self._spent + self._reserved + most <= self.cap + 1e-12
                if not self._under_way or (fits and not learning):
                    break
                self._changed.wait()
            if not fits:
                return None
            self._reserved += most
            self._under_way += 1
            return most

    def settle(self, reserved: float, size: Size, tokens_in: int, tokens_out: int, told: float | None) -> float | None:
        """Book a reply that came; returns its USD (None: unknown) and learns from it.

        Args:
            reserved: what `reserve` gave for it.
            tokens_in, tokens_out: as counted by the endpoint, 0 where it does not.
            told: USD on the endpoint's bill; None when it gives none, and the price list decides.
        """
        with self._changed:
            listed = None
            if self.price is not None:
                listed = self.price.of(tokens_in, tokens_out, size.images) if tokens_in or tokens_out else reserved
            cost = told if told is not None else listed
            self._give_back(reserved)
            self._spent += cost or 0.0
            self._replies += 1
            self._dearest = max(self._dearest, cost or 0.0)
            if size.images and tokens_in:
                self._image_tokens.append(max(0.0, (tokens_in - size.text_tokens(False)) / size.images))
            if told is not None and listed and (tokens_in or tokens_out):
                self._markups.append(told / listed)
            return cost

    def lose(self, reserved: float) -> float:
        """Book a reply that was lost after it may have been made: what was reserved counts as spent."""
        with self._changed:
            self._give_back(reserved)
            self._spent += reserved
            self._presumed += reserved
            return reserved

    def release(self, reserved: float) -> None:
        """Give back what was reserved for a request that was not served."""
        with self._changed:
            self._give_back(reserved)

    def estimate(self, calls: Mapping[Size, int]) -> tuple[float, float] | None:
        """USD for so many requests of each size, (low, high), by what the replies so far showed; None without a price."""
        with self._changed:
            if self.price is None:
                return None
            seen = self._image_tokens
            tokens = (min(seen), max(seen)) if len(seen) >= CALIBRATED else IMAGE_TOKENS
            low, high = estimate(calls, self.price, tokens)
            if len(self._markups) >= CALIBRATED:
                return low * min(self._markups), high * max(self._markups)
            return low, high

    def _most(self, size: Size) -> float:
        if self.price is None:
            return self._dearest
        tokens = _bound(self._image_tokens, IMAGE_TOKENS[1])
        most = self.price.of(size.text_tokens(True) + size.images * tokens, size.max_tokens, size.images)
        return most * _bound(self._markups, 1.0)

    def _give_back(self, reserved: float) -> None:
        self._reserved = max(0.0, self._reserved - reserved)
        self._under_way -= 1
        if not self._under_way:
            self._reserved = 0.0  # what rounding left
        self._changed.notify_all()


def _bound(seen: list[float], feared: float) -> float:
    """The most to expect: what is feared until enough was seen, then the most that was seen and a tenth."""
    if len(seen) >= CALIBRATED:
        return max(seen) * MARGIN
    return max([feared, *(MARGIN * value for value in seen)])
