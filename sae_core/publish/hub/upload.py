"""Files to a repository of the Hub in one commit: what is there already is not sent again, what is half done goes on.

Large files go first, one by one, into the Hub's storage; the commit that makes all of them visible comes last. So whoever reads
the repository sees the old state or the new one, and an upload that broke off goes on with the same call.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sae_core.errors import InputError, SaeLabError, Unavailable
from sae_core.progress import Event, Report, silent
from sae_core.publish.hub.client import CONFLICTS, Hub, worth_another
from sae_core.sae.formats.hub import refusal, status_of
from sae_core.store import sha256_file

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

STAGE = "publish"
MAIN = "main"
GITS_OWN = (".gitattributes", "README.md")
"""What a new repository may hold that nobody put there on purpose."""


@dataclass(frozen=True)
class Pushed:
    """What became of a publication.

    Attributes:
        url: where it can be seen.
        commit: of the repository now.
        private: whether others cannot see it.
        uploaded, unchanged, deleted: names of files.
    """

    repo: str
    url: str
    revision: str
    commit: str
    private: bool
    uploaded: tuple[str, ...]
    unchanged: tuple[str, ...]
    deleted: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether a commit was made."""
        return bool(self.uploaded or self.deleted)


@dataclass(frozen=True)
class Remote:
    """What a repository holds at a commit: the SHA-256 of large files, the git hash of others, by name."""

    commit: str
    private: bool
    files: Mapping[str, str]


def upload(
    hub: Hub,
    files: Mapping[str, Path],
    *,
    private: bool = True,
    revision: str | None = None,
    message: str = "Publish",
    folders: Sequence[str] = (),
    marker: str | None = None,
    repo_type: str = "model",
    create: Mapping[str, Any] | None = None,
    report: Report = silent,
) -> Pushed:
    """Make the repository where it is missing, and bring it to hold `files`.

    Args:
        files: name in the repository -> file.
        private: of a repository that is made; one that is there already must not be more open than this.
        revision: the branch; it is made where it is missing. None for the main one.
        folders: those whose other files are deleted, since they are the publication's own.
        marker: a file that a repository holds which this program may write to; one with other contents is refused.
        create: what else `create_repo` needs, such as a Space's kind.

    Returns: what was done.
    Raises: InputError (token, rights, name, a repository that holds something else), Unavailable (network, limits, trouble at the
        Hub; what is done stays done and the same call goes on), Cancelled by `report`.
    """
    steps = 3
    _check_token(hub)
    report(Event(STAGE, 0, steps, {}, "the token is accepted"))
    _make(hub, private, repo_type, dict(create or {}))
    branch = revision or MAIN
    if branch != MAIN:
        hub.call(hub.api.create_branch, hub.repo, branch=branch, repo_type=repo_type, exist_ok=True)
    report(Event(STAGE, 1, steps, {}, f"the repository {hub.repo} is there"))
    remote = _remote(hub, branch, repo_type)
    if private and not remote.private:
        raise InputError(f"{hub.repo} is public already; say --public to publish there, or give another repository")
    if marker is not None and marker not in remote.files and set(remote.files) - {*GITS_OWN, *files}:
        raise InputError(f"{hub.repo} holds something else (no {marker}); give another repository")
    return _bring(hub, files, remote, branch, message, tuple(folders), repo_type, report)


def _check_token(hub: Hub) -> None:
    said = hub.call(hub.api.whoami)
    role = (said.get("auth") or {}).get("accessToken", {}).get("role")
    if role == "read":
        raise InputError(
            f"{hub.repo}: the token can only read; make one with write access at https://huggingface.co/settings/tokens"
        )


def _make(hub: Hub, private: bool, repo_type: str, create: dict[str, Any]) -> None:
    """Check the right to write, and make the repository where there is none."""
    from huggingface_hub.errors import RepositoryNotFoundError

    def there() -> bool:
        try:
            hub.api.auth_check(hub.repo, repo_type=repo_type, write=True)
        except RepositoryNotFoundError as error:
            if status_of(error) == 401:
                raise
            return False
        return True

    if not hub.call(there):
        hub.call(hub.api.create_repo, hub.repo, repo_type=repo_type, private=private, exist_ok=True, **create)


