"""Every paid reply, kept: a SQLite file in WAL mode, committed reply by reply, so that no call is ever paid twice.

Only replies that fit their schema are kept; failures never are, nor is the key. Pictures are kept as their SHA-256 alone.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from sae_core.errors import DamagedArtifact, InputError
from sae_core.interpret.vision.endpoint import Endpoint
from sae_core.interpret.vision.messages import Answer, Request

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY, purpose TEXT NOT NULL, latent INTEGER NOT NULL, prompt_version TEXT NOT NULL,
    host TEXT NOT NULL, model_asked TEXT NOT NULL, model_served TEXT NOT NULL, provider TEXT,
    cost REAL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, tries INTEGER NOT NULL,
    data TEXT NOT NULL, made_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID
"""
_COLUMNS = "data, model_asked, model_served, provider, cost, tokens_in, tokens_out, tries"


def call_key(endpoint: Endpoint, model: str, request: Request) -> str:
    """SHA-256 of whatever decides a reply: host, model, parameters, schema, prompt version, texts, and pictures by their SHA-256.

    The latent is no part of it (the same pictures and words get the same reply), nor is the API key.
    """
    parts = [part if isinstance(part, str) else {"png": hashlib.sha256(part).hexdigest()} for part in request.parts]
    what: dict[str, Any] = {
        "host": endpoint.host,
        "model": model,
        "max_tokens": request.max_tokens,
        "schema_name": request.schema_name,
        "schema": dict(request.schema),
        "prompt_version": request.prompt_version,
        "system": request.system,
        "parts": parts,
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class CallCache:
    """The kept replies in one file; several threads and processes may use it at once.

    Raises:
        InputError: the file or its folder cannot be written.
        DamagedArtifact: the file is no such cache. It holds paid work, so it is not removed by itself.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.OperationalError) as error:
            raise InputError(f"cannot keep replies in {self.path}: {error}; choose another cache folder with --cache") from None
        try:
            self._database.execute("PRAGMA journal_mode=WAL")
            # A committed reply outlives the process at once, a power cut after some seconds: waiting for the disk each time
            # (7 ms where it was measured) would cost four workers a tenth of their speed.
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(_SCHEMA)
        except sqlite3.OperationalError as error:
            self._database.close()
            raise InputError(f"cannot keep replies in {self.path}: {error}; choose another cache folder with --cache") from None
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise DamagedArtifact(f"{self.path} is damaged: {error}; remove the file (its replies are paid for again)") from None

    def get(self, key: str) -> Answer | None:
        """The reply kept under a key, marked `cached`."""
        with self._using():
            row = self._database.execute(f"SELECT {_COLUMNS} FROM calls WHERE key = ?", (key,)).fetchone()  # noqa: S608
        if row is None:
            return None
        data, asked, served, provider, cost, tokens_in, tokens_out, tries = row
        return Answer(json.loads(data), asked, served, provider, cost, tokens_in, tokens_out, True, tries)

    def put(self, key: str, endpoint: Endpoint, request: Request, answer: Answer) -> None:
        """Keep a reply and commit; of two for one key the first stays."""
        with self._using():
            self._database.execute(
                "INSERT OR IGNORE INTO calls (key, purpose, latent, prompt_version, host, " + _COLUMNS + ") "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key,
                    request.purpose,
                    request.latent,
                    request.prompt_version,
                    endpoint.host,
                    json.dumps(answer.data, ensure_ascii=False, allow_nan=False),
                    answer.model_asked,
                    answer.model_served,
                    answer.provider,
                    answer.cost,
                    answer.tokens_in,
                    answer.tokens_out,
                    answer.tries,
                ),
            )

    def __len__(self) -> int:
        with self._using():
            return int(self._database.execute("SELECT COUNT(*) FROM calls").fetchone()[0])

    def paid(self) -> float:
        """USD that all kept replies cost together."""
        with self._using():
            return float(self._database.execute("SELECT COALESCE(SUM(cost), 0) FROM calls").fetchone()[0])

    @contextmanager
    def _using(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise InputError(f"cannot keep replies in {self.path}: {error}; mend that and resume") from None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> CallCache:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
