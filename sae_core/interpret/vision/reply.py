"""What a server sent, read with distrust: in the order reply type, error, choices, the choice's error, content, schema.

The body is read as bytes and not through the client's own types, which take anything: there a 200 that holds an error
raises nothing, HTML becomes a string, and an empty body is a JSONDecodeError.
"""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sae_core.interpret.records import clean
from sae_core.interpret.vision.messages import Kind
from sae_core.interpret.vision.schema import fault
from sae_core.interpret.vision.secrets import Secret, without_key

MAX_TEXT = 10_000
_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*?)\n?\s*```\Z", re.DOTALL)
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True)
class Usage:
    """What a reply took: tokens (0 where not counted) and the endpoint's own bill in USD (None where there is none)."""

    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None


@dataclass(frozen=True)
class Reply:
    """A message that came, not yet looked into. `model` and `provider` are who answered, where the endpoint says so."""

    text: str
    model: str | None
    provider: str | None
    usage: Usage


@dataclass(frozen=True)
class Trouble:
    """Why there is no usable reply.

    Attributes:
        kind, message: as in `Failure`; the message is raw and not yet redacted.
        retry: the same send may work later.
        stops: no send can work until somebody does something.
        served: the endpoint did make a reply, and bills it.
        usage: of that reply.
        wait: seconds the server asks to wait.
    """

    kind: Kind
    message: str
    retry: bool = False
    stops: bool = False
    served: bool = False
    usage: Usage = Usage()
    wait: float | None = None


def read(body: bytes) -> Reply | Trouble:
    """Read the body of a 200."""
    text = body.decode("utf-8", errors="replace").strip()
    if not text:
        return Trouble("empty", "the endpoint sent an empty reply", retry=True, served=True)
    try:
        content = loads(text)
    except ValueError:
        if text.startswith("<"):
            return Trouble("html", "the endpoint sent a web page instead of a reply; is its address right?", retry=True)
        return Trouble("not_a_reply", f"the endpoint sent what is no JSON: {text[:MAX_TEXT]}", retry=True, served=True)
    if not isinstance(content, dict):
        return Trouble("not_a_reply", f"the endpoint sent a JSON {type(content).__name__}", retry=True, served=True)
    usage = _usage(content.get("usage"))
    if content.get("error"):
        return _error_inside(content["error"], usage)
    choices = content.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return Trouble("no_choices", "the reply holds no choices", retry=True, served=True, usage=usage)
    return _choice(choices[0], usage, _word(content.get("model")), _word(content.get("provider")))


def _choice(choice: Mapping[str, Any], usage: Usage, model: str | None, provider: str | None) -> Reply | Trouble:
    reason = choice.get("finish_reason")
    if choice.get("error") or reason == "error":
        return _error_inside(choice.get("error") or "the provider broke off", usage)
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    if message.get("refusal") or reason == "content_filter":
        said = message.get("refusal") or "its content filter stopped the reply"
        return Trouble("refused", f"the model refused: {said}", served=True, usage=usage)
    if reason == "length":
        return Trouble("length", "the reply was cut off at max_tokens; allow longer ones", served=True, usage=usage)
    text = message.get("content")
    if not isinstance(text, str) or not text.strip():
        return Trouble("no_content", "the reply has no content", served=True, usage=usage)
    return Reply(text, model, provider, usage)


def _error_inside(error: Any, usage: Usage) -> Trouble:
    code = error.get("code") if isinstance(error, dict) else None
    status = int(code) if isinstance(code, int) or (isinstance(code, str) and re.fullmatch(r"\d{3}", code)) else None
    served = usage != Usage()
    if status in (401, 402, 403, 404):
        trouble = of_status(status, error, None)
        return Trouble(trouble.kind, trouble.message, False, True, served, usage)
    retry = status is None or status in (408, 409, 425, 429) or status >= 500
    return Trouble("error_in_200", f"the endpoint reports {error_message(error)}", retry, False, served, usage)


def of_status(status: int, error: Any, wait: float | None) -> Trouble:
    """What a status other than 200 means.

    Args:
        status: HTTP status.
        error: the body's error, or its text.
        wait: seconds of Retry-After; None without.
    """
    said = error_message(error)
    if status == 401:
        return Trouble("auth", f"the endpoint does not take the API key (401: {said}); check the key", stops=True)
    if status == 402 and wait is not None:
        return Trouble("credits", f"the account has no credits at the moment (402: {said})", retry=True, wait=wait)
    if status == 402 or (isinstance(error, dict) and error.get("code") == "insufficient_quota"):
        return Trouble("credits", f"the account has no credits left ({status}: {said}); add some and resume", stops=True)
    if status == 403:
        return Trouble("forbidden", f"the endpoint forbids it (403: {said}); check the account, then resume", stops=True)
    if status == 404:
        return Trouble("not_found", f"the endpoint has no such model or route (404: {said}); choose another model", stops=True)
    if 300 <= status < 400:
        return Trouble(
            "redirect", f"the endpoint sends elsewhere ({status}), which is not followed; give its address", stops=True
        )
    if status == 408:
        return Trouble("timeout", f"the endpoint ran out of time (408: {said})", retry=True, wait=wait)
    if status in (409, 425, 429):
        return Trouble("rate", f"the endpoint is asked too often ({status}: {said})", retry=True, wait=wait)
    if status >= 500:
        return Trouble("server", f"the endpoint failed ({status}: {said})", retry=True, wait=wait)
    return Trouble("bad_request", f"the endpoint does not take the request ({status}: {said})")


def error_message(error: Any) -> str:
    """The words in an error: its message with what the provider said, or whatever stands there instead."""
    if not isinstance(error, dict):
        return str(error)[:MAX_TEXT] or "no reason given"
    said = str(error.get("message") or error.get("code") or "no reason given")
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return f"{said}: {raw}"[:MAX_TEXT] if raw else said[:MAX_TEXT]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header (a number or a date), >= 0; infinity when it says so; None without a readable one."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
        return None if math.isnan(seconds) else max(0.0, seconds)
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def conform(text: str, schema: Mapping[str, Any], key: Secret | None = None) -> dict[str, Any] | Trouble:
    """A message's JSON object that fits the schema, its texts cleaned of control characters, line breaks and `key`.

    A fence around the whole or thoughts before it are taken off, since models without structured output add them.
    """
    stripped = _THOUGHTS.sub("", text).strip()
    if fenced := _FENCE.match(stripped):
        stripped = fenced.group(1)
    try:
        data = loads(stripped)
    except ValueError as error:
        return Trouble("malformed", f"the reply is no JSON: {error}", served=True)
    # Cleaned first, so that what is checked is what is kept.
    data = _cleaned(data, key)
    if not isinstance(data, dict):
        return Trouble("schema", f"the reply is a JSON {type(data).__name__}, not an object", served=True)
    found = fault(data, schema)
    return data if found is None else Trouble("schema", f"the reply does not fit: {found}", served=True)


def loads(text: str) -> Any:
    """JSON, strictly: no NaN or Infinity. Raises ValueError, for bottomless nesting too."""

    def constant(name: str) -> float:
        raise ValueError(f"{name} is no JSON")

    def number(digits: str) -> float:
        value = float(digits)
        return value if math.isfinite(value) else constant(digits)

    try:
        return json.loads(text, parse_constant=constant, parse_float=number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _cleaned(value: Any, key: Secret | None) -> Any:
    if isinstance(value, str):
        return clean(without_key(value, key), MAX_TEXT)
    if isinstance(value, dict):
        return {_cleaned(name, key): _cleaned(inner, key) for name, inner in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)  # JSON Schema takes 3.0 for an integer, a list index does not
    return [_cleaned(inner, key) for inner in value] if isinstance(value, list) else value


def _usage(value: Any) -> Usage:
    if not isinstance(value, dict):
        return Usage()
    cost = value.get("cost")
    if isinstance(cost, bool) or not isinstance(cost, (int, float)) or not 0 <= cost < 1e6:
        cost = None
    return Usage(
        _count(value.get("prompt_tokens")), _count(value.get("completion_tokens")), cost if cost is None else float(cost)
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else 0


def _word(value: Any) -> str | None:
    return clean(value, MAX_TEXT) if isinstance(value, str) and value.strip() else None
