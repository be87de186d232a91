"""Train and test by content: near-duplicates stay together, and the order or names of files change nothing.

A group's place in the queue for the test set is SHA-256 of the split's seed and the group's content, so adding pictures
hardly moves the others, and two folders with the same pictures are split alike.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.int64]


def split(labels: Index, groups: Index, identities: Sequence[str], test_fraction: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which pictures are held out for testing, class by class.

    Every class gives `round(test_fraction * its pictures)` as far as its groups allow; a class with two groups or more has
    at least one on each side, one with a single group is trained on.

    Args:
        labels: int64 [n], -1 for none (all of these count as one class).
        groups: int64 [n], near-duplicate group of each picture.
        identities: n strings, the content of each picture.
        test_fraction: between 0 and 1.
        seed: another seed is another split.

    Returns: bool [n], true for test.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(groups.tolist()):
        members[group].append(row)
    rank = {group: _rank(seed, min(identities[row] for row in rows)) for group, rows in members.items()}
    classes = {group: frozenset(labels[rows].tolist()) for group, rows in members.items()}
    held_out: set[int] = set()
    for own in _strata(labels, classes).values():
        held_out |= _choose(sorted(own, key=rank.__getitem__), {g: len(members[g]) for g in own}, test_fraction)
    _mend(held_out, classes, rank)
    return np.fromiter((group in held_out for group in groups.tolist()), dtype=bool, count=len(groups))


def _rank(seed: int, identity: str) -> str:
    return hashlib.sha256(f"{seed}:{identity}".encode()).hexdigest()


def _strata(labels: Index, classes: dict[int, frozenset[int]]) -> dict[int, list[int]]:
    """Groups by class; one that spans several classes belongs to the rarest, which can spare it least."""
    values, counts = np.unique(labels, return_counts=True)
    size = dict(zip(values.tolist(), counts.tolist(), strict=True))
    strata: dict[int, list[int]] = defaultdict(list)
    for group, own in classes.items():
        strata[min(own, key=lambda label: (size[label], label))].append(group)
    return strata


def _choose(queue: list[int], size: dict[int, int], fraction: float) -> set[int]:
    """The groups of one class to hold out: from the front of the queue, as many as fit."""
    if len(queue) < 2:
        return set()
    total = sum(size.values())
    target = min(max(round(fraction * total), 1), total - 1)
    chosen: set[int] = set()
    taken = 0
    for group in queue:
        if taken + size[group] <= target:
            chosen.add(group)
            taken += size[group]
    return chosen or {min(queue, key=lambda group: size[group])}


def _mend(held_out: set[int], classes: dict[int, frozenset[int]], rank: dict[int, str]) -> None:
    """Give a class whose groups all fell on one side (through groups shared with other classes) one on the other."""
    of_class: dict[int, list[int]] = defaultdict(list)
    for group in sorted(classes, key=rank.__getitem__):
        for label in classes[group]:
            of_class[label].append(group)
    for groups in of_class.values():
        side = {group in held_out for group in groups}
        if len(groups) < 2 or len(side) == 2:
            continue
        for group in groups:
            others = [[g for g in of_class[label] if g != group] for label in classes[group]]
            # Moving it must not strip another class of its last group on this side.
            if all(not rest or any((g in held_out) == (group in held_out) for g in rest) for rest in others):
                held_out ^= {group}
                break
