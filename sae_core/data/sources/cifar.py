"""CIFAR-10 from its authors' own archive, for machines that reach them but not the Hub.

The *binary version* is fetched (by torchvision, which checks its MD5 sum): 3,073 bytes a picture, one label and 3,072
channel values. torchvision's own CIFAR10 class would unpickle the Python version, and nothing here is unpickled.
Format: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import shutil
import socket
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from sae_core.data.images import png
from sae_core.data.sources.collected import Item
from sae_core.errors import InputError, Unavailable

HOST = "www.cs.toronto.edu"
URL = f"https://{HOST}/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SPLITS = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
RECORD = 1 + 3 * 32 * 32


@contextmanager
def fetched(out_dir: Path, splits: tuple[str, ...] | None, reason: str, embedded: str) -> Iterator[Iterator[Item]]:
    """Download the archive into a scratch folder of `out_dir`, yield its pictures, remove it.

    Args:
        out_dir: the artifact under way.
        splits: train, test or both (the default).
        reason: why the Hub could not be used.
        embedded: the alternative to name.

    Raises: Unavailable when it cannot be fetched either; InputError on another split.
    """
    for split in splits or ():
        if split not in SPLITS:
            raise InputError(f"cifar10 has no split {split!r}; it has train, test")
    scratch = out_dir / ".cifar10"
    try:
        yield batches(_download(scratch, reason, embedded), splits)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download(scratch: Path, reason: str, embedded: str) -> Path:
    from torchvision.datasets.utils import download_url

    try:
        # A short knock first: urllib itself would wait for minutes where packets vanish.
        socket.create_connection((HOST, 443), timeout=10).close()
        download_url(URL, str(scratch), filename="cifar-10-binary.tar.gz", md5=MD5)
    except Exception as error:  # URLError, OSError, RuntimeError: whatever keeps the file away
        raise Unavailable(
            f"cannot fetch CIFAR-10 from huggingface.co ({reason}) nor from {HOST} (170 MB: {error}); {embedded}"
        ) from None
    with tarfile.open(scratch / "cifar-10-binary.tar.gz") as tar:
        tar.extractall(scratch, filter="data")
    return scratch / "cifar-10-batches-bin"


def batches(folder: Path, splits: tuple[str, ...] | None = None) -> Iterator[Item]:
    """Every picture of the binary batches in `folder`, as lossless PNG items, in the archive's order.

    Raises: InputError when a batch is missing or has a length or a label that is not CIFAR-10's.
    """
    for split in splits or tuple(SPLITS):
        number = 0
        for name in SPLITS[split]:
            for record in _records(folder / name):
                pixels = record[1:].reshape(3, 32, 32).transpose(1, 2, 0)
                yield Item(f"{split}/{number:06d}", CLASSES[record[0]], _reader(pixels))
                number += 1


def _records(path: Path) -> npt.NDArray[np.uint8]:
    if not path.is_file():
        raise InputError(f"CIFAR-10 batch {path.name} is missing in {path.parent}; fetch the archive again")
    raw = np.fromfile(path, dtype=np.uint8)
    if len(raw) == 0 or len(raw) % RECORD:
        raise InputError(f"CIFAR-10 batch {path.name} has {len(raw)} bytes, no multiple of {RECORD}; fetch the archive again")
    records = raw.reshape(-1, RECORD)
    if records[:, 0].max() >= len(CLASSES):
        raise InputError(f"CIFAR-10 batch {path.name} holds label {records[:, 0].max()}, above 9; fetch the archive again")
    return records


def _reader(pixels: npt.NDArray[np.uint8]) -> Callable[[], bytes]:
    return lambda: png(Image.fromarray(np.ascontiguousarray(pixels)))