def _remote(hub: Hub, branch: str, repo_type: str) -> Remote:
    def look() -> Remote:
        from huggingface_hub import RepoFile

        info = hub.api.repo_info(hub.repo, revision=branch, repo_type=repo_type)
        tree = hub.api.list_repo_tree(hub.repo, recursive=True, revision=info.sha, repo_type=repo_type)
        files = {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in tree if isinstance(one, RepoFile)}
        return Remote(str(info.sha), bool(info.private), files)

    return hub.call(look)


def _bring(
    hub: Hub,
    files: Mapping[str, Path],
    remote: Remote,
    branch: str,
    message: str,
    folders: tuple[str, ...],
    repo_type: str,
    report: Report,
) -> Pushed:
    """Commit what differs; anew from what is there where another writer came first or the answer was lost."""
    hashes = {name: _hashes(file) for name, file in files.items()}
    stored: set[str] = set()
    sent: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    for attempt in range(hub.patience.attempts):
        changed = [name for name in files if remote.files.get(name) not in hashes[name]]
        extra = [name for name in remote.files if name.partition("/")[0] in folders and "/" in name and name not in files]
        sent, gone = sent or tuple(changed), gone or tuple(extra)
        if not changed and not extra:
            break
        try:
            additions = _store(hub, {name: files[name] for name in changed}, stored, branch, repo_type, report)
            commit = _commit(hub, additions, extra, remote, branch, message, repo_type)
            remote = Remote(commit, remote.private, remote.files)
            break
        except SaeLabError:
            raise
        except Exception as error:  # the client's errors share no base
            last = attempt + 1 == hub.patience.attempts
            if last or not (status_of(error) in CONFLICTS or worth_another(error)):
                raise _unfinished(refusal(error, hub.repo, hub.doing), len(stored), len(changed)) from None
            hub.patience.wait(attempt, error)
            remote = _remote(hub, branch, repo_type)
    report(Event(STAGE, 3, 3, {}, "published" if sent or gone else "nothing has changed"))
    prefix = "" if repo_type == "model" else f"{repo_type}s/"
    url = f"{hub.api.endpoint}/{prefix}{hub.repo}" + (f"/tree/{branch}" if branch != MAIN else "")
    kept = tuple(name for name in files if name not in sent)
    return Pushed(hub.repo, url, branch, remote.commit, remote.private, sent, kept, gone)


def _hashes(file: Path) -> tuple[str, str]:
    """How the Hub names a file's content: SHA-256 where it is large or binary, git's hash otherwise."""
    blob = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
    with file.open("rb") as handle:
        while block := handle.read(1 << 20):
            blob.update(block)
    return sha256_file(file), blob.hexdigest()


def _store(
    hub: Hub, files: Mapping[str, Path], stored: set[str], branch: str, repo_type: str, report: Report
) -> list[CommitOperationAdd]:
    """Put large files into the Hub's storage, one by one, so that what arrived is never sent twice."""
    from huggingface_hub import CommitOperationAdd

    additions = []
    for number, (name, file) in enumerate(files.items(), 1):
        addition = CommitOperationAdd(name, str(file))
        try:
            hub.call(hub.api.preupload_lfs_files, hub.repo, [addition], repo_type=repo_type, revision=branch, free_memory=False)
        except SaeLabError as error:
            raise _unfinished(error, number - 1, len(files)) from None
        stored.add(name)
        additions.append(addition)
        report(Event(STAGE, 2, 3, {"files": number, "of": len(files)}, f"{name} is ready"))
    return additions


def _commit(
    hub: Hub, additions: list[CommitOperationAdd], extra: list[str], remote: Remote, branch: str, message: str, repo_type: str
) -> str:
    """Make everything visible at once; the new commit's id."""
    from huggingface_hub import CommitOperationDelete

    with warnings.catch_warnings():
        # The client warns that tables may belong into a data set's repository; these belong to the dictionary.
        warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
        made = hub.api.create_commit(
            hub.repo,
            [*additions, *(CommitOperationDelete(name) for name in extra)],
            commit_message=message,
            repo_type=repo_type,
            revision=branch,
            parent_commit=remote.commit,
        )
    return str(made.oid)


def _unfinished(error: SaeLabError, done: int, total: int) -> SaeLabError:
    """The error, with how far it came: nothing is visible before the commit, and what is stored is kept."""
    said = f"{error} ({done} of {total} changed files are stored there, nothing is visible yet; the same command goes on)"
    return Unavailable(said) if isinstance(error, Unavailable) else InputError(said)
