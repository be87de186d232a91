"""The API key leaves this machine in one header, and is found nowhere else: no file, log, repr, message, exception or URL."""

from __future__ import annotations

import gc
import json
import logging
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sae_core.errors import SaeLabError
from sae_core.interpret.vision.budget import Budget
from sae_core.interpret.vision.calls import CallCache
from sae_core.interpret.vision.endpoint import Endpoint
from sae_core.interpret.vision.prices import models
from sae_core.interpret.vision.secrets import Secret
from tests.interpret.vision import loopback as odd
from tests.interpret.vision.asking import CANARY, PRICE, asking, question
from tests.interpret.vision.loopback import Loopback

ECHO = f"wrong key Bearer {CANARY}"
SERVED = {"model": ECHO, "provider": ECHO, "usage": odd.USAGE}


def echoing(data: Any, **choice: Any) -> odd.Behaviour:
    """A reply of a server that repeats the key wherever it can."""
    return lambda handler, body: handler.send_json({**odd.completion(data, body, **choice), **SERVED}, headers={"X-Key": CANARY})


BATTERY: list[odd.Behaviour] = [
    echoing({"label": ECHO, "confidence": 1}),
    echoing(f"```json\n{json.dumps({'label': ECHO, 'confidence': 1})}\n```"),
    echoing({"label": "x", ECHO: 1}),
    echoing({"label": {ECHO: 1}, "confidence": ECHO}),
    echoing(ECHO),
    echoing(None, message={"refusal": ECHO}),
    echoing("{}", finish_reason="length"),
    echoing("{}", error={"code": 400, "message": ECHO, "metadata": {"raw": ECHO}}),
    odd.error_in_200(400, ECHO),
    odd.raw((" " * 70 + "x" * 60 + ECHO).encode(), "text/plain"),
    odd.raw(f"<html>{ECHO}".encode(), "text/html"),
    odd.status(400, {"X-Key": CANARY}, message="x" * 280 + ECHO),
    odd.status(400, message=ECHO, metadata={"raw": json.dumps({"key": CANARY})}),
    odd.raw(b"no gzip", headers={"Content-Encoding": "gzip", "X-Key": CANARY}),
    odd.reset_mid_body(),
    odd.hang(0.6),
    odd.status(429, {"Retry-After": "0"}, message=ECHO),
    odd.status(502, message=ECHO),
    odd.status(401, message=ECHO),
]


@pytest.fixture
def all_logs() -> Iterator[list[logging.LogRecord]]:
    """Everything any logger says, at every level, but the header trace that only somebody who asks for it gets."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.NOTSET)
    handler.emit = records.append  # type: ignore[method-assign]
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.NOTSET)
    yield records
    root.setLevel(level)
    root.removeHandler(handler)


def shown(error: BaseException) -> str:
    """All that a traceback of an error prints."""
    return "".join(traceback.format_exception(error)) + repr(error)


def test_a_canary_key_is_found_nowhere(
    tmp_path: Path, all_logs: list[logging.LogRecord], capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    with Loopback() as server, CallCache(tmp_path / "calls.sqlite") as calls, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        key = Secret(CANARY)
        for behaviour in BATTERY:
            # A client each, so that one that stops does not hide those after it.
            client = asking(server, calls=calls, budget=Budget(1.0, PRICE), timeout=0.5)
            server.script(behaviour, behaviour, behaviour, behaviour)
            found = client.ask(question(len(said)))
            said += [repr(found), repr(vars(found)), repr(client), repr(client.budget), repr(vars(client)), repr(key)]
            server.forget()
        assert calls.get("nothing") is None
        assert len(calls) >= 2
        rows = calls._database.execute("SELECT * FROM calls").fetchall()
        said.append(repr(rows))
        assert "[key removed]" in repr(rows)
        for answer in ({"error": {"message": ECHO}}, {"data": [{"id": "a", "name": ECHO}]}):
            server.listing = answer
            try:
                said.append(repr(models(Endpoint.parse(server.url), key)))
            except SaeLabError as error:
                said.append(shown(error))
        for path in server.paths:
            assert CANARY not in path
        # It was there to be found: every request carried it.
        assert all(CANARY in headers["Authorization"] for headers in server.headers)
        assert CANARY not in json.dumps(server.bodies)
        said += [str(one.message) for one in warned]
    with pytest.raises(SaeLabError) as caught:
        models(Endpoint.parse(server.url), key, timeout=1)
    said.append(shown(caught.value))
    for record in all_logs:
        text = record.getMessage() + repr(record.args) + (shown(record.exc_info[1]) if record.exc_info else "")
        # The transport's trace prints response headers; it is off unless somebody turns on DEBUG for httpcore2.
        if not record.name.startswith("httpcore2"):
            said.append(text)
        assert f"Bearer {CANARY}" not in text
    assert any(record.name.startswith("openai") for record in all_logs)
    out, err = capfd.readouterr()
    assert CANARY not in "\n".join(said) + out + err
    gc.collect()
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert CANARY.encode() not in file.read_bytes(), file.name
