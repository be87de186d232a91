"""Dictionaries on the Hugging Face Hub: `hf://OWNER/NAME[/FOLDER][@REVISION]`, fetched by the Hub's own client and cache.

Every error of that client becomes one line that says what the Hub answered and what to do (`refusal`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sae_core.errors import InputError, SaeLabError, Unavailable

if TYPE_CHECKING:
    import httpx2

SCHEME = "hf://"
LONGEST_WAIT = 60.0
"""Seconds; a Hub that asks for more is not waited for."""
TRANSIENT = (408, 409, 412, 429, 500, 502, 503, 504)
"""Answers that another try may mend; 409 and 412 are another writer's commit."""
TOKENS = "https://huggingface.co/settings/tokens"
NAME = re.compile(r"[A-Za-z0-9_]([\w.\-]{0,94}[A-Za-z0-9_])?", re.ASCII)
"""An owner's or a repository's name."""
PUBLISHED = "dictionary"
"""The folder of a published run in which its dictionary lies."""


@dataclass(frozen=True)
class Address:
    """A place on the Hub: repository, folder in it, revision (None: the main branch)."""

    repo: str
    folder: str = ""
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address that `hf://OWNER/NAME[/FOLDER][@REVISION]` stands for. Raises InputError on anything else."""
        path, at, revision = text.removeprefix(SCHEME).partition("@")
        owner, _, rest = path.partition("/")
        name, _, folder = rest.partition("/")
        parts = [owner, name, *(folder.split("/") if folder else [])]
        legal = all(part and part not in (".", "..") for part in parts) and re.fullmatch(r"[\w.\-/ ]+", path)
        if not legal or (at and not re.fullmatch(r"[\w.\-/]{1,200}", revision)):
            raise InputError(f"{text[:120]!r} is no place on the Hub; write hf://OWNER/NAME, or hf://OWNER/NAME@REVISION")
        if any(not NAME.fullmatch(part) or "--" in part or ".." in part for part in (owner, name)):
            raise InputError(f"{owner}/{name} is no name of a repository on the Hub; write OWNER/NAME")
        return cls(f"{owner}/{name}", folder, revision or None)

    def __str__(self) -> str:
        folder, revision = f"/{self.folder}" if self.folder else "", f"@{self.revision}" if self.revision else ""
        return f"{SCHEME}{self.repo}{folder}{revision}"


def fetch(address: Address, patterns: Sequence[str], token: str | bool | None = None) -> Path:
    """Download the files of a repository that match `patterns` into the Hub's cache, where what is there already is kept.

    Args:
        token: None for that of the environment or login, False for none.

    Returns: the folder of the snapshot, named by its commit.
    Raises: InputError (no such repository, revision or access), Unavailable (the Hub cannot be reached, or has no such files).
    """
    from huggingface_hub import snapshot_download

    bound_waits()
    try:
        # One thread: where the connection breaks, the client's threads take the broken one away from each other.
        found = snapshot_download(
            address.repo, revision=address.revision, allow_patterns=list(patterns), token=token, max_workers=1
        )
        return Path(found)
    except Exception as error:  # the client's errors share no base: HTTP, files, values
        raise refusal(error, str(address), "fetched") from None


def fetched_dictionary(text: str, names: Sequence[str]) -> Path:
    """The folder with the dictionary of an address: that it names, else a published run's, else the repository's own.

    Args:
        names: the file names of every format.
    """
    address = Address.parse(text)
    folders = [address.folder] if address.folder else [PUBLISHED, ""]
    snapshot = fetch(address, [f"{folder}/{name}".lstrip("/") for folder in folders for name in names])
    for folder in folders:
        if any((snapshot / folder / name).is_file() for name in names):
            return snapshot / folder
    raise InputError(f"{address} holds no dictionary of a known format; give the folder too, hf://OWNER/NAME/FOLDER")


# ---------------------------------------------------------------- what the Hub answers


def refusal(error: BaseException, where: str, doing: str) -> SaeLabError:
    """An error of the Hub's client as one of ours, in one line without addresses of requests or anything secret.

    Args:
        where: the repository.
        doing: what could not be done, as a participle: "fetched", "published".
    """
    for one in _chain(error):
        if isinstance(one, SaeLabError):
            return one
        status = getattr(getattr(one, "response", None), "status_code", None)
        if isinstance(status, int):
            return _answered(status, where, doing, type(one).__name__, getattr(one, "server_message", None))
    names = {type(one).__name__ for one in _chain(error)}
    if "LocalTokenNotFoundError" in names:
        return InputError(f"{where}: no token of the Hugging Face Hub; set HF_TOKEN, or log in with `hf auth login`")
    if names & {"OfflineModeIsEnabled"}:
        return Unavailable(f"{where} cannot be {doing}: HF_HUB_OFFLINE is set; unset it")
    if isinstance(error, (OSError, RuntimeError)) or any(type(one).__module__.startswith("httpx") for one in _chain(error)):
        return Unavailable(f"{where} cannot be {doing}: the Hub cannot be reached ({type(error).__name__}); try again later")
    return Unavailable(f"{where} cannot be {doing}: {type(error).__name__} in the Hub's client; try again")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, outermost first."""
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        seen.append(one)
        yield one
        one = one.__cause__ or one.__context__


