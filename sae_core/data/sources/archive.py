"""A zip of class folders (`.../<class>/x.jpg`), local or remote, read in place: only the pictures wanted are fetched."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

import numpy as np

from sae_core.data.images import SUFFIXES
from sae_core.data.sources.collected import Item, Problem
from sae_core.data.sources.folder import IGNORED, natural
from sae_core.errors import InputError

READ_AHEAD = 16 * 2**20
MAX_BYTES = 256 * 2**20


@contextmanager
def opened(url: str, limit: int | None = None) -> Iterator[tuple[Iterator[Item], list[str], list[Problem]]]:
    """Open a zip by path or fsspec URL: its pictures in the order they are stored, its class folders, what was passed over.

    Stored order and read-ahead make a remote archive one stream. With a limit, pictures evenly spaced over the sorted names
    are taken, so that few are still of all classes.

    Raises: InputError when it is no zip, or holds no picture in a class folder.
    """
    import fsspec  # type: ignore[import-untyped]

    system, path = fsspec.core.url_to_fs(url)
    remote = {} if "local" in str(system.protocol) else {"block_size": READ_AHEAD, "cache_type": "readahead"}
    with system.open(path, "rb", **remote) as handle:
        try:
            zipped = zipfile.ZipFile(handle)
        except (zipfile.BadZipFile, ValueError) as error:
            raise InputError(f"{url} is no zip of pictures: {error}; give a zip of class folders") from None
        with zipped:
            members, problems = _members(zipped)
            if not members:
                raise InputError(f"{url} holds no picture in a class folder; give a zip of <class>/picture.jpg")
            if limit is not None and limit < len(members):
                members = [members[i] for i in np.linspace(0, len(members) - 1, limit).round().astype(int)]
            members.sort(key=lambda info: info.header_offset)
            folders = sorted({PurePosixPath(info.filename).parent.name for info in members}, key=natural)
            yield _items(zipped, members), folders, problems


def _members(zipped: zipfile.ZipFile) -> tuple[list[zipfile.ZipInfo], list[Problem]]:
    members: list[zipfile.ZipInfo] = []
    problems: list[Problem] = []
    for info in zipped.infolist():
        path = PurePosixPath(info.filename)
        hidden = any(part.startswith(".") or part in IGNORED for part in path.parts)
        if info.is_dir() or hidden:
            continue
        if len(path.parts) < 2:
            problems.append(Problem(info.filename, "is in no class folder"))
        elif path.suffix.lower() not in SUFFIXES:
            problems.append(Problem(_short(info), f"is not a picture by its ending {path.suffix!r}"))
        elif info.file_size > MAX_BYTES:
            problems.append(Problem(_short(info), f"is larger than {MAX_BYTES // 2**20} MB unpacked"))
        else:
            members.append(info)
    return sorted(members, key=lambda info: natural(info.filename)), problems


def _short(info: zipfile.ZipInfo) -> str:
    path = PurePosixPath(info.filename)
    return f"{path.parent.name}/{path.name}"


def _items(zipped: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> Iterator[Item]:
    for info in members:
        # Read here, not in a worker thread: a zip handle is one stream.
        yield Item(_short(info), PurePosixPath(info.filename).parent.name, _reader(zipped, info))


def _reader(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes]:
    try:
        data = zipped.read(info)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        reason = str(error)  # a wrong checksum, an unknown compression, a password

        def broken() -> bytes:
            raise InputError(f"it cannot be unpacked: {reason}; mend the zip")

        return broken
    return lambda: data
