"""The client against a real server on loopback: what each odd reply becomes, how often it is sent, what it costs."""

from __future__ import annotations

import base64
import email.utils
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sae_core.errors import InputError
from sae_core.interpret.vision.budget import FREE, Budget
from sae_core.interpret.vision.calls import CallCache
from sae_core.interpret.vision.client import UNREACHABLE, Client
from sae_core.interpret.vision.endpoint import OPENROUTER, Endpoint
from sae_core.interpret.vision.messages import Answer, Failure
from tests.interpret.vision import loopback as odd
from tests.interpret.vision.asking import FORM, GOOD, MODEL, PRICE, Waits, asking, question
from tests.interpret.vision.loopback import Loopback

COST = odd.USAGE["cost"]


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(model=lambda request: GOOD) as running:
        yield running


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[CallCache]:
    with CallCache(tmp_path / "calls.sqlite") as kept:
        yield kept


def test_a_success_says_who_answered_and_what_it_cost(server: Loopback, calls: CallCache) -> None:
    client = asking(server, calls=calls)
    answer = client.ask(question())
    assert answer == Answer(GOOD, MODEL, f"{MODEL}-served", "Loopback", COST, 1000, 50, False, 1)
    assert (client.budget.spent, client.budget.reserved, client.budget.presumed) == (COST, 0.0, 0.0)
    assert (len(calls), calls.paid()) == (1, COST)


def test_what_is_sent_is_what_the_interface_asks_for(server: Loopback) -> None:
    asking(server).ask(question(image=b"\x89PNG"))
    (body,) = server.bodies
    assert body["max_tokens"] == 500
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "name", "strict": True, "schema": FORM}}
    assert body["provider"] == {"require_parameters": True}
    text, image = body["messages"][1]["content"]
    assert text["type"] == "text"
    assert image == {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()}}
    assert "tools" not in body
    (headers,) = ({name.lower(): value for name, value in one.items()} for one in server.headers)
    assert headers["x-title"] == headers["x-openrouter-title"] == "Sketch SAE Lab"
    assert headers["http-referer"]
    assert server.paths == ["/api/v1/chat/completions"]


RETRIED = {
    "error_in_200": (odd.error_in_200(502), False),
    "error_in_200, code as text": (odd.error_in_200("429"), False),
    "error_in_200, no code": (odd.error_in_200(None), False),
    "html": (odd.raw(b"<!DOCTYPE html><p>gateway", "text/html"), False),
    "empty": (odd.raw(b""), True),
    "not_a_reply": (odd.raw(b"upstream connect error", "text/plain"), True),
    "not_a_reply, a list": (odd.raw(b"[1]"), True),
    "not_a_reply, bottomless": (odd.raw(b"[" * 100_000), True),
    "not_a_reply, not UTF-8": (odd.raw(b"\xff\xfe\x00"), True),
    "no_choices": (odd.raw(b'{"choices": null}'), True),
    "credits": (odd.status(402, {"Retry-After": "3"}), False),
    "timeout, 408": (odd.status(408), False),
    "rate": (odd.status(429, {"Retry-After": "3"}), False),
    "server, 502": (odd.status(502), False),
    "server, 503": (odd.status(503), False),
    "timeout, a hang": (odd.hang(1.0), True),
    "timeout, a drip": (odd.drip(1.0), True),
    "connection, reset mid-body": (odd.reset_mid_body(), True),
    "connection, hung up": (odd.disconnect(), True),
    "connection, false gzip": (odd.raw(b"no gzip", headers={"Content-Encoding": "gzip"}), True),
}
"""What may work later, and whether a reply may have been made all the same: then the money counts as spent."""


