"""The folder of a site: written whole beside its place and moved there, so that a reader never meets half a site."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sae_core.errors import InputError

RECEIPT = "site.json"
"""Marks a folder as a site, with the size and SHA-256 of every other file."""
FORMAT = 1


class Folder:
    """A site being written; `write` adds a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, dict[str, int | str]] = {}

    def write(self, name: str, data: bytes) -> None:
        """Add a file, given by its path within the site."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        self.files[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@contextmanager
def replacing(out: Path, run: str, force: bool) -> Iterator[Folder]:
    """A folder to write a site in, which takes the place of `out` when the block ends without an error.

    An earlier site in `out` loses all its files; other files stay, where `force` allows that there are any.

    Raises: InputError when `out` is no folder, cannot be written, or holds something that is no site.
    """
    earlier = _earlier(out, force)
    # Named by the process: two writers do not disturb each other, and the last one's site stands.
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        folder = Folder(partial)
        yield folder
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in sorted(folder.files.items()))
        folder.write(RECEIPT, f'{{"format": {FORMAT}, "run": {json.dumps(run)}, "files": {{\n{lines}\n}}}}\n'.encode())
        out.mkdir(parents=True, exist_ok=True)
        for name in [*earlier, RECEIPT]:
            (out / name).unlink(missing_ok=True)
        for name in folder.files:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(partial / name, out / name)
        _tidy(out)
    except OSError as error:
        raise InputError(f"cannot write the site to {out}: {error.strerror or error}; choose another folder") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _earlier(out: Path, force: bool) -> list[str]:
    """The files of the site in `out`, without its receipt."""
    if not out.exists():
        return []
    if not out.is_dir():
        raise InputError(f"{out} is a file; give a folder to write the site in")
    if (out / RECEIPT).is_file():
        try:
            files = list(json.loads((out / RECEIPT).read_text(encoding="utf-8"))["files"])
            # A receipt is data: nothing outside the folder is removed, whatever it says.
            return [name for name in files if (out / name).resolve().is_relative_to(out.resolve())]
        except (OSError, ValueError, KeyError, TypeError):
            if not force:
                raise InputError(f"{out / RECEIPT} cannot be read; empty the folder, or write over it with force") from None
            return []
    if any(out.iterdir()) and not force:
        raise InputError(f"{out} holds files that are no site; choose an empty folder, or add the site to them with force")
    return []


def _tidy(out: Path) -> None:
    """Remove folders that are empty now."""
    for folder in sorted((path for path in out.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
