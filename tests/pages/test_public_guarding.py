"""The guard before a public server: headers, closed doors, bounds on uploads, the visitor's cookie."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg

from pages._ui import guarding
from pages._ui.public import COOKIE, TOKEN
from sae_core.config import public
from sae_core.config.public import Limits


async def page(scope: Any, receive: Any, send: Any) -> None:
    """A server behind the guard: it answers everything with a page."""
    kind = b"text/html; charset=utf-8" if scope["path"] == "/" else b"application/javascript"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": b"behind"})


def ask(
    guard: guarding.Guard, path: str, method: str = "GET", headers: dict[str, str] | None = None, scheme: str = "http"
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one request."""
    said: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, "scheme": scheme, "query_string": b""}
    asyncio.run(guard(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in said[0]["headers"]}
    return said[0]["status"], found, b"".join(one.get("body", b"") for one in said[1:])


@pytest.fixture
def guard() -> guarding.Guard:
    return guarding.Guard(page)


@pytest.mark.parametrize("path", ["/", "/static/x.js", "/_stcore/metrics"])
def test_every_answer_has_the_headers(path: str, guard: guarding.Guard) -> None:
    _, headers, _ = ask(guard, path)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["object-src"] == "'none'"
    assert policy["frame-ancestors"].split() == [
        "'self'",
        "https://huggingface.co",
        "https://*.huggingface.co",
        "https://*.hf.space",
    ]
    assert not [part for part in policy.values() if "*" in part.split() or "http:" in part.split()]


@pytest.mark.parametrize(
    "path", ["/_stcore/metrics", "/_stcore/metrics/", "/_stcore/agent", "/_stcore/agent/mcp", "/_stcore/script-health-check"]
)
def test_what_tells_of_the_inside_is_not_there(path: str, guard: guarding.Guard, caplog: pytest.LogCaptureFixture) -> None:
    status, _, body = ask(guard, path)
    assert status == 404
    assert b"behind" not in body
    assert "refused: a request (404" in caplog.text


@pytest.mark.parametrize(
    ("length", "status"), [("1000", 200), ("10000000", 200), ("10010001", 413), ("", 411), ("-5", 411), ("x", 411)]
)
def test_an_upload_says_how_long_it_is_and_is_not_too_long(length: str, status: int, guard: guarding.Guard) -> None:
    headers = {"Content-Length": length} if length else {}
    assert ask(guard, "/_stcore/upload_file/session/file", "PUT", headers)[0] == status


def test_one_visit_sends_so_many_files(guard: guarding.Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "LIMITS", Limits(visit_uploads=3))
    sizes = {"Content-Length": "10"}
    answers = [ask(guard, f"/_stcore/upload_file/one/{number}", "PUT", sizes)[0] for number in range(5)]
    assert answers == [200, 200, 200, 429, 429]
    assert ask(guard, "/_stcore/upload_file/two/0", "PUT", sizes)[0] == 200
    assert ask(guard, "/_stcore/upload_file/one/0", "DELETE")[0] == 200


def test_what_is_counted_is_bounded(guard: guarding.Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "_VISITS", 5)
    for number in range(50):
        ask(guard, f"/_stcore/upload_file/{number}/0", "PUT", {"Content-Length": "10"})
    assert len(guard._uploads) == 5


def test_a_page_gives_a_new_browser_its_name_once(guard: guarding.Guard) -> None:
    first, second = (ask(guard, "/")[1]["set-cookie"] for _ in range(2))
    assert first != second
    name, _, value = first.split(";")[0].partition("=")
    assert name == COOKIE
    assert TOKEN.fullmatch(value)
    assert "HttpOnly" in first
    assert "set-cookie" not in ask(guard, "/", headers={"Cookie": f"other=1; {COOKIE}={value}"})[1]
    assert "set-cookie" in ask(guard, "/", headers={"Cookie": f"{COOKIE}=../../x"})[1]
    assert "set-cookie" not in ask(guard, "/static/x.js")[1]


@pytest.mark.parametrize(("scheme", "forwarded", "secure"), [("http", "", False), ("https", "", True), ("http", "https", True)])
def test_over_https_the_cookie_works_in_the_hubs_frame(scheme: str, forwarded: str, secure: bool, guard: guarding.Guard) -> None:
    said = ask(guard, "/", headers={"X-Forwarded-Proto": forwarded} if forwarded else {}, scheme=scheme)[1]["set-cookie"]
    assert ("Secure; SameSite=None; Partitioned" in said) == secure
    assert ("SameSite=Lax" in said) != secure


def test_other_protocols_pass_as_they_are() -> None:
    seen = []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        return None

    for kind in ("websocket", "lifespan"):
        asyncio.run(guarding.Guard(behind)({"type": kind}, nothing, nothing))
    assert seen == ["websocket", "lifespan"]


def test_a_browser_cannot_reach_beyond_its_own_visit(caplog: pytest.LogCaptureFixture) -> None:
    def message(**kinds: Any) -> bytes:
        return bytes(BackMsg(**kinds).SerializeToString())

    rerun, beat = BackMsg(), message(app_heartbeat=True)
    rerun.rerun_script.query_string = "run=x"
    skills = BackMsg()
    skills.backend_operation_request.install_skills.SetInParent()
    sent = [
        {"type": "websocket.connect"},
        *({"type": "websocket.receive", "bytes": one} for one in (message(clear_cache=True), skills.SerializeToString())),
        {"type": "websocket.receive", "bytes": message(set_run_on_save=True)},
        {"type": "websocket.receive", "bytes": b"\xff\xff"},
        {"type": "websocket.receive", "text": "words"},
        {"type": "websocket.receive", "bytes": rerun.SerializeToString()},
        {"type": "websocket.receive", "bytes": beat},
        {"type": "websocket.disconnect"},
    ]
    passed = []

    async def receive() -> Any:
        return sent.pop(0)

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        while not passed or passed[-1]["type"] != "websocket.disconnect":
            passed.append(await receive())

    asyncio.run(guarding.Guard(behind)({"type": "websocket"}, receive, receive))
    assert [one.get("bytes") for one in passed] == [None, rerun.SerializeToString(), beat, None]
    assert caplog.text.count("refused: a message") == 5
    assert "clear_cache" in caplog.text
    assert "install_skills" in caplog.text