@pytest.mark.parametrize(("case", "once"), [(name, True) for name in RETRIED] + [(name, False) for name in RETRIED])
def test_what_may_pass_is_sent_again_four_times_in_all(server: Loopback, calls: CallCache, case: str, once: bool) -> None:
    behaviour, lost = RETRIED[case]
    waits = Waits()
    client = asking(server, calls=calls, timeout=0.3 if case.startswith("timeout, a") else 30.0, sleep=waits)
    server.script(*[behaviour] * (1 if once else 4))
    found = client.ask(question())
    assert client.budget.reserved == 0.0
    assert (client.budget.presumed > 0) == lost
    if once:
        assert isinstance(found, Answer)
        assert (found.data, found.tries, server.calls, len(calls)) == (GOOD, 2, 2, 1)
        assert found.cost == pytest.approx(COST + client.budget.presumed)
    else:
        assert isinstance(found, Failure)
        assert found.kind == case.split(",")[0]
        assert (found.stops, found.tries, server.calls, len(calls)) == (False, 4, 4, 0)
        assert found.cost == pytest.approx(client.budget.presumed)
        assert len(waits) == 3
    assert found.cost == pytest.approx(client.budget.spent)
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (odd.reply("{", finish_reason="stop"), "malformed"),
        (odd.reply("I see lines."), "malformed"),
        (odd.reply('{"label": NaN, "confidence": 1}'), "malformed"),
        (odd.reply("[" * 100_000), "malformed"),
        (odd.reply("1" * 5000), "malformed"),
        (odd.reply({"label": 5, "confidence": 80}), "schema"),
        (odd.reply({"label": "x"}), "schema"),
        (odd.reply({**GOOD, "more": 1}), "schema"),
        (odd.reply([GOOD]), "schema"),
        (odd.reply(None), "no_content"),
        (odd.reply("  "), "no_content"),
        (odd.reply(None, message=None), "no_content"),
    ],
)
def test_a_reply_that_does_not_fit_is_sent_back_once(
    server: Loopback, calls: CallCache, behaviour: odd.Behaviour, kind: str
) -> None:
    client = asking(server, calls=calls)
    server.script(behaviour)
    mended = client.ask(question(1))
    assert isinstance(mended, Answer)
    assert (mended.data, mended.tries, mended.cost, mended.tokens_in) == (GOOD, 2, pytest.approx(2 * COST), 2000)
    last = server.bodies[-1]["messages"]
    assert last[-1]["role"] == "user"
    assert '"additionalProperties": false' in last[-1]["content"]
    assert (last[-2]["role"] == "assistant") == (kind != "no_content")
    server.script(behaviour, behaviour)
    failed = client.ask(question(2))
    assert isinstance(failed, Failure)
    assert (failed.kind, failed.stops, failed.tries, failed.cost) == (kind, False, 2, pytest.approx(2 * COST))
    assert (len(calls), server.calls) == (1, 4)
    assert client.budget.spent == pytest.approx(4 * COST)


@pytest.mark.parametrize(
    ("behaviour", "kind", "stops", "cost"),
    [
        (odd.reply(GOOD, finish_reason="length"), "length", False, COST),
        (odd.reply(GOOD, finish_reason="content_filter"), "refused", False, COST),
        (odd.reply(None, message={"content": None, "refusal": "I would rather not."}), "refused", False, COST),
        (odd.status(400, message="image too odd"), "bad_request", False, 0.0),
        (odd.error_in_200(400), "error_in_200", False, 0.0),
        (odd.status(401), "auth", True, 0.0),
        (odd.error_in_200(401), "auth", True, 0.0),
        (odd.status(402), "credits", True, 0.0),
        (odd.status(429, code="insufficient_quota"), "credits", True, 0.0),
        (odd.status(403), "forbidden", True, 0.0),
        (odd.status(404), "not_found", True, 0.0),
        (odd.status(307, {"Location": "http://127.0.0.1:9/elsewhere"}), "redirect", True, 0.0),
        (odd.status(429, {"Retry-After": "121"}), "rate", True, 0.0),
        (odd.status(503, {"Retry-After": "inf"}), "server", True, 0.0),
        (odd.status(402, {"Retry-After": "3600"}), "credits", True, 0.0),
    ],
)
def test_what_cannot_pass_is_not_sent_again(
    server: Loopback, calls: CallCache, behaviour: odd.Behaviour, kind: str, stops: bool, cost: float
) -> None:
    waits = Waits()
    client = asking(server, calls=calls, sleep=waits)
    kept = client.ask(question(0))
    server.script(behaviour)
    failed = client.ask(question(1))
    assert isinstance(failed, Failure)
    assert (failed.kind, failed.stops, failed.tries, failed.cost) == (kind, stops, 1, pytest.approx(cost))
    assert (waits, len(calls), server.calls) == ([], 1, 2)
    again = client.ask(question(2))
    # After a stop nothing more is sent, but what is finished is still there.
    assert isinstance(again, Failure) == stops
    assert server.calls == (2 if stops else 3)
    assert client.ask(question(0)) == Answer(**{**vars(kept), "cached": True})


