"""What people say of a dictionary's latents: bookmarks, notes, labels. Kept as `said/<train key>/`, whatever run shows them.

A latent belongs to its dictionary: runs that share one and differ in their names or their steering show the same marks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sae_core.errors import InputError
from sae_core.store import Store

RUN_ID = re.compile(r"run-[0-9a-f]{16}")
KEY = re.compile(r"train-[0-9a-f]{16}")
WAIT = 5.0
"""Seconds a writer waits for another one; writing takes milliseconds."""


def said_folder(store: Store, run_id: str) -> Path:
    """Where what is said of a run's dictionary is kept; the folder may not be there yet.

    Raises: InputError for what is no run's id, or a run that is not recorded in this cache.
    """
    if not RUN_ID.fullmatch(run_id):
        raise InputError(f"{run_id[:40]!r} is no run's id; `ls` lists the runs, such as run-0123456789abcdef")
    try:
        key = str(json.loads((store.run_folder(run_id) / "run.json").read_text(encoding="utf-8"))["keys"]["train"])
    except FileNotFoundError:
        raise InputError(f"no run {run_id} in {store.root}; `ls` lists the runs") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"the record of {run_id} in {store.root} cannot be read: {error}; run its configuration again") from None
    if not KEY.fullmatch(key):
        raise InputError(f"the record of {run_id} names no dictionary; run its configuration again")
    return store.root / "said" / key


@contextmanager
def writing(folder: Path, file: str) -> Iterator[None]:
    """Hold one of the folder's files for writing, making the folder; writers wait for one another.

    Raises: InputError when another process holds it for long, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(str(folder / f".lock-{file}"), timeout=WAIT):
            yield
    except Timeout:
        raise InputError(f"{folder / file} is being written by another process; try again") from None
    except OSError as error:
        raise InputError(f"cannot write {folder / file}: {error.strerror}; make the folder writable") from None
