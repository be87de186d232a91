"""A one-dimensional .npy file that is written piece by piece, its length known only at the end."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray


class GrowingArray:
    """Append to a .npy file without holding it: numpy pads the header so that the length can be filled in when closing.

    Args:
        path: the file to write, overwritten if there.
        dtype: of the array.
    """

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self.length = 0
        self._file = path.open("wb")
        self._header()

    def _header(self) -> None:
        # Little-endian whatever the machine, so that an artifact's bytes and hash do not depend on it.
        descr = self.dtype.newbyteorder("<").str
        npy.write_array_header_1_0(self._file, {"descr": descr, "fortran_order": False, "shape": (self.length,)})

    def append(self, values: NDArray[np.generic]) -> None:
        """Write values behind what is there."""
        self._file.write(np.ascontiguousarray(values, dtype=self.dtype.newbyteorder("<")).data)
        self.length += len(values)

    def close(self) -> None:
        """Fill in the length and close the file."""
        if self._file.closed:
            return
        body = self._file.tell() - self.length * self.dtype.itemsize
        self._file.seek(0)
        self._header()
        assert self._file.tell() == body, "the header of a .npy file must not grow over its data"
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
