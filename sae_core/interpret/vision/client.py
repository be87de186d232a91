"""Asking a vision model: cache, reservation, send, retries, validation, one repair; an answer or a failure, never an exception.

cached reply? -> reserve the money -> send -> book what it cost -> read -> fits the schema? -> keep
A send that may work later is tried again (4 in all), a reply that does not fit is sent back once.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sae_core.errors import InputError
from sae_core.interpret.vision.budget import Budget, Size
from sae_core.interpret.vision.calls import CallCache, call_key
from sae_core.interpret.vision.endpoint import Endpoint, connect
from sae_core.interpret.vision.messages import Answer, Failure, Request
from sae_core.interpret.vision.reply import Reply, Trouble, Usage, conform, loads, of_status, read, retry_after
from sae_core.interpret.vision.secrets import Secret, redact, without_key

__all__ = ["Answer", "Client", "Failure", "Request"]

TRIES = 4
TIMEOUT = 90.0
LONGEST_WAIT = 120.0
FIRST_WAIT = 0.5
MAX_BODY = 4_000_000
MAX_QUOTED = 4000
UNREACHABLE = 5
_ABOUT_SCHEMA = re.compile(r"response_format|json_schema|structured|guided|grammar", re.IGNORECASE)


@dataclass(frozen=True)
class _Dialect:
    """How a plain endpoint wants it, as its refusals tell. OpenRouter is asked for routes that take everything instead."""

    schema_in_words: bool = False
    limit: str = "max_tokens"

    def after(self, refusal: str) -> _Dialect:
        """What to speak after a refusal that names a parameter there is another way for; else the same."""
        if "max_completion_tokens" in refusal:
            return replace(self, limit="max_completion_tokens")
        return replace(self, schema_in_words=True) if _ABOUT_SCHEMA.search(refusal) else self


@dataclass
class _Bill:
    """What the sends for one request have come to."""

    tries: int = 0
    cost: float = 0.0
    known: bool = True
    tokens_in: int = 0
    tokens_out: int = 0

    def add(self, cost: float | None, usage: Usage) -> None:
        self.cost += cost or 0.0
        self.known = self.known and cost is not None
        self.tokens_in += usage.tokens_in
        self.tokens_out += usage.tokens_out


class Client:
    """A vision model that can be asked from several threads.

    Args:
        endpoint, model, key: whom to ask; a local server may need no key.
        calls: where replies are kept; None keeps none.
        budget: what may be spent.
        retries: sends in all for one message.
        timeout: seconds for a whole reply.
        sleep: waits between sends (at most 120 s); may raise to end a wait, no money is reserved then.
        rng: spreads the waits.

    Raises:
        InputError: no model, or no key for an endpoint that is not local.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        key: Secret | None,
        calls: CallCache | None,
        budget: Budget,
        *,
        retries: int = TRIES,
        timeout: float = TIMEOUT,
        sleep: Callable[[float], object] = time.sleep,
        rng: np.random.Generator | None = None,
    ) -> None:
        if not model:
            raise InputError("no vision model is chosen; pick one from the endpoint's list")
        if key is None and not endpoint.loopback:
            raise InputError(f"no API key for {endpoint.host}; set SAE_LAB_VISION_KEY or OPENROUTER_API_KEY (OpenRouter alone)")
        assert retries >= 1
        self.endpoint, self.model, self.budget, self.calls = endpoint, model, budget, calls
        self._key, self._retries, self._timeout, self._sleep = key, retries, timeout, sleep
        self._rng = np.random.default_rng() if rng is None else rng
        self._lock = threading.Lock()
        self._stopped: Failure | None = None
        self._unreachable = 0
        self._dialect = _Dialect()
        self._http = connect(endpoint, key, timeout)

    def ask(self, request: Request) -> Answer | Failure:
        """Ask once: the kept reply, a new one, or why there is none.

        After a failure that `stops`, every later question that is not kept fails with the same reason, unsent.
        """
        key = call_key(self.endpoint, self.model, request)
        if self.calls is not None and (kept := self.calls.get(key)) is not None:
            return kept
        with self._lock:
            if self._stopped is not None:
                return replace(self._stopped, cost=0.0, tries=0)
        bill = _Bill()
        found = self._conversation(request, bill)
        found = self._reached(found)
        if isinstance(found, Answer):
            if self.calls is not None:
                self.calls.put(key, self.endpoint, request, found)
            return found
        failure = Failure(found.kind, redact(found.message, self._key), found.stops, bill.cost, bill.tries)
        if failure.stops:
            with self._lock:
                self._stopped = self._stopped or failure
        return failure

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _reached(self, found: Answer | Trouble) -> Answer | Trouble:
        """A server that is gone fails every request, so after five in a row the job stops and can be resumed."""
        gone = isinstance(found, Trouble) and found.kind in ("connection", "timeout", "server")
        with self._lock:
            self._unreachable = self._unreachable + 1 if gone else 0
            if isinstance(found, Trouble) and self._unreachable >= UNREACHABLE:
                message = f"{found.message}; {self._unreachable} requests in a row failed so: resume when the endpoint is back"
                return replace(found, stops=True, message=message)
        return found

    # ---------------------------------------------------------------- one request

    def _conversation(self, request: Request, bill: _Bill) -> Answer | Trouble:
        """The question, and once more if the reply is of no use: with the reply quoted and its fault named."""
        more: list[dict[str, Any]] = []
        while True:
            reply = self._reply(request, more, bill)
            trouble = reply if isinstance(reply, Trouble) else conform(reply.text, request.schema, self._key)
            if isinstance(trouble, dict):
                assert isinstance(reply, Reply)
                served = redact(reply.model or self.model, self._key)
                provider = None if reply.provider is None else redact(reply.provider, self._key)
                cost = bill.cost if bill.known else None
                tokens = (bill.tokens_in, bill.tokens_out)
                return Answer(trouble, self.model, served, provider, cost, *tokens, False, bill.tries)
            if more or trouble.kind not in ("malformed", "schema", "no_content"):
                return trouble
            if isinstance(reply, Reply):
                more.append({"role": "assistant", "content": without_key(reply.text, self._key)[:MAX_QUOTED]})
            schema = json.dumps(dict(request.schema))
            again = f"That cannot be used ({redact(trouble.message, self._key)}). {_IN_WORDS}{schema}"
            more.append({"role": "user", "content": again})

    def _reply(self, request: Request, more: list[dict[str, Any]], bill: _Bill) -> Reply | Trouble:
        """Send until a reply comes, the tries are used up, or trying again is of no use."""
        left, dialect = self._retries, self._dialect
        while True:
            found = self._once(request, more, bill, dialect)
            if isinstance(found, Reply):
                return found
            if found.kind in ("bad_request", "server") and not self.endpoint.openrouter:
                wanted = dialect.after(found.message)
                if wanted != dialect:
                    dialect = self._dialect = wanted
                    continue
            left -= 1
            if not found.retry or not left:
                return found
            if found.wait is not None and found.wait > LONGEST_WAIT:
                when = f"in {found.wait:.0f} s" if math.isfinite(found.wait) else "later"
                return replace(found, stops=True, message=f"{found.message}; it asks to come back {when}: resume then")
            with self._lock:
                spread = float(self._rng.uniform(0.5, 1.5))
            wait = FIRST_WAIT * 2 ** (self._retries - left - 1) * spread
            self._sleep(min(LONGEST_WAIT, max(wait, found.wait or 0.0)))

    def _once(self, request: Request, more: list[dict[str, Any]], bill: _Bill, dialect: _Dialect) -> Reply | Trouble:
        """One send, its money reserved before and booked after."""
        size = Size.of(request)
        size = replace(size, characters=size.characters + sum(len(message["content"].encode()) for message in more))
        reserved = self.budget.reserve(size)
        if reserved is None:
            return Trouble("over_cap", f"the next request could go beyond the cap of ${self.budget.cap:.2f}", stops=True)
        bill.tries += 1
        try:
            found = self._send(self._body(request, more, dialect))
        except BaseException:
            bill.add(self.budget.lose(reserved), Usage())
            raise
        if isinstance(found, Trouble) and not found.served:
            self.budget.release(reserved)
        elif isinstance(found, Trouble) and found.usage == Usage():
            bill.add(self.budget.lose(reserved), Usage())
        else:
            usage = found.usage
            bill.add(self.budget.settle(reserved, size, usage.tokens_in, usage.tokens_out, usage.cost), usage)
        return found

    # ---------------------------------------------------------------- one send

    def _send(self, content: Mapping[str, Any]) -> Reply | Trouble:
        import httpx2
        import openai

        until = time.monotonic() + self._timeout
        body = bytearray()
        try:
            # As `extra_body`, since the client would walk every message through its types: two thirds of a call's work here.
            create = self._http.chat.completions.with_streaming_response.create
            with create(model=self.model, messages=(), extra_body=content) as response:
                for chunk in response.iter_bytes():
                    body += chunk
                    # The client's own timeout is for the next byte; a server that sends one now and then never meets it.
                    if time.monotonic() > until:
                        return _late(self._timeout)
                    if len(body) > MAX_BODY:
                        return Trouble("too_long", f"the reply is longer than {MAX_BODY // 1_000_000} MB", served=True)
        except openai.APIStatusError as error:
            return _status(error)
        except openai.APIConnectionError as error:  # timeouts are among them
            return _broken(error.__cause__ or error, self._timeout)
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            return _broken(error, self._timeout)
        except openai.OpenAIError as error:
            return Trouble("connection", f"no reply could be read: {error}", retry=True, served=True)
        return read(bytes(body))

    def _body(self, request: Request, more: list[dict[str, Any]], dialect: _Dialect) -> dict[str, Any]:
        schema = dict(request.schema)
        system = f"{request.system}\n\n{_IN_WORDS}{json.dumps(schema)}" if dialect.schema_in_words else request.system
        messages = [{"role": "system", "content": system}, {"role": "user", "content": [_part(p) for p in request.parts]}, *more]
        body: dict[str, Any] = {"model": self.model, "messages": messages, dialect.limit: request.max_tokens}
        if not dialect.schema_in_words:
            form = {"name": request.schema_name, "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        if self.endpoint.openrouter:
            # Without it a route that cannot do structured output drops the schema in silence.
            body["provider"] = {"require_parameters": True}
        return body


_IN_WORDS = "Reply with one JSON object and nothing else; it must fit this JSON schema: "


def _part(part: str | bytes) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(part).decode()}}


def _status(error: Any) -> Trouble:
    """An HTTP error status: what stands in its body decides as well."""
    response = error.response
    said: Any = response.text.strip()
    with contextlib.suppress(ValueError):  # a proxy's page or plain text is quoted as it stands
        said = loads(said)
    if isinstance(said, dict):
        said = said.get("error", said.get("detail", said))
    return of_status(response.status_code, said, retry_after(response.headers))


def _broken(error: BaseException, timeout: float) -> Trouble:
    """A connection that failed: before anything was sent nothing can have been served."""
    import httpx2

    unsent = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError, httpx2.UnsupportedProtocol)
    if isinstance(error, httpx2.TimeoutException):
        return replace(_late(timeout), served=not isinstance(error, unsent))
    what = f"the connection failed ({type(error).__name__}: {error})"
    return Trouble("connection", what, retry=True, served=not isinstance(error, unsent))


def _late(timeout: float) -> Trouble:
    return Trouble("timeout", f"no whole reply within {timeout:.0f} s", retry=True, served=True)
