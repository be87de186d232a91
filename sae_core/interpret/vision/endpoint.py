"""Where the model is: an OpenAI-compatible endpoint, and a connection to it that tells nobody more than it must."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from sae_core.errors import InputError

if TYPE_CHECKING:
    import httpx2
    import openai

OPENROUTER = "https://openrouter.ai/api/v1"
TITLE = "Sketch SAE Lab"
REFERER = "http://localhost:8501"
"""The address an app names itself by; this one runs on its user's own machine."""
_SENT = frozenset(
    {
        "host",
        "accept",
        "accept-encoding",
        "connection",
        "content-type",
        "content-length",
        "user-agent",
        "authorization",
        "http-referer",
        "x-title",
        "x-openrouter-title",
        "x-stainless-raw-response",
    }
)
"""Headers that leave this machine. The client would add what it finds in OPENAI_* variables and the machine's platform."""


class _Key(Protocol):
    def reveal(self) -> str: ...


@dataclass(frozen=True)
class Endpoint:
    """An endpoint's address.

    Attributes:
        url: base address without a slash at its end, e.g. `https://openrouter.ai/api/v1`.
        host: name and port: what the call cache knows it by.
        loopback: it is on this machine, so nothing leaves it and no proxy may stand between.
        openrouter: it understands OpenRouter's routing and says what a call cost.
    """

    url: str
    host: str
    loopback: bool
    openrouter: bool

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Check an address.

        Raises:
            InputError: no https (http is for loopback alone), or a user, key, query or fragment in it.
        """
        text = url.strip()
        try:
            parts = urlsplit(text)
            name, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise InputError(f"endpoint: {error}; write it like {OPENROUTER}") from None
        if not text.isascii() or not text.isprintable() or " " in text:
            raise InputError(f"endpoint: the address has a space or odd characters; write it like {OPENROUTER}")
        if parts.scheme not in ("https", "http") or not name:
            raise InputError(f"endpoint: {text.split('?')[0].split('@')[-1]!r} is no web address; write it like {OPENROUTER}")
        if parts.username is not None or parts.password is not None or "?" in text or "#" in text:
            raise InputError("endpoint: an address holds no user, key or query; give the key in its own field or the environment")
        loopback = _is_loopback(name)
        if parts.scheme == "http" and not loopback:
            raise InputError(
                f"endpoint: http to {name} would send key and pictures unencrypted; use https (http is for localhost)"
            )
        host = f"[{name}]" if ":" in name else name
        host = f"{host}:{port}" if port is not None else host
        url = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        return cls(url, host, loopback, name == "openrouter.ai" or name.endswith(".openrouter.ai"))


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def connect(endpoint: Endpoint, key: _Key | None, timeout: float) -> openai.OpenAI:
    """An `openai` client whose own retries are off and which follows no redirect.

    Args:
        endpoint: where to.
        key: sent as bearer; None for a local server that asks for none.
        timeout: seconds without a byte before a send is given up (10 to connect).

    Proxies in the environment are used, but never for a loopback endpoint.
    """
    import httpx2
    import openai

    # Without a key the client must still be given one: the hook below takes the header off again.
    bearer = None if key is None else f"Bearer {key.reveal()}"

    def only_ours(request: httpx2.Request) -> None:
        for name in [name for name in request.headers if name.lower() not in _SENT]:
            del request.headers[name]
        request.headers["User-Agent"] = "sketch-sae-lab"
        if bearer is None:
            request.headers.pop("Authorization", None)
        else:
            request.headers["Authorization"] = bearer

    http = httpx2.Client(
        timeout=httpx2.Timeout(timeout, connect=min(timeout, 10.0)),
        trust_env=not endpoint.loopback,
        follow_redirects=False,
        event_hooks={"request": [only_ours]},
    )
    return openai.OpenAI(
        api_key="none" if key is None else key.reveal(),
        base_url=endpoint.url,
        max_retries=0,
        timeout=timeout,
        default_headers={"HTTP-Referer": REFERER, "X-OpenRouter-Title": TITLE, "X-Title": TITLE},
        http_client=http,
    )
