"""The real client of the Hub, made to take a loopback server for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.constants
import pytest

from tests.publish.loopback_hub import LoopbackHub


@contextmanager
def taken_for_the_hub(patched: pytest.MonkeyPatch, folder: Path, token: str | None) -> Iterator[LoopbackHub]:
    """A server that the client believes to be the Hub, with this token in the environment; caches lie in `folder`."""
    with LoopbackHub() as server:
        constants = huggingface_hub.constants
        patched.setattr(constants, "ENDPOINT", server.url)
        patched.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}")
        # The client of 2.4 takes the Xet protocol whenever it is installed, whatever the server offers.
        patched.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patched.setattr(constants, "HF_HUB_CACHE", str(folder / "hub-cache"))
        patched.setattr(constants, "HF_TOKEN_PATH", str(folder / "no-token"))
        patched.setattr(constants, "HF_STORED_TOKENS_PATH", str(folder / "no-tokens"))
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            patched.delenv(name, raising=False)
        if token is not None:
            patched.setenv("HF_TOKEN", token)
        # The client's own waits alone: `time.sleep` itself is what a page's test waits with for its script.
        patched.setattr("huggingface_hub.utils._http.time", SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None}))
        yield server
