"""The bundled model's small vocabulary: a subset of CLIP's own BPE merges, so that any text still becomes tokens.

CLIP's vocabulary of 49,408 tokens would weigh more than the rest of the model. The subset keeps the most frequent merges and
every merge on the way to the words of our captions, in CLIP's order: those words become the pieces CLIP itself would make of
them, and everything else falls back to shorter pieces and at last to bytes.
"""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterable
from pathlib import Path

Merge = tuple[str, str]


def stock_merges() -> list[Merge]:
    """CLIP's merges in rank order, as open_clip packages them."""
    from open_clip.tokenizer import default_bpe

    lines = gzip.decompress(Path(default_bpe()).read_bytes()).decode("utf-8").split("\n")
    # The bounds are open_clip's (a version line first, merges up to 49,152 tokens in all).
    return [(pair[0], pair[1]) for pair in (line.split() for line in lines[1 : 49152 - 256 - 2 + 1])]


def merges_of(word: str, ranks: dict[Merge, int]) -> list[Merge]:
    """The merges that BPE applies to build a word, in the order applied."""
    pieces = [*word[:-1], word[-1] + "</w>"]
    used: list[Merge] = []
    while len(pieces) > 1:
        best = min(itertools.pairwise(pieces), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        used.append(best)
        merged: list[str] = []
        i = 0
        while i < len(pieces):
            if i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == best:
                merged.append(pieces[i] + pieces[i + 1])
                i += 2
            else:
                merged.append(pieces[i])
                i += 1
        pieces = merged
    return used


def small_merges(words: Iterable[str], most_frequent: int) -> list[Merge]:
    """The `most_frequent` first merges and all those that `words` need, in CLIP's order."""
    stock = stock_merges()
    ranks = {merge: rank for rank, merge in enumerate(stock)}
    kept = set(stock[:most_frequent])
    for word in words:
        kept.update(merges_of(word, ranks))
    return sorted(kept, key=ranks.__getitem__)


def write_merges(path: Path, merges: list[Merge]) -> int:
    """Write a merges file in open_clip's format; returns the vocabulary size of a SimpleTokenizer reading it."""
    text = "\n".join(["#version: a subset of CLIP's merges", *(f"{a} {b}" for a, b in merges)])
    # mtime=0: the same merges are the same bytes.
    path.write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))
    return 2 * 256 + len(merges) + 2
