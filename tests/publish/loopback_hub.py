"""A Hub on 127.0.0.1 that the real client talks to over real sockets: repositories, commits, large files, all kinds of trouble.

    with LoopbackHub() as hub:
        hub.script("commit", status(409))     # what the next requests of that kind meet, one each; None answers as usual
        hub.repos["me/x"].files, hub.seen("commit")

It keeps what a Hub keeps: content by SHA-256 once it was stored, branches of commits, who may do what.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_" + "LoopbackWriteToken0123456789abcdef"
READ_TOKEN = "hf_" + "LoopbackReadToken0123456789abcdefg"
LARGE = ("*.safetensors", "*.pt", "*.parquet")
"""What the Hub's .gitattributes keeps as large files, whatever their size."""

Behaviour = Callable[["_Handler"], None]


def git_hash(content: bytes) -> str:
    """Of a blob."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


@dataclass
class Repo:
    """A repository: its branches, each a commit with the files it holds."""

    private: bool
    type: str = "model"
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    @property
    def files(self) -> dict[str, bytes]:
        """On the main branch."""
        return self.commits[self.branches["main"]]

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        """A new commit; its id."""
        said = "".join(f"{name}{git_hash(content)}" for name, content in sorted(files.items()))
        identity = hashlib.sha1(f"{len(self.messages)}{message}{said}".encode()).hexdigest()
        self.commits[identity], self.branches[branch] = files, identity
        self.messages.append(message)
        return identity


class LoopbackHub:
    """The server.

    Args:
        user: whose tokens `TOKEN` (write) and `READ_TOKEN` are.
    """

    def __init__(self, user: str = "me") -> None:
        self.user = user
        self.repos: dict[str, Repo] = {}
        self.storage: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.kinds: list[str] = []
        self._script: dict[str, list[Behaviour | None]] = {}
        self._lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            lab = hub

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a connection that was reset on purpose

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        """Its address, as HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> LoopbackHub:
        return self

    def __exit__(self, *ended: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def script(self, kind: str, *behaviours: Behaviour | None) -> None:
        """What the next requests of a kind meet, one each; after them it answers as usual."""
        self._script.setdefault(kind, []).extend(behaviours)

    def next(self, kind: str) -> Behaviour | None:
        """The behaviour for a request of a kind, off the script."""
        with self._lock:
            self.kinds.append(kind)
            waiting = self._script.get(kind, [])
            return waiting.pop(0) if waiting else None

    def seen(self, kind: str) -> int:
        """How many requests of a kind came."""
        return self.kinds.count(kind)

    def make(self, name: str, private: bool = True, files: Mapping[str, bytes] | None = None, type: str = "model") -> Repo:
        """A repository as the Hub makes one."""
        repo = self.repos[name] = Repo(private, type)
        repo.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n", **(files or {})}, "initial commit")
        return repo


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    lab: LoopbackHub
    body: bytes
    ROUTES: tuple[tuple[str, str, str], ...] = (
        ("GET", r"/api/whoami-v2", "whoami"),
        ("GET", r"/api/(models|spaces)/(?P<repo>[^/]+/[^/]+)/auth-check(?P<write>/write)?", "auth-check"),
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate-yaml"),
        ("POST", r"/api/(models|spaces)/(?P<repo>[^/]+/[^/]+)/branch/(?P<rev>.+)", "branch"),
        ("POST", r"/api/(models|spaces)/(?P<repo>[^/]+/[^/]+)/preupload/(?P<rev>.+)", "preupload"),
        ("POST", r"/api/(models|spaces)/(?P<repo>[^/]+/[^/]+)/commit/(?P<rev>.+)", "commit"),
        ("GET", r"/api/(models|spaces)/(?P<repo>[^/]+/[^/]+)/tree/(?P<rev>.+)", "tree"),
        ("GET", r"/api/(models|spaces)/(?P<repo>[^/]+/[^/]+)(/revision/(?P<rev>.+))?", "info"),
        ("POST", r"/(spaces/)?(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/storage/(?P<oid>[0-9a-f]{64})", "store"),
        ("POST", r"/verify", "verify"),
        ("HEAD", r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)", "head"),
        ("GET", r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)", "resolve"),
    )

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self._chunked() if self.headers.get("Transfer-Encoding") == "chunked" else self.rfile.read(length)
        path = unquote(urlsplit(self.path).path)
        self.lab.requests.append((self.command, self.path, dict(self.headers), self.body))
        for method, pattern, kind in self.ROUTES:
            match = re.fullmatch(pattern, path)
            if method == self.command and match:
                behaviour = self.lab.next(kind)
                if behaviour is not None:
                    behaviour(self)
                else:
                    getattr(self, "_" + kind.replace("-", "_"))(match.groupdict())
                return
        self.send_error_json(404, "no such page")

    do_GET = do_POST = do_PUT = do_HEAD = _handle

    def _chunked(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().strip(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    # ------------------------------------------------------------ who

    @property
    def token(self) -> str | None:
        """What the request says in its Authorization."""
        said = self.headers.get("Authorization")
        return None if said is None else said.removeprefix("Bearer ")

    def _may(self, repo: str, write: bool) -> bool:
        """Whether the request may do this; if not, the Hub's refusal is sent."""
        owner = repo.partition("/")[0] == self.lab.user
        known = self.token in (TOKEN, READ_TOKEN)
        if self.token is not None and not known:
            self.send_error_json(401, "Invalid credentials in Authorization header")
            return False
        there = self.lab.repos.get(repo)
        if there is None or (there.private and not (known and owner)):
            self.send_error_json(404 if known else 401, "Repository not found", {"X-Error-Code": "RepoNotFound"})
            return False
        if write and not (owner and self.token == TOKEN):
            self.send_error_json(403, "You don't have the rights to write")
            return False
        return True

    def _whoami(self, at: Mapping[str, str]) -> None:
        if self.token not in (TOKEN, READ_TOKEN):
            return self.send_error_json(401, "Invalid credentials in Authorization header")
        role = "write" if self.token == TOKEN else "read"
        return self.send_json({"type": "user", "name": self.lab.user, "orgs": [], "auth": {"accessToken": {"role": role}}})

    def _auth_check(self, at: Mapping[str, str]) -> None:
        if self._may(at["repo"], bool(at["write"])):
            self.send_json({})

    # ------------------------------------------------------------ repositories

    def _create(self, at: Mapping[str, str]) -> None:
        said = json.loads(self.body)
        name = f"{said.get('organization') or self.lab.user}/{said['name']}"
        if name.partition("/")[0] != self.lab.user or self.token != TOKEN:
            return self.send_error_json(403, "You don't have the rights to create a repository there")
        if name in self.lab.repos:
            return self.send_json({"url": f"{self.lab.url}/{name}", "error": "You already created this repo"}, 409)
        self.lab.make(name, said.get("visibility") == "private" or said.get("private") is True, type=said.get("type", "model"))
        return self.send_json({"url": f"{self.lab.url}/{name}"})

    def _branch(self, at: Mapping[str, str]) -> None:
        if not self._may(at["repo"], True):
            return None
        repo = self.lab.repos[at["repo"]]
        if at["rev"] in repo.branches:
            return self.send_error_json(409, "Reference already exists")
        repo.branches[at["rev"]] = repo.branches["main"]
        return self.send_json({})

    def _at(self, at: Mapping[str, str], write: bool = False) -> tuple[Repo, str, str] | None:
        """Repository, branch or commit, and commit id; None where a refusal was sent."""
        if not self._may(at["repo"], write):
            return None
        repo, rev = self.lab.repos[at["repo"]], at.get("rev") or "main"
        commit = repo.branches.get(rev, rev)
        if commit not in repo.commits:
            self.send_error_json(404, "Invalid rev id", {"X-Error-Code": "RevisionNotFound"})
            return None
        return repo, rev, commit

    def _info(self, at: Mapping[str, str]) -> None:
        if (found := self._at(at)) is not None:
            repo, _, commit = found
            self.send_json({"id": at["repo"], "sha": commit, "private": repo.private, "tags": [], "siblings": []})

    def _tree(self, at: Mapping[str, str]) -> None:
        if (found := self._at(at)) is None:
            return
        repo, _, commit = found
        listed: list[dict[str, Any]] = []
        for name, content in sorted(repo.commits[commit].items()):
            one: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": git_hash(content)}
            if large(name):
                one["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
                one["oid"] = git_hash(b"pointer to " + content)
            listed.append(one)
        self.send_json(listed)

    # ------------------------------------------------------------ uploads

    def _validate_yaml(self, at: Mapping[str, str]) -> None:
        said = json.loads(self.body)["content"]
        sound = said.startswith("---\n") and "license:" in said.split("---")[1]
        self.send_json({"errors": [] if sound else [{"message": "no license"}], "warnings": []}, 200 if sound else 400)

    def _preupload(self, at: Mapping[str, str]) -> None:
        if (found := self._at(at, True)) is None:
            return
        repo, _, commit = found
        there = repo.commits[commit]
        answered = []
        for file in json.loads(self.body)["files"]:
            content = there.get(file["path"])
            lfs = large(file["path"]) or file["size"] > 10_000_000
            oid = None if content is None else hashlib.sha256(content).hexdigest() if lfs else git_hash(content)
            answered.append({"path": file["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False, "oid": oid})
        self.send_json({"files": answered})

    def _batch(self, at: Mapping[str, str]) -> None:
        if not self._may(at["repo"], True):
            return
        objects = []
        for one in json.loads(self.body)["objects"]:
            answer: dict[str, Any] = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] not in self.lab.storage:
                where = {"href": f"{self.lab.url}/storage/{one['oid']}"}
                answer["actions"] = {"upload": where, "verify": {"href": f"{self.lab.url}/verify"}}
            objects.append(answer)
        self.send_json({"transfer": "basic", "objects": objects})

    def _store(self, at: Mapping[str, str]) -> None:
        if hashlib.sha256(self.body).hexdigest() != at["oid"]:
            return self.send_error_json(400, "content does not match")
        self.lab.storage[at["oid"]] = self.body
        return self.send_json({})

    def _verify(self, at: Mapping[str, str]) -> None:
        there = json.loads(self.body)["oid"] in self.lab.storage
        self.send_json({}) if there else self.send_error_json(404, "not stored")

    def _commit(self, at: Mapping[str, str]) -> None:
        if (found := self._at(at, True)) is None:
            return None
        repo, branch, commit = found
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, commit):
            return self.send_error_json(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repo.commits[commit])
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.lab.storage:
                    return self.send_error_json(400, "the large file is not stored")
                files[value["path"]] = self.lab.storage[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        made = repo.commit(branch, files, header["summary"])
        return self.send_json({"commitUrl": f"{self.lab.url}/{at['repo']}/commit/{made}", "commitOid": made, "success": True})

    # ------------------------------------------------------------ downloads

    def _resolve(self, at: Mapping[str, str]) -> None:
        if (found := self._at(at)) is None:
            return None
        repo, _, commit = found
        content = repo.commits[commit].get(at["path"])
        if content is None:
            return self.send_error_json(404, "Entry not found", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        etag = hashlib.sha256(content).hexdigest() if large(at["path"]) else git_hash(content)
        return self.send_bytes(content, "application/octet-stream", 200, {"ETag": f'"{etag}"', "X-Repo-Commit": commit})

    _head = _resolve

    # ------------------------------------------------------------ answers

    def send_json(self, content: Any, code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send JSON."""
        self.send_bytes(json.dumps(content).encode(), "application/json", code, headers)

    def send_error_json(self, code: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Send an error as the Hub does: in the body and in a header."""
        self.send_json({"error": message}, code, {"X-Error-Message": message, **(headers or {})})

    def send_bytes(self, content: bytes, kind: str, code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole response."""
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def large(path: str) -> bool:
    """Whether the Hub keeps a file as a large one."""
    return any(fnmatch.fnmatch(path, pattern) for pattern in LARGE)


# ---------------------------------------------------------------- behaviours


def status(code: int, headers: Mapping[str, str] | None = None, message: str = "no") -> Behaviour:
    """An HTTP error."""
    return lambda handler: handler.send_error_json(code, message, headers)


def reset() -> Behaviour:
    """Breaks the connection without an answer."""

    def behave(handler: _Handler) -> None:
        handler.close_connection = True
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    return behave


def done_but_lost() -> Behaviour:
    """Commits, and breaks the connection before the answer."""

    def behave(handler: _Handler) -> None:
        match = re.fullmatch(
            r"/api/(models|spaces)/(?P<repo>[^/]+/[^/]+)/commit/(?P<rev>.+)", unquote(urlsplit(handler.path).path)
        )
        assert match is not None
        handler.send_bytes = lambda *args, **kwargs: None  # type: ignore[method-assign]
        handler._commit(match.groupdict())
        reset()(handler)

    return behave
