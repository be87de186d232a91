"""A Space on the Hub: made, filled, and filled again when the run changes."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from sae_core.errors import InputError
from sae_core.interpret.vision.secrets import Secret
from sae_core.progress import Event, Report, silent
from sae_core.publish.hub.client import PATIENT, Hub, Patience
from sae_core.publish.hub.upload import upload
from sae_core.publish.licences import NOTHING, Licences
from sae_core.publish.run import Run
from sae_core.publish.space.bundle import Bundle, write_bundle
from sae_core.publish.space.words import PLAN_NOTE

FOLDERS = ("pages", "sae_core", "configs", "demo")
"""Whose other files are deleted in the Space, since they are the bundle's own."""
MARKER = "serve.py"
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")


def push_space(
    run: Run,
    repo: str,
    *,
    token: Secret | str | None,
    private: bool = True,
    dry_run: bool = False,
    report: Report = silent,
    licences: Licences = NOTHING,
    patience: Patience = PATIENT,
) -> Bundle:
    """Make a Docker Space of a run, or bring one up to date; files that are there already are not sent again.

    Args:
        run, report, licences: as `write_bundle`.
        repo: `owner/name`.
        token: of the Hub, with the right to write; None for that of the environment or login. A dry run needs none.
        private: whether a new Space is seen by its owner alone. A public one is only written to with False.
        dry_run: write the bundle, say what would be sent, and ask nobody.

    Returns: what was sent, or would be; its folder was a temporary one and is gone.
    Raises: as `write_bundle`, and as `publish.hub.upload.upload`.
    """
    if not _REPO.fullmatch(repo):
        raise InputError(f"{repo[:80]!r} is no name of a Space; write it as owner/name")
    hub = None
    if not dry_run:  # before the bundle is written, which takes a while
        hub = Hub(repo, Secret(token) if isinstance(token, str) else token, patience=patience)
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(run, Path(folder) / "space", report, licences=licences)
        report(Event("space", 0, len(bundle.files), {"bytes": float(bundle.bytes)}, PLAN_NOTE))
        if hub is not None:
            upload(
                hub,
                {name: bundle.out / name for name in bundle.files},
                private=private,
                message=f"Sketch SAE Lab with {run.config.name} ({run.id})",
                folders=FOLDERS,
                marker=MARKER,
                repo_type="space",
                create={"space_sdk": "docker"},
                report=report,
            )
    return bundle
