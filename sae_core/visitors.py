"""What visitors of a public app make: a cache each, laid over the one that everyone sees, and room for all of them together.

`<visitors>/<16 hex digits>/` is a visitor's cache; its file `.base` names the shared one, which is never written. The digits are
a hash of a token that only the visitor's browser holds. `<visitors>/slot.json` names the one job that may run at a time.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sae_core.config.public import LIMITS, Limits, refused
from sae_core.errors import InputError
from sae_core.store import BASE, Store, is_id, write_atomic

VARIABLE = "SAE_LAB_VISITORS"
BUSY = "another visitor's job is at work, and this public app does one at a time; try again in a few minutes"
_USED = ".used"
_OWN = re.compile(r"[0-9a-f]{16}")
IsActive = Callable[[Path, str], bool]
"""Whether the job of this id in this cache may still be at work."""


def visitors_folder() -> Path:
    """Where visitors' caches lie: the environment's SAE_LAB_VISITORS, else a folder of the user's home."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else Path.home() / ".sketch-sae-lab" / "visitors"


def cache_of(token: str) -> Path:
    """The folder of a visitor's cache; it need not be there."""
    return visitors_folder() / hashlib.sha256(token.encode()).hexdigest()[:16]


def prepare(cache: Path, shared: Path) -> Store:
    """Make a visitor's cache over the shared one. Raises InputError when it cannot be written."""
    store = Store(cache)
    if store.base is None:
        if len(_caches()) >= LIMITS.caches:
            refused("a visitor, there are too many")
            raise InputError("more visitors made something here today than this app can keep; come back tomorrow")
        try:
            cache.mkdir(parents=True, exist_ok=True)
            write_atomic(cache / BASE, str(shared.absolute()).encode())
        except OSError as error:
            raise InputError(f"this app cannot keep what visitors make: {error.strerror}; tell its owner") from None
        store = Store(cache)
    used(cache)
    return store


def is_own(store: Store) -> bool:
    """Whether a store is a visitor's, and not the one that everyone sees."""
    return store.base is not None and _OWN.fullmatch(store.root.name) is not None and store.root.parent == visitors_folder()


def used(cache: Path, run_id: str | None = None) -> None:
    """Note that a visitor's cache, and a run of theirs in it, was used now; nothing where there is none."""
    run = None if run_id is None else cache / "runs" / run_id
    if run is None or run.is_dir():
        for folder in (cache, *([] if run is None else [run])):
            if folder.is_dir():
                (folder / _USED).touch()


@contextmanager
def slot(cache: Path, job: str, is_active: IsActive) -> Iterator[None]:
    """Hold the server's one place for a job while it is started.

    Raises: InputError while another job holds it.
    """
    root = visitors_folder()
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(str(root / ".slot.lock"))
    try:
        lock.acquire(timeout=10)
    except Timeout:
        refused("a job, the slot is being given away")
        raise InputError(BUSY) from None
    try:
        holder = _holder(root)
        if holder is not None and holder != (cache, job) and is_active(*holder):
            refused("a job, the slot is taken")
            raise InputError(BUSY)
        make_room(is_active, keep=cache)
        yield
        write_atomic(root / "slot.json", json.dumps({"cache": cache.name, "job": job}).encode())
    finally:
        lock.release()


def is_taken(cache: Path, is_active: IsActive) -> bool:
    """Whether another visitor's job holds the place for one now."""
    holder = _holder(visitors_folder())
    return holder is not None and holder[0] != cache and is_active(*holder)


def _holder(root: Path) -> tuple[Path, str] | None:
    try:
        said = json.loads((root / "slot.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return root / said["cache"], said["job"]


# ---------------------------------------------------------------- room


@dataclass(frozen=True)
class _Made:
    """A visitor's run: when it was last used, and the artifacts of it that are the visitor's own."""

    used: float
    cache: Path
    id: str
    keys: frozenset[str]


def make_room(is_active: IsActive, keep: Path | None = None, limits: Limits = LIMITS) -> list[str]:
    """Remove visitors' runs, the least recently used first, until all of them together fit; and whatever nobody used for long.

    Never touched: the shared cache, a cache with a job at work, and the cache `keep`.

    Returns: the run ids and cache folders removed.
    """
    idle = [cache for cache in _caches() if cache != keep and not _at_work(cache, is_active)]
    removed = []
    for cache in idle:
        if time.time() - _when(cache) > limits.kept_seconds:
            shutil.rmtree(cache)
            removed.append(cache.name)
    total = sum(_size(cache) for cache in _caches())
    runs = sorted((run for cache in idle if cache.is_dir() for run in _runs(cache)), key=lambda run: run.used)
    for run in runs:
        if total <= limits.visitors_bytes:
            break
        total -= _remove(run)
        removed.append(run.id)
    for cache in idle:  # what no run accounts for: what was left half done, logs
        if total > limits.visitors_bytes and cache.is_dir() and not _runs(cache):
            total -= _size(cache)
            shutil.rmtree(cache)
            removed.append(cache.name)
    return removed


def _caches() -> list[Path]:
    root = visitors_folder()
    return sorted(path for path in root.iterdir() if _OWN.fullmatch(path.name) and path.is_dir()) if root.is_dir() else []


def _at_work(cache: Path, is_active: IsActive) -> bool:
    return any(is_active(cache, file.parent.name) for file in cache.glob(".jobs/job-*/status.json"))


def _when(folder: Path) -> float:
    mark = folder / _USED
    return (mark if mark.exists() else folder).stat().st_mtime


def _runs(cache: Path) -> list[_Made]:
    found = []
    for file in cache.glob("runs/run-*/run.json"):
        keys = frozenset(json.loads(file.read_text(encoding="utf-8"))["keys"].values())
        found.append(_Made(_when(file.parent), cache, file.parent.name, keys))
    return found


def _remove(run: _Made) -> int:
    """Remove a run and the artifacts that no other run of its visitor needs; the bytes that made free."""
    others = {key for one in _runs(run.cache) if one.id != run.id for key in one.keys}
    freed = 0
    for key in sorted(run.keys - others):
        if not is_id(key):
            continue
        # Straight in the visitor's own folder: a key that the shared cache holds too has nothing here.
        stage = run.cache / key.rpartition("-")[0]
        for folder in (stage / key, stage / f".partial-{key}"):
            if folder.is_dir():
                freed += _size(folder)
                shutil.rmtree(folder)
    record = run.cache / "runs" / run.id
    freed += _size(record)
    shutil.rmtree(record)
    return freed


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
