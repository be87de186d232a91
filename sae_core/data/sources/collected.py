"""What every source hands over, and how encoded pictures become it: read, checked, hashed, made small, in parallel."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sae_core.config import Runtime
from sae_core.data.duplicates import SIDE, signature
from sae_core.data.images import THUMBNAIL, decode, thumbnail, to_rgb
from sae_core.data.pack import ENCODED, THUMBNAILS, PackWriter
from sae_core.errors import InputError
from sae_core.progress import Event, Report

MAX_THREADS = 16
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Problem:
    """A file that could not be used, and why."""

    file: str
    problem: str


@dataclass
class Collected:
    """A source's pictures in their final order, before groups and split are known.

    Attributes:
        files: n names, relative to the root where there is one.
        content: n SHA-256 of the content.
        labels: n indices into `names`, -1 for none.
        captions: n sentences or None.
        sizes: n pairs of width and height in pixels, (0, 0) where there is no picture.
        names, folders: what each class is called, and what it is called on disk.
        problems: what could not be used.
        source: what `source.json` says of where it all came from.
        identities: n strings that place a picture in the split; `content` unless given.
        duplicate_of: n hashes that are equal for pictures to be taken as the same; `content` unless given.
        signatures: uint8 [n, 32, 32] for near-duplicates, or None.
    """

    files: list[str] = field(default_factory=list)
    content: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    captions: list[str | None] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    source: dict[str, Any] = field(default_factory=dict)
    identities: list[str] | None = None
    duplicate_of: list[str] | None = None
    signatures: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Item:
    """One encoded picture of a source: its name, the folder name of its class, its caption, and how to get its bytes."""

    file: str
    folder: str
    read: Callable[[], bytes]
    caption: str | None = None


@dataclass(frozen=True)
class Described:
    """What is kept of a picture that could be read."""

    content: str
    size: tuple[int, int]
    thumbnail: bytes
    signature: npt.NDArray[np.uint8]
    encoded: bytes


def describe(item: Item, by_pixels: bool = False) -> Described | Problem:
    """Read, decode and hash one picture; whatever is wrong with it becomes a Problem.

    Args:
        item: what to read.
        by_pixels: hash a PNG's pixels, not its bytes, so that it does not matter which program encoded it.
    """
    try:
        data = item.read()
        image, size = decode(data, "it", at_least=2 * THUMBNAIL)
        rgb = to_rgb(image)
    except (InputError, OSError) as error:
        return Problem(item.file, str(error).removeprefix("it ").partition("; ")[0])
    hashed = rgb.tobytes() + repr(size).encode() if by_pixels and data.startswith(PNG_MAGIC) else data
    return Described(hashlib.sha256(hashed).hexdigest(), size, thumbnail(rgb), signature(rgb), data)


def describe_all(items: Iterable[Item], runtime: Runtime, by_pixels: bool = False) -> Iterator[tuple[Item, Described | Problem]]:
    """`describe` every item, in order, over threads (decoders release the interpreter lock); few are held at a time."""
    threads = min(runtime.workers or os.cpu_count() or 1, MAX_THREADS)
    waiting: deque[tuple[Item, Future[Described | Problem]]] = deque()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(describe, item, by_pixels)))
                if len(waiting) >= 4 * threads:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def collect_items(
    items: Iterable[Item],
    total: int,
    out_dir: Path,
    report: Report,
    runtime: Runtime,
    keep_encoded: bool = False,
) -> tuple[Collected, list[str]]:
    """Describe every item and write the thumbnails (and the encoded pictures, where they cannot be read again).

    Args:
        items: in their final order.
        total: how many, 0 when not known.
        out_dir: where the packs are written.
        report, runtime: progress; threads.
        keep_encoded: also write `images.bin`, and hash PNGs by their pixels.

    Returns: what was collected, without labels; and the folder name of every row.
    """
    found, folders, signatures = Collected(), list[str](), list[npt.NDArray[np.uint8]]()
    with ExitStack() as packs:
        thumbs = packs.enter_context(PackWriter(out_dir, THUMBNAILS))
        encoded = packs.enter_context(PackWriter(out_dir, ENCODED)) if keep_encoded else None
        for step, (item, result) in enumerate(describe_all(items, runtime, by_pixels=keep_encoded), start=1):
            if isinstance(result, Problem):
                found.problems.append(result)
            else:
                found.files.append(item.file)
                found.content.append(result.content)
                found.captions.append(item.caption)
                found.sizes.append(result.size)
                folders.append(item.folder)
                signatures.append(result.signature)
                thumbs.add(result.thumbnail)
                if encoded is not None:
                    encoded.add(result.encoded)
            if step % 64 == 0 or step == total:
                report(Event("manifest", step, total, {"problems": float(len(found.problems))}))
    found.signatures = np.stack(signatures) if signatures else np.empty((0, SIDE, SIDE), dtype=np.uint8)
    return found, folders
