"""A run to the Hub: written to a folder, looked through for secrets, and uploaded; or only said, file by file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sae_core.errors import InputError
from sae_core.interpret.vision.secrets import Secret
from sae_core.progress import Report, silent
from sae_core.publish.folder import FOLDERS, PUBLICATION, export_run, files_of
from sae_core.publish.hub.client import PATIENT, Hub, Patience
from sae_core.publish.hub.upload import MAIN, Pushed, upload
from sae_core.publish.licences import NOTHING, Licences
from sae_core.publish.run import Run
from sae_core.sae.formats.hub import Address


@dataclass(frozen=True)
class Planned:
    """What would be published: every file with its size and where it would stand. No network was asked."""

    repo: str
    private: bool
    files: tuple[tuple[str, int, str], ...]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(size for _, size, _ in self.files)


def repository(text: str) -> str:
    """OWNER/NAME of what a user gives as a repository (with or without hf://). Raises InputError on anything else."""
    address = Address.parse(text)
    if address.folder or address.revision:
        raise InputError(f"{text[:120]!r} is no repository; write OWNER/NAME, and the branch as --revision")
    return address.repo


def plan_push(
    run: Run,
    repo: str,
    *,
    private: bool = True,
    revision: str | None = None,
    formats: Sequence[str] | None = None,
    licences: Licences = NOTHING,
) -> Planned:
    """What `push_run` would upload. Raises InputError as `export_run` does."""
    from huggingface_hub import constants

    repo = repository(repo)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "publication"
        export_run(run, out, formats, licences, repo)
        where = f"{constants.ENDPOINT}/{repo}/blob/{revision or MAIN}"
        files = tuple((name, file.stat().st_size, f"{where}/{name}") for name, file in files_of(out).items())
    return Planned(repo, private, files)


def push_run(
    run: Run,
    repo: str,
    *,
    token: Secret | None = None,
    private: bool = True,
    revision: str | None = None,
    formats: Sequence[str] | None = None,
    licences: Licences = NOTHING,
    report: Report = silent,
    patience: Patience = PATIENT,
) -> Pushed:
    """Publish a run on the Hub: dictionary, names, evaluation, configuration and card, in one commit. No image of the data.

    Args:
        run: with a trained dictionary; what it has not made yet is left out.
        repo: OWNER/NAME; made where it is missing.
        token: whose rights; None for that of the environment or login.
        private: of a repository that is made. A public one is only written to with False.
        revision: a branch, None for the main one.
        formats: as in `export_run`.
        licences: what the publisher states.

    Returns: what was uploaded; the same run again changes nothing.
    Raises: InputError, Unavailable; see `upload`.
    """
    repo = repository(repo)
    hub = Hub(repo, token, patience=patience)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "publication"
        export_run(run, out, formats, licences, repo)
        message = f"Publish {run.config.name} ({run.id})"
        files = files_of(out)
        return upload(
            hub, files, private=private, revision=revision, message=message, folders=FOLDERS, marker=PUBLICATION, report=report
        )