def test_an_error_inside_a_choice_is_found(server: Loopback) -> None:
    client = asking(server)
    server.script(odd.reply("half a na", finish_reason="error", usage=None), odd.reply(GOOD, error={"code": 502, "message": "x"}))
    found = client.ask(question())
    assert isinstance(found, Answer)
    assert found.tries == 3


def test_waits_grow_and_retry_after_is_kept(server: Loopback) -> None:
    waits = Waits()
    client = asking(server, sleep=waits)
    date = email.utils.formatdate(time.time() + 60, usegmt=True)
    server.script(odd.status(502), odd.status(429, {"Retry-After": "7"}), odd.status(503, {"Retry-After": date}))
    assert isinstance(client.ask(question()), Answer)
    assert 0.25 <= waits[0] <= 0.75
    assert waits[1] == 7.0
    assert 50 < waits[2] <= 60
    server.script(*[odd.status(502)] * 4)
    client.ask(question(1))
    assert all(0.5 * 2**i * 0.5 <= wait <= 0.5 * 2**i * 1.5 for i, wait in enumerate(waits[3:]))


def test_a_kept_reply_is_not_paid_twice_nor_sent(server: Loopback, tmp_path: Path) -> None:
    with CallCache(tmp_path / "calls.sqlite") as calls:
        first = asking(server, calls=calls).ask(question())
    with CallCache(tmp_path / "calls.sqlite") as calls:
        client = asking(server, calls=calls, budget=Budget(0.0, PRICE))
        again = client.ask(question())
    assert again == Answer(**{**vars(first), "cached": True})
    assert (server.calls, client.budget.spent) == (1, 0.0)


def test_the_cap_is_never_passed_and_ends_the_job(server: Loopback, calls: CallCache) -> None:
    client = asking(server, calls=calls, budget=Budget(0.02, PRICE))
    found = [client.ask(question(i)) for i in range(40)]
    answers = [one for one in found if isinstance(one, Answer)]
    refused = [one for one in found if isinstance(one, Failure)]
    assert client.budget.spent == pytest.approx(len(answers) * COST)
    assert client.budget.spent <= 0.02
    # The longest reply that is allowed might cost 0.002 more than the usual one, so the last cents are not touched.
    assert 12 <= len(answers) <= 16
    assert {(one.kind, one.stops) for one in refused} == {("over_cap", True)}
    assert server.calls == len(calls) == len(answers)


def test_the_cap_holds_with_four_workers(server: Loopback) -> None:
    server.latency = 0.01
    client = asking(server, budget=Budget(0.02, PRICE))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: client.ask(question(i)), range(40)))
    answers = [one for one in found if isinstance(one, Answer)]
    assert client.budget.spent == pytest.approx(len(answers) * COST)
    assert client.budget.spent <= 0.02
    assert 12 <= len(answers) <= 16
    assert client.budget.reserved == 0.0


def test_a_server_that_dies_half_way_and_comes_back_loses_nothing(server: Loopback, calls: CallCache) -> None:
    def sleep(seconds: float) -> None:
        if not server.alive:
            server.start()

    client = asking(server, calls=calls, sleep=sleep)
    first = [client.ask(question(i)) for i in range(5)]
    server.die()
    rest = [client.ask(question(i)) for i in range(10)]
    assert all(isinstance(one, Answer) for one in [*first, *rest])
    assert [one.cached for one in rest if isinstance(one, Answer)] == [True] * 5 + [False] * 5
    assert (server.calls, len(calls)) == (10, 10)


def test_a_server_that_stays_away_stops_the_job_and_is_resumed(server: Loopback, calls: CallCache) -> None:
    budget = Budget(1.0, PRICE)
    client = asking(server, calls=calls, budget=budget)
    client.ask(question(0))
    server.die()
    failures = [client.ask(question(i)) for i in range(1, UNREACHABLE + 2)]
    assert [one.stops for one in failures if isinstance(one, Failure)] == [False] * (UNREACHABLE - 1) + [True] * 2
    # Nothing was sent, unless on the one connection that was open.
    assert budget.presumed == sum(one.cost for one in failures)
    server.start()
    resumed = asking(server, calls=calls)
    assert all(isinstance(resumed.ask(question(i)), Answer) for i in range(8))
    assert (server.calls, len(calls)) == (8, 8)


