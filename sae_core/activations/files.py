"""The files of the activation store, opened with their shapes checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sae_core.errors import DamagedArtifact

FORMAT = 1


def index_dtype(m: int) -> np.dtype[Any]:
    """The narrowest of u16 and u32 that holds latent ids 0..m-1."""
    return np.dtype(np.uint16 if m <= 65_536 else np.uint32)


def damaged(folder: Path, name: str, what: str) -> DamagedArtifact:
    """The error for a file that is not what meta.json says, in one line."""
    line = what.splitlines()[0] if what else "it cannot be read"
    return DamagedArtifact(f"activations {folder.name} are damaged: {name}: {line}; remove them and collect again")


def open_array(folder: Path, name: str, dtype: Any, length: int, last: int | None = None) -> NDArray[Any]:
    """Memory-map a one-dimensional array, read-only.

    Args:
        folder: the artifact.
        name: file name in it.
        dtype: that it must have.
        length: that it must have.
        last: for an array of offsets, what it must end at (it begins at 0).

    Raises:
        DamagedArtifact: missing, cut short, another dtype, shape or end.
    """
    try:
        array = np.load(folder / name, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise damaged(folder, name, str(error)) from None
    if array.dtype != dtype or array.shape != (length,):
        raise damaged(folder, name, f"it is {array.dtype} {list(array.shape)} instead of {np.dtype(dtype)} [{length}]")
    if last is not None and (array[0] != 0 or array[-1] != last):
        raise damaged(folder, name, f"it runs from {array[0]} to {array[-1]} instead of 0 to {last}")
    # A plain view: numpy's memmap class costs microseconds in every slice.
    plain: NDArray[Any] = array.view(np.ndarray)
    return plain


def open_table(folder: Path, name: str, length: int) -> pd.DataFrame:
    """Read a parquet table of `length` rows. Raises DamagedArtifact when it is another, or none."""
    try:
        table: pd.DataFrame = pq.read_table(folder / name).to_pandas()
    except (OSError, ValueError) as error:
        raise damaged(folder, name, str(error)) from None
    if len(table) != length:
        raise damaged(folder, name, f"it has {len(table)} rows instead of {length}")
    return table


def ranges(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The concatenation of arange(start, start + size) over all pairs.

    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    if not len(starts):
        return np.zeros(0, dtype=np.int64)
    ends = np.cumsum(sizes)
    return np.repeat(starts - (ends - sizes), sizes) + np.arange(int(ends[-1]))
