"""What stands before a public app's server: headers on every answer, bounds on what is sent, a cookie that tells visitors apart.

It is middleware of Streamlit's own server (`st.App`), so nothing else listens and no proxy is needed. Used by `serve.py`.
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from http.cookies import CookieError, SimpleCookie

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg

import sae_core as sc
from pages._ui.public import COOKIE, TOKEN

FRAMES = "'self' https://huggingface.co https://*.huggingface.co https://*.hf.space"
"""Who may show the app in a frame of theirs: a Space is shown in one by the Hub."""
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",  # Streamlit's components and Plotly compile code
        "style-src 'self' 'unsafe-inline' blob:",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' blob: data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        f"frame-ancestors {FRAMES}",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), bluetooth=()",
}
CLOSED = re.compile(r"/_stcore/(?:metrics|script-health-check|agent(?:/.*)?)/?")
"""Streamlit's own pages that tell of the server's inside, or let programs drive it."""
ALLOWED = frozenset(
    (
        "rerun_script",
        "stop_script",
        "file_urls_request",
        "app_heartbeat",
        "backend_operation_request: deferred_file",
        "backend_operation_request: dataframe_chunk",
    )
)
"""What a visit needs of Streamlit's protocol. To empty everybody's caches, or to change files beside the app, is not in it."""
_UPLOAD = re.compile(r"/_stcore/upload_file/([^/]+)/[^/]+/?")
_VISITS = 2000
"""Sessions whose uploads are counted at a time; the oldest is forgotten first."""


class Guard:
    """ASGI middleware of a public app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._uploads: OrderedDict[str, int] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._app(scope, _only_allowed(receive), send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cookie = None if _known(scope) else secrets.token_urlsafe(24)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                # Only with a page: its scripts and pictures are shared by caches on the way, which a cookie must not be.
                if cookie is not None and headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", _said(cookie, scope))
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            status, text = refusal
            sc.config.public.refused(f"a request ({status} {text})", scope["path"])
            await PlainTextResponse(text, status)(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The status and text with which a request is turned away before its body is read; None where it may pass."""
        if CLOSED.fullmatch(scope["path"]):
            return 404, "not here"
        upload = _UPLOAD.fullmatch(scope["path"])
        if upload is None or scope["method"] not in ("PUT", "POST"):
            return None
        length = Headers(scope=scope).get("content-length", "")
        if not length.isdigit():
            return 411, "say how long the file is"
        # The form around the file is part of the body; it takes a few hundred bytes.
        if int(length) > sc.config.public.LIMITS.upload_bytes + 10_000:
            return 413, "the file is too large"
        session = upload.group(1)
        self._uploads[session] = self._uploads.pop(session, 0) + 1
        while len(self._uploads) > _VISITS:
            self._uploads.popitem(last=False)
        if self._uploads[session] > sc.config.public.LIMITS.visit_uploads:
            return 429, "this visit has sent enough files"
        return None


def _only_allowed(receive: Receive) -> Receive:
    """What a browser sends, without the messages that would reach beyond its own visit."""

    async def next_one() -> Message:
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return message
            kind = _kind(message.get("bytes") or b"")
            if kind in ALLOWED:
                return message
            sc.config.public.refused("a message", kind)

    return next_one


def _kind(data: bytes) -> str:
    message = BackMsg()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return "that cannot be read"
    kind = message.WhichOneof("type")
    if kind != "backend_operation_request":
        return str(kind)
    return f"{kind}: {message.backend_operation_request.WhichOneof('payload')}"


def _known(scope: Scope) -> bool:
    try:
        found = SimpleCookie(Headers(scope=scope).get("cookie", "")).get(COOKIE)
    except CookieError:
        return False
    return found is not None and TOKEN.fullmatch(found.value) is not None


def _said(token: str, scope: Scope) -> str:
    # In the Hub's frame a cookie is a foreign one, which browsers keep apart (Partitioned) and take over https alone.
    forwarded = Headers(scope=scope).get("x-forwarded-proto", "").split(",")[0].strip()
    https = "https" in (scope.get("scheme"), forwarded)
    return f"{COOKIE}={token}; Path=/; HttpOnly; Max-Age=2592000; " + (
        "Secure; SameSite=None; Partitioned" if https else "SameSite=Lax"
    )