def test_a_plain_endpoint_gets_no_routing_and_keeps_its_own_ways(server: Loopback) -> None:
    server.usage = {"prompt_tokens": 1000, "completion_tokens": 50}
    client = asking(server, openrouter=False)
    server.script(
        odd.status(400, message="response_format of type json_schema is not supported"),
        odd.status(400, message="Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
    )
    found = client.ask(question())
    assert isinstance(found, Answer)
    assert found.cost == pytest.approx(1000e-6 + 50 * 4e-6)
    assert found.tries == 3
    assert "provider" not in server.bodies[0]
    assert "response_format" in server.bodies[0]
    last = server.bodies[-1]
    assert "response_format" not in last
    assert "JSON schema" in last["messages"][0]["content"]
    assert last["max_completion_tokens"] == 500
    assert "max_tokens" not in last
    client.ask(question(1))
    assert server.calls == 4  # learnt once


def test_many_threads_that_meet_the_same_refusal_all_get_through(server: Loopback) -> None:
    lined_up = threading.Barrier(4)

    def refuse(handler: Any, body: dict[str, Any]) -> None:
        lined_up.wait(30)
        odd.status(400, message="unknown parameter response_format")(handler, body)

    server.script(*[refuse] * 4)
    client = asking(server, openrouter=False, budget=Budget(1.0, FREE), timeout=60.0)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: client.ask(question(i)), range(4)))
    assert all(isinstance(one, Answer) for one in found), found
    assert server.calls == 8


def test_an_ended_wait_leaves_no_money_reserved(server: Loopback) -> None:
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    client = asking(server, sleep=stop)
    server.script(odd.status(502))
    with pytest.raises(KeyboardInterrupt):
        client.ask(question())
    assert client.budget.reserved == 0.0
    assert isinstance(client.ask(question()), Answer)


def test_a_proxy_in_the_environment_gets_nothing_of_a_loopback_endpoint(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Loopback(model=lambda request: GOOD) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/api/v1"))
        assert isinstance(asking(server).ask(question()), Answer)
        assert (server.calls, proxy.calls) == (1, 0)


def test_nothing_of_the_environment_or_the_machine_is_sent(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{name}", "sk-other-secret-123")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Other: sk-other-secret-123\nAuthorization: Bearer sk-other-secret-123")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert isinstance(asking(server).ask(question()), Answer)
    endpoint = Endpoint.parse(server.url)
    without = Client(endpoint, MODEL, None, None, Budget(1.0, FREE), sleep=Waits())
    assert isinstance(without.ask(question()), Answer)
    without.close()
    assert "sk-other" not in str(server.headers)
    assert not any("stainless" in name.lower() and name.lower() != "x-stainless-raw-response" for name in server.headers[0])
    assert "Authorization" not in server.headers[1]


@pytest.mark.alone
def test_four_workers_ask_side_by_side(server: Loopback, calls: CallCache) -> None:
    """A ratio within one run; how near it comes to what four workers allow is `benchmarks.vision`'s."""
    server.latency = 0.25
    client = asking(server, calls=calls, budget=Budget(10.0, PRICE))
    client.ask(question(999))
    started = time.perf_counter()
    alone = [client.ask(question(i)) for i in range(8)]
    middle = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: client.ask(question(i)), range(8, 40)))
    each, four = (middle - started) / 8, (time.perf_counter() - middle) / 32
    assert all(isinstance(one, Answer) for one in alone + together)
    assert each / four > 2


def test_no_model_or_no_key_is_said_before_anything_is_sent() -> None:
    with pytest.raises(InputError, match="no vision model"):
        Client(Endpoint.parse(OPENROUTER), "", None, None, Budget(1.0, PRICE))
    with pytest.raises(InputError, match=r"no API key for openrouter\.ai"):
        Client(Endpoint.parse(OPENROUTER), "a/b", None, None, Budget(1.0, PRICE))
