"""Many blobs in one file: `<name>.bin` is their bytes one after the other, an int64 array [n + 1] says where each starts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np

THUMBNAILS = ("thumbs.bin", "thumbs.npy")
ENCODED = ("images.bin", "images_offsets.npy")


class PackWriter:
    """Append blobs to `folder/names[0]`; `close`, or leaving its `with`, writes the offsets."""

    def __init__(self, folder: Path, names: tuple[str, str]) -> None:
        self._file = (folder / names[0]).open("wb")
        self._offsets_path = folder / names[1]
        self._offsets = [0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def add(self, blob: bytes) -> None:
        """Append one blob; an empty one stands for nothing there."""
        self._file.write(blob)
        self._offsets.append(self._offsets[-1] + len(blob))

    def extend(self, blobs: Iterable[bytes]) -> None:
        """Append several."""
        for blob in blobs:
            self.add(blob)

    def close(self) -> None:
        """Write the offsets and end the file."""
        self._file.close()
        np.save(self._offsets_path, np.array(self._offsets, dtype=np.int64), allow_pickle=False)


class Pack:
    """Read blobs by number; nothing is held but the offsets (memory-mapped) and one mapped file."""

    def __init__(self, folder: Path, names: tuple[str, str]) -> None:
        self._offsets = np.load(folder / names[1], mmap_mode="r", allow_pickle=False)
        size = int(self._offsets[-1])
        path = folder / names[0]
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r") if size else np.empty(0, dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, number: int) -> bytes:
        start, stop = int(self._offsets[number]), int(self._offsets[number + 1])
        return self._bytes[start:stop].tobytes()