def status_of(error: BaseException) -> int | None:
    """The HTTP status an error came with, None where there was no answer."""
    for one in _chain(error):
        status = getattr(getattr(one, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _answered(status: int, where: str, doing: str, kind: str, words: str | None) -> SaeLabError:
    if kind == "RevisionNotFoundError":
        return InputError(f"{where}: there is no such revision; leave it out for the main branch")
    if kind == "GatedRepoError":
        return InputError(f"{where} is gated: ask for access on its page, then try again")
    if kind == "RemoteEntryNotFoundError":
        return InputError(f"{where} lacks a file it should have; it was not published by this program, or by another version")
    said: dict[int, SaeLabError] = {
        401: InputError(f"{where}: the Hub does not accept the token (401); make another at {TOKENS} and set HF_TOKEN"),
        402: InputError(f"{where} cannot be {doing}: the account's plan or storage does not allow it (402)"),
        403: InputError(f"{where}: the token has no right to do this (403); make one with write access at {TOKENS}"),
        404: InputError(f"{where}: no such repository, or the token may not see it (404); check the name and HF_TOKEN"),
        409: Unavailable(f"{where} cannot be {doing}: somebody else is writing to it (409); run the same again"),
        412: Unavailable(f"{where} cannot be {doing}: somebody else wrote to it meanwhile (412); run the same again"),
        413: InputError(f"{where} cannot be {doing}: a file is too large for the Hub (413)"),
        429: Unavailable(f"{where} cannot be {doing}: too many requests (429); wait some minutes, then run the same again"),
    }
    if status in said:
        return said[status]
    if status >= 500:
        return Unavailable(f"{where} cannot be {doing}: the Hub is in trouble ({status}); run the same again later")
    # What the Hub says of a bad request is the only help there is; it may quote what was sent, but no token.
    said_so = " ".join(re.sub(r"hf_\w+", "[token]", words or "").split())[:200]
    return InputError(f"{where} cannot be {doing}: the Hub refused the request ({status}){': ' + said_so if said_so else ''}")


# ---------------------------------------------------------------- waits with an end


@functools.cache
def bound_waits() -> None:
    """Give the Hub's client time limits, and an end to waits that the Hub asks for; once in a process.

    On its own it waits for ever for a silent server and sleeps as long as `Retry-After` says, and asks again without a pause
    while another repository is being made.
    """
    import httpx2
    from huggingface_hub import get_session, set_client_factory

    requests = list(get_session().event_hooks["request"])

    def make() -> httpx2.Client:
        return httpx2.Client(
            event_hooks={"request": requests, "response": [_not_too_long]},
            follow_redirects=True,
            timeout=httpx2.Timeout(60.0, connect=15.0),
        )

    set_client_factory(make)


def _not_too_long(response: httpx2.Response) -> None:
    if response.status_code in (429, 503) and (seconds := retry_after(response)) is not None and seconds > LONGEST_WAIT:
        raise Unavailable(
            f"the Hub asks to wait {seconds:.0f} s ({response.status_code}); run the same again after that, what is done is kept"
        )
    if response.status_code == 409 and response.request.url.path.endswith("/api/repos/create"):
        response.read()
        if "conflicting operation" in response.text:
            raise Conflict(response)


class Conflict(Exception):
    """The account is making another repository right now."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__("another repository is being made")
        self.response = response


def retry_after(response: httpx2.Response) -> float | None:
    """The seconds a response asks to wait (`Retry-After` as a number, or the reset of a rate limit), None where it does not."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text)
    limit = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", response.headers.get("ratelimit", ""))
    return float(limit[1]) if limit and response.status_code == 429 else None
