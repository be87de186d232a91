"""Content fingerprints of folders: what the files hold, never where they lie; fast when nothing changed.

    fingerprint = sha256 of the sorted lines "<relative path> NUL <sha256 of the bytes> newline"

Reading gigabytes to find that nothing changed would make every run slow, so a small SQLite file in the cache folder keeps
each file's hash with the size and times it was taken at. Nothing depends on that file: lost, it is made again. It also
remembers where a fingerprint was last seen, so that an artifact made from a folder finds it again after a move.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from sae_core.errors import InputError
from sae_core.store import sha256_file

STAT_CACHE = "fingerprints.sqlite"
UNREADABLE = "unreadable"
SETTLED_NS = 2_000_000_000
"""A file changed less than 2 s before it was hashed may change again within one tick of the clock: it is not remembered."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    root TEXT, file TEXT, size INTEGER, mtime INTEGER, ctime INTEGER, sha256 TEXT, PRIMARY KEY (root, file)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS places (fingerprint TEXT PRIMARY KEY, root TEXT);
"""


def digest(hashes: Mapping[str, str]) -> str:
    """The fingerprint of files by relative path: hex SHA-256 (see the module's formula)."""
    total = hashlib.sha256()
    for file in sorted(hashes):
        total.update(f"{file}\0{hashes[file]}\n".encode())
    return total.hexdigest()


def hash_files(root: Path, files: Sequence[str], cache_dir: Path | None) -> dict[str, str]:
    """SHA-256 of every file by relative path; those whose size and times did not change are looked up.

    A file that cannot be read has `UNREADABLE` for its hash: whoever reads it lists it as a problem.
    """
    place = str(root.resolve())
    known = _load(cache_dir, place) if cache_dir is not None else {}
    found: dict[str, str] = {}
    fresh: dict[str, tuple[int, int, int]] = {}
    for file in files:
        try:
            status = (root / file).stat()
        except OSError:
            found[file] = UNREADABLE
            continue
        stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if (entry := known.get(file)) is not None and entry[:3] == stamp:
            found[file] = entry[3]
        else:
            fresh[file] = stamp
    began = time.time_ns()
    # Hashing releases the interpreter lock, and reading waits for the disk: a few threads are all that helps.
    with ThreadPoolExecutor(max_workers=4) as pool:
        hashed = pool.map(lambda file: _hash(root / file), fresh)
        found.update(zip(fresh, hashed, strict=True))
    if cache_dir is not None:
        settled = [(place, f, *s, found[f]) for f, s in fresh.items() if began - max(s[1:]) > SETTLED_NS]
        _store(cache_dir, [row for row in settled if row[-1] != UNREADABLE])
    return found


def remember_place(cache_dir: Path | None, fingerprint: str, root: Path) -> None:
    """Note that the content of this fingerprint lies at `root` now."""
    place = str(root.resolve())
    if cache_dir is not None and last_place(cache_dir, fingerprint) != place:
        with _database(cache_dir) as database:
            database.execute("INSERT OR REPLACE INTO places VALUES (?, ?)", (fingerprint, place))


def last_place(cache_dir: Path, fingerprint: str) -> str | None:
    """Where the content of a fingerprint was last seen, or None."""
    if not (cache_dir / STAT_CACHE).is_file():
        return None
    with _database(cache_dir) as database:
        row = database.execute("SELECT root FROM places WHERE fingerprint = ?", (fingerprint,)).fetchone()
    return None if row is None else str(row[0])


def _load(cache_dir: Path, place: str) -> dict[str, tuple[int, int, int, str]]:
    with _database(cache_dir) as database:
        rows = database.execute("SELECT file, size, mtime, ctime, sha256 FROM files WHERE root = ?", (place,))
        return {file: (size, mtime, ctime, hashed) for file, size, mtime, ctime, hashed in rows}


def _store(cache_dir: Path, rows: Iterable[tuple[str, str, int, int, int, str]]) -> None:
    if rows := list(rows):
        with _database(cache_dir) as database:
            database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", rows)


@contextmanager
def _database(cache_dir: Path) -> Iterator[sqlite3.Connection]:
    path = cache_dir / STAT_CACHE
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        connection = _connect(path)
    except sqlite3.OperationalError as error:
        raise InputError(f"cannot use {path}: {error}; choose another folder with --cache") from None
    except sqlite3.DatabaseError:
        # It is a cache of hashes that can be taken again: a damaged one is dropped, not repaired.
        path.unlink(missing_ok=True)
        connection = _connect(path)
    except OSError as error:
        raise InputError(f"cannot write to cache folder {cache_dir}: {error.strerror}; choose another with --cache") from None
    with closing(connection), connection:
        yield connection


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30)
    try:
        connection.executescript(_SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _hash(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError:
        return UNREADABLE
