"""A server on 127.0.0.1 that speaks the API over real sockets, and misbehaves when it is told to.

    with Loopback(model=lambda request: {"label": "lines"}) as server:
        server.script(status(429, {"Retry-After": "1"}), html(), None)     # then answers; None answers as usual
        server.calls, server.bodies, server.headers

A behaviour is a function of the handler and the request; `None` stands for the model's own reply.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Model = Callable[[dict[str, Any]], Any]
PRICED = {
    "id": "test/seer",
    "name": "Seer",
    "context_length": 128_000,
    "architecture": {"input_modalities": ["text", "image"]},
    "pricing": {"prompt": "0.000001", "completion": "0.000004", "image": "0", "request": "0"},
    "supported_parameters": ["max_tokens", "structured_outputs", "response_format"],
}
BLIND = {**PRICED, "id": "test/blind", "name": "Blind", "architecture": {"input_modalities": ["text"]}}
USAGE = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050, "cost": 0.0012}


class Loopback:
    """The server.

    Args:
        model: the reply's data for a request (a dict is sent as JSON content, a str as it is).
        latency: seconds from a request's arrival to its reply, whatever the server does in between.
        usage: of every reply; None sends none.
        models: what GET /models lists.
    """

    def __init__(
        self,
        model: Model | None = None,
        latency: float = 0.0,
        usage: Mapping[str, Any] | None = USAGE,
        models: Sequence[Mapping[str, Any]] = (PRICED, BLIND),
    ) -> None:
        self.model: Model = model or (lambda request: {"label": "parallel lines", "confidence": 80})
        self.latency, self.usage = latency, usage
        self.listing: dict[str, Any] = {"data": list(models)}
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.closing: list[Callable[[], None]] = []  # what is to be closed with it
        self._script: list[Behaviour | None] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        """The endpoint's address."""
        return f"http://127.0.0.1:{self._port}/api/v1"

    @property
    def calls(self) -> int:
        """How many chat completions were asked for."""
        return len(self.bodies)

    def script(self, *behaviours: Behaviour | None) -> None:
        """What the next requests meet, one each; after them the model answers again."""
        with self._lock:
            self._script.extend(behaviours)

    def forget(self) -> None:
        """Drop what is left of the script."""
        with self._lock:
            self._script.clear()

    def next(self, body: dict[str, Any], headers: Mapping[str, str]) -> Behaviour | None:
        """Note a request and take its behaviour off the script."""
        with self._lock:
            self.bodies.append(body)
            self.headers.append(dict(headers))
            return self._script.pop(0) if self._script else None

    def start(self) -> None:
        """Begin to listen: on any port, and after `die` on the same one."""
        lab = self

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64
            allow_reuse_address = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client that gave up on a hang is expected here

        class Handler(_Handler):
            loopback = lab

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    def connected(self, connection: socket.socket, is_open: bool) -> None:
        """Note a connection that was opened or closed."""
        with self._lock:
            (self._open.add if is_open else self._open.discard)(connection)

    def die(self) -> None:
        """Stop listening and break every connection; new ones are refused until `start`."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # the other side was faster
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Loopback:
        return self

    def __exit__(self, *_: object) -> None:
        for close in self.closing:
            close()
        self.die()


class _Handler(BaseHTTPRequestHandler):
    loopback: Loopback
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: without this a reply waits for the client's delayed acknowledgement, 40 ms.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.loopback.connected(self.connection, True)

    def finish(self) -> None:
        self.loopback.connected(self.connection, False)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.loopback.paths.append(self.path)
        self.loopback.headers.append(dict(self.headers))
        self.send_json(self.loopback.listing)

    def do_POST(self) -> None:
        lab, until = self.loopback, time.monotonic() + self.loopback.latency
        lab.paths.append(self.path)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        behaviour = lab.next(body, dict(self.headers))
        reply = completion(lab.model(body), body, lab.usage) if behaviour is None else None
        time.sleep(max(0.0, until - time.monotonic()))
        if behaviour is not None:
            behaviour(self, body)
        else:
            self.send_json(reply)

    def send_json(self, content: Any, code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send JSON."""
        self.send_bytes(json.dumps(content).encode(), "application/json", code, headers)

    def send_bytes(self, content: bytes, kind: str, code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole response."""
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


Behaviour = Callable[[_Handler, dict[str, Any]], None]


def completion(data: Any, body: Mapping[str, Any], usage: Mapping[str, Any] | None = USAGE, **choice: Any) -> dict[str, Any]:
    """A chat completion that holds `data`; `choice` replaces parts of its choice (finish_reason, message, error)."""
    content = data if data is None or isinstance(data, str) else json.dumps(data)
    first = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}, **choice}
    found = {
        "id": "gen-1",
        "object": "chat.completion",
        "model": f"{body['model']}-served",
        "provider": "Loopback",
        "choices": [first],
    }
    return found if usage is None else {**found, "usage": dict(usage)}


# ---------------------------------------------------------------- behaviours


def reply(data: Any, usage: Mapping[str, Any] | None = USAGE, **choice: Any) -> Behaviour:
    """A 200 whose message is `data` as it is."""
    return lambda handler, body: handler.send_json(completion(data, body, usage, **choice))


def raw(content: bytes, kind: str = "application/json", headers: Mapping[str, str] | None = None) -> Behaviour:
    """A 200 with any bytes: HTML, nothing, half of something."""
    return lambda handler, body: handler.send_bytes(content, kind, 200, headers)


def status(code: int, headers: Mapping[str, str] | None = None, /, message: str = "no", **error: Any) -> Behaviour:
    """An HTTP error with the API's own error object."""
    content = {"error": {"message": message, "code": code, **error}}
    return lambda handler, body: handler.send_json(content, code, headers)


def error_in_200(code: int | str | None, message: str = "provider returned error") -> Behaviour:
    """A 200 that holds an error."""
    return lambda handler, body: handler.send_json({"error": {"message": message, "code": code}})


def hang(seconds: float) -> Behaviour:
    """Says nothing for a while, then hangs up."""

    def behave(handler: _Handler, body: dict[str, Any]) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return behave


def drip(seconds: float, every: float = 0.05) -> Behaviour:
    """Sends a blank now and then for so long, and never the reply."""

    def behave(handler: _Handler, body: dict[str, Any]) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            handler.wfile.write(b" ")
            time.sleep(every)

    return behave


def reset_mid_body() -> Behaviour:
    """Promises a body, sends half of it, and resets the connection."""

    def behave(handler: _Handler, body: dict[str, Any]) -> None:
        content = json.dumps(completion({"label": "x"}, body)).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    return behave


def disconnect() -> Behaviour:
    """Hangs up without a word."""

    def behave(handler: _Handler, body: dict[str, Any]) -> None:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    return behave
