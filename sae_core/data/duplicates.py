"""Near-duplicate pictures: the same picture resized, re-encoded or mirrored, found exactly and without a quadratic wait.

A picture's *signature* is its grey version at 32x32. Two pictures are near-duplicates when the correlation of their
signatures, or of one with the mirror image of the other, is at least 0.985. White paper does not count as likeness: a
signature is centred and scaled to unit norm first, so that only where the ink lies matters.

Finding the pairs. With unit vectors `a`, `b` and correlation c, |a - b|^2 = 2 - 2c. The symmetrised signature
`s(a) = (a + mirror(a)) / 2` is the same for a picture and its mirror image, and both it and any orthogonal projection P
can only shrink distances, so `|P s(a) - P s(b)| <= sqrt(2 - 2 * 0.985) = 0.17` holds for every true pair: comparing 32
principal coordinates loses none, and the few survivors are checked on all 1,024 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 32
THRESHOLD = 0.985
"""On 1,480 real drawings and photos every mirrored, resized or re-encoded copy was above 0.994, every other pair below 0.976."""
COORDINATES = 32
SAMPLE = 4096  # pictures that are enough to find the principal directions
BLOCK = 2048
MIN_CONTRAST = 1.0  # grey levels; below it a picture is blank and has no shape to compare

Float = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]


def signature(image: Image.Image) -> npt.NDArray[np.uint8]:
    """The grey 32x32 version of a picture, uint8 [32, 32].

    PIL's box filter counts whole pixels, so that a mirrored 227-pixel picture is not the mirror of its signature; the Hamming
    window weighs them and is nearly as sharp.
    """
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.HAMMING))


def normalised(signatures: npt.NDArray[np.uint8]) -> Float:
    """Signatures uint8 [n, 32, 32] centred and scaled to unit norm, float32 [n, 32, 32]; blank ones become zero."""
    x = signatures.astype(np.float32)
    x -= x.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt(np.square(x).sum(axis=(1, 2), keepdims=True))
    blank = norm < MIN_CONTRAST * SIDE  # norm = standard deviation x 32
    return np.where(blank, np.float32(0), x / np.where(blank, np.float32(1), norm))


def group(content: Sequence[str], signatures: npt.NDArray[np.uint8] | None, threshold: float = THRESHOLD) -> Index:
    """The near-duplicate group of every picture: the smallest row of those it is the same as, directly or by way of others.

    Args:
        content: n hashes; equal ones are always the same group.
        signatures: uint8 [n, 32, 32], or None to go by the hashes alone.
        threshold: the least correlation of a pair.

    Returns: int64 [n].
    """
    n = len(content)
    first: dict[str, int] = {}
    same = [(first.setdefault(hashed, row), row) for row, hashed in enumerate(content)]
    links = [np.array(same, dtype=np.int64).reshape(-1, 2)]
    if signatures is not None and n > 1:
        # Copies are linked already; without them a thousand copies are not half a million pairs to check.
        distinct = np.fromiter(first.values(), dtype=np.int64)
        links += [distinct[pairs] for pairs in near_pairs(signatures[distinct], threshold)]
    edges = np.concatenate(links)
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    smallest = np.full(n, n, dtype=np.int64)
    np.minimum.at(smallest, component, np.arange(n))
    return np.asarray(smallest[component])


def near_pairs(signatures: npt.NDArray[np.uint8], threshold: float = THRESHOLD) -> Iterator[Index]:
    """Yield batches int64 [m, 2] of every pair whose signatures, mirrored or not, correlate at least `threshold`."""
    points, shaped = _coordinates(signatures)
    order = shaped[np.argsort(points[shaped, 0], kind="stable")]  # blank pictures stay out
    points = points[order]
    radius = np.sqrt(max(0.0, 2 - 2 * threshold))
    # float32 rounding must not lose a pair: the check on all pixels decides anyway.
    slack, limit = radius + 1e-3, (radius + 1e-3) ** 2
    squares = np.square(points).sum(axis=1)
    for start in range(0, len(order), BLOCK):
        stop = min(start + BLOCK, len(order))
        reach = int(np.searchsorted(points[:, 0], points[stop - 1, 0] + slack, side="right"))
        distance = squares[start:stop, None] + squares[None, start:reach] - 2 * points[start:stop] @ points[start:reach].T
        i, j = np.nonzero(distance <= limit)
        later = j > i
        candidates = np.stack([order[i[later] + start], order[j[later] + start]], axis=1)
        for at in range(0, len(candidates), BLOCK):
            batch = candidates[at : at + BLOCK]
            yield batch[_correlation(signatures, batch) >= threshold]


def _correlation(signatures: npt.NDArray[np.uint8], pairs: Index) -> Float:
    a, b = normalised(signatures[pairs[:, 0]]), normalised(signatures[pairs[:, 1]])
    straight = np.einsum("nij,nij->n", a, b)
    mirrored = np.einsum("nij,nij->n", a, b[:, :, ::-1])
    return np.asarray(np.maximum(straight, mirrored))


def _coordinates(signatures: npt.NDArray[np.uint8]) -> tuple[Float, Index]:
    """Principal coordinates float32 [n, 32] of the symmetrised signatures, and the rows that are not blank."""
    n = len(signatures)
    sample = _symmetrised(signatures[np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int64)])
    centred = sample - sample.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    basis = np.ascontiguousarray(vectors[:, ::-1][:, :COORDINATES], dtype=np.float32)
    points = np.empty((n, basis.shape[1]), dtype=np.float32)
    shaped = np.zeros(n, dtype=bool)
    for start in range(0, n, BLOCK):
        part = signatures[start : start + BLOCK]
        symmetric = _symmetrised(part)
        points[start : start + BLOCK] = symmetric @ basis
        shaped[start : start + BLOCK] = part.std(axis=(1, 2)) >= MIN_CONTRAST
    return points, np.flatnonzero(shaped)


def _symmetrised(signatures: npt.NDArray[np.uint8]) -> Float:
    """`(a + mirror(a)) / 2` of normalised signatures, as float32 [n, 512]: one half, times sqrt(2) to keep its length."""
    a = normalised(signatures)
    half = (a[:, :, : SIDE // 2] + a[:, :, : SIDE // 2 - 1 : -1]) * np.float32(np.sqrt(0.5))
    return half.reshape(len(a), -1)
