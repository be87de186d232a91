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
from sae_core.publish.site import write_site
from sae_core.publish.space.bundle import Bundle, write_bundle
from sae_core.publish.space.words import PLAN_NOTE

MARKERS = {"docker": "serve.py", "static": "site.json"}
"""By kind of Space, the file that says that a repository holds one of ours."""
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")


def push_space(
    run: Run,
    repo: str,
    *,
    token: Secret | str | None,
    static: bool = False,
    images: bool = False,
    private: bool = True,
    dry_run: bool = False,
    report: Report = silent,
    licences: Licences = NOTHING,
    patience: Patience = PATIENT,
) -> Bundle:
    """Make a Space of a run, or bring one up to date; files that are there already are not sent again.

    Args:
        run, report, licences: as `write_bundle`, or `write_site` for a static one.
        repo: `owner/name`.
        token: of the Hub, with the right to write; None for that of the environment or login. A dry run needs none.
        static: the static site instead of the app in a container; it costs nothing to host.
        images: as `write_site`.
        private: whether a new Space is seen by its owner alone. A public one is only written to with False.
        dry_run: write the files, say what would be sent, and ask nobody.

    Returns: what was sent, or would be; its folder was a temporary one and is gone.
    Raises: as `write_bundle` or `write_site`, and as `publish.hub.upload.upload`.
    """
    if not _REPO.fullmatch(repo):
        raise InputError(f"{repo[:80]!r} is no name of a Space; write it as owner/name")
    hub = None
    if not dry_run:  # before the files are written, which takes a while
        hub = Hub(repo, Secret(token) if isinstance(token, str) else token, patience=patience)
    kind = "static" if static else "docker"
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_space(run, Path(folder) / "space", static=static, images=images, report=report, licences=licences)
        report(Event("space", 0, len(bundle.files), {"bytes": float(bundle.bytes)}, "" if static else PLAN_NOTE))
        if hub is not None:
            upload(
                hub,
                {name: bundle.out / name for name in bundle.files},
                private=private,
                message=f"Sketch SAE Lab with {run.config.name} ({run.id})",
                # Whose other files are deleted in the Space, since they are an earlier bundle's.
                folders=tuple(sorted({name.partition("/")[0] for name in bundle.files if "/" in name and name[0] != "."})),
                marker=MARKERS[kind],
                repo_type="space",
                create={"space_sdk": kind},
                report=report,
            )
    return bundle


def write_space(
    run: Run, out: Path, *, static: bool = False, images: bool = False, report: Report = silent, licences: Licences = NOTHING
) -> Bundle:
    """Write what `push_space` would send to a folder; arguments and errors as there."""
    if not static:
        return write_bundle(run, out, report, licences=licences)
    site = write_site(run, out, report, images=images, licences=licences)
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    return Bundle(out, tuple(files), site.bytes)
