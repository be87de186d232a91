"""Latents and classes: how often a latent fires on each class, against labels dealt out anew, and every latent's own class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sae_core.activations.files import open_array
from sae_core.activations.index import Activations
from sae_core.errors import InputError

PERMUTATIONS = 1000
ALPHA = 0.05
LEAST_FIRINGS = 3
"""A class is a latent's own from this many firings on; below it, a class of one image would win by chance."""
DEALT = 100_000
"""(permutation, class) pairs dealt out a domain, which bounds the time for many classes; at least 99 permutations."""
POSTINGS, CELLS = 1_000_000, 4_000_000
"""Postings, and (latent, class) counts, held at once."""
COLUMNS = ("domain", "class", "n", "fires", "rate", "mean", "lift", "null_high", "p")

Ints = NDArray[np.int64]


def class_scores(
    acts: Activations,
    latent: int,
    classes: Mapping[str, Sequence[str]],
    permutations: int = PERMUTATIONS,
    rng: np.random.Generator | None = None,
) -> pd.DataFrame:
    """How often a latent fires on each class of each domain, and whether that is more than chance.

    With F of N labelled images firing, f of the n images of class c among them:

        rate = f / n,   lift = (f / n) / (F / N),   z = (f - n F / N) / sd(f)

    The null deals the labels out anew among the images of the domain, which leaves f a draw from the multivariate
    hypergeometric distribution; that is drawn from directly, so its cost does not depend on N. The largest z over the classes of
    each permutation makes p familywise: p = (1 + permutations whose largest z reaches this class's) / (1 + permutations). z and
    not the lift is compared, because the lift of a class of few images varies most. Near-duplicate pictures are no independent
    evidence: the null, z and p take one picture (the first) of each group, the other columns all.

    Args:
        acts: the activation store, whose `images` hold the labels.
        latent: its id.
        classes: names of the classes by domain, in the order of the labels; a domain that is left out or empty gets no rows.
        permutations: fewer are drawn for more than 100 classes; the frame's `attrs["permutations"]` says how many (the least).
        rng: for the permutations; None: seeded by the latent's id, so a card shows the same numbers whenever it is opened.

    Returns: DataFrame domain, class, n, fires, rate, mean (activation over all n images), lift (0 where the latent is silent
        on the domain), null_high (the lift at which p falls to 0.05; NaN where chance allows no difference), p; of classes with
        images, by domain, most significant first.
    Raises: InputError for a latent that is not there, or a label without a class.
    Source: Westfall & Young 1993, single-step max T.
    """
    rows, values = acts.postings(latent)
    rng = np.random.default_rng(latent) if rng is None else rng
    labels, groups = (acts.images[name].to_numpy(np.int64) for name in ("label", "group"))
    fired = np.zeros(acts.n, dtype=bool)
    fired[rows] = True
    found, drawn = [], permutations
    for domain, start, stop in spans(acts):
        names = classes.get(domain, ())
        own = labels[start:stop]
        _check(domain, own, names)
        labelled = own >= 0
        if not len(names) or not labelled.any():
            continue
        inside = (rows >= start) & (rows < stop)
        at, value = rows[inside], values[inside]
        label = labels[at]
        at, value, label = at[label >= 0], value[label >= 0], label[label >= 0]
        n = np.bincount(own[labelled], minlength=len(names))
        fires = np.bincount(label, minlength=len(names))
        total = np.bincount(label, weights=value, minlength=len(names))
        distinct = _first_of_groups(groups[start:stop], np.flatnonzero(labelled))
        count = min(permutations, max(99, DEALT // len(names)))
        z, null_high, p = _null(own[distinct], fired[start:stop][distinct], len(names), count, rng)
        drawn = min(drawn, count)
        seen = np.flatnonzero(n)
        seen = seen[np.argsort(-z[seen], kind="stable")]
        rate = fires[seen] / n[seen]
        overall = len(at) / int(labelled.sum())
        table = {
            "domain": domain,
            "class": [str(names[c]) for c in seen.tolist()],
            "n": n[seen],
            "fires": fires[seen],
            "rate": rate,
            "mean": total[seen] / n[seen],
            "lift": rate / overall if overall else np.zeros(len(seen)),
            "null_high": null_high[seen],
            "p": p[seen],
        }
        found.append(pd.DataFrame(table))
    scores = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))
    scores.attrs["permutations"] = drawn
    return scores


def _first_of_groups(groups: Ints, rows: Ints) -> Ints:
    """Of `rows` (ascending, at least one) the first of each group, ascending."""
    own = groups[rows] - groups.min()
    first = np.empty(int(own.max()) + 1, dtype=np.int64)
    first[own[::-1]] = rows[::-1]  # of several rows of a group the one written last stands, which is its first
    chosen: Ints = rows[first[own] == rows]
    return chosen


def _null(
    labels: Ints, fired: NDArray[np.bool_], classes: int, permutations: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """z, the lift at the familywise 5 % and p of each class; -inf, NaN and 1 where nothing can differ."""
    n = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[fired], minlength=classes)
    whole, firing = len(labels), int(fired.sum())
    share = n / whole
    expected = firing * share
    deviation = np.sqrt(expected * (1 - share) * (whole - firing) / max(whole - 1, 1))
    able = deviation > 0
    z, null_high, p = np.full(classes, -np.inf), np.full(classes, np.nan), np.ones(classes)
    if not able.any():
        return z, null_high, p
    dealt = rng.multivariate_hypergeometric(n, firing, size=permutations, method="marginals")
    largest = np.sort(((dealt[:, able] - expected[able]) / deviation[able]).max(axis=1))
    z[able] = (hits[able] - expected[able]) / deviation[able]
    # A permutation that gives the very same counts reaches the class's z, whatever the rounding.
    reached = permutations - np.searchsorted(largest, z[able] - 1e-9, side="left")
    p[able] = (1 + reached) / (1 + permutations)
    bar = largest[min(permutations - 1, permutations - int(ALPHA * (1 + permutations)) + 1)]  # the least z of p <= ALPHA
    null_high[able] = 1 + bar * deviation[able] / expected[able]
    return z, null_high, p


def best_classes(acts: Activations, classes: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Every latent's own class: of all classes of all domains the one with the largest lift (see `class_scores`).

    Only classes on which it fires at least LEAST_FIRINGS times count. One pass over the postings, in blocks of bounded memory.

    Args:
        acts: the activation store.
        classes: names of the classes by domain, in the order of the labels.

    Returns: DataFrame latent, best_class (None where there is none), best_domain (of that class), best_class_lift (NaN).
    Raises: InputError for a label without a class.
    """
    labels = acts.images["label"].to_numpy(np.int64)
    wide = sum(len(names) for names in classes.values())
    # Classes of all domains numbered on, and a last one for images without.
    key = np.full(acts.n, wide, dtype=np.min_scalar_type(wide))
    parts: list[tuple[str, slice, Ints]] = []
    offset = 0
    for domain, start, stop in spans(acts):
        names, own = classes.get(domain, ()), labels[start:stop]
        _check(domain, own, names)
        if len(names):
            labelled = own >= 0
            key[start:stop][labelled] = own[labelled] + offset
            n = np.bincount(own[labelled], minlength=len(names))
            parts.append((domain, slice(offset, offset + len(names)), n))
            offset += len(names)
    best, lift = np.full(acts.m, -1), np.zeros(acts.m)
    for start, counts in _class_counts(acts, key, wide + 1):
        for _, part, n in parts:
            fires = counts[:, part]
            with np.errstate(divide="ignore", invalid="ignore"):  # no class without images passes the bar
                found = fires / n / (fires.sum(axis=1, keepdims=True) / n.sum())
            found[fires < LEAST_FIRINGS] = 0.0
            top = found.argmax(axis=1)
            value = found[np.arange(len(top)), top]
            here = np.flatnonzero(value > lift[start : start + len(top)])
            best[start + here], lift[start + here] = top[here] + part.start, value[here]
    named = [(domain, str(name)) for domain, _, _ in parts for name in classes[domain]]
    of = [named[c] if c >= 0 else (None, None) for c in best]
    return pd.DataFrame(
        {
            "latent": np.arange(acts.m),
            "best_class": pd.Series([name for _, name in of], dtype=object),
            "best_domain": pd.Series([domain for domain, _ in of], dtype=object),
            "best_class_lift": np.where(best >= 0, lift, np.nan),
        }
    )


def _class_counts(acts: Activations, key: NDArray[np.unsignedinteger], width: int) -> Iterator[tuple[int, Ints]]:
    """Blocks of latents: the first one, and on how many rows of each key each of them fires, int64 [latents, width]."""
    counts = acts.stats["count"].to_numpy(np.int64)
    ends = np.concatenate([[0], np.cumsum(counts)])
    posted = open_array(acts.folder, "col_rows.npy", np.uint32, int(ends[-1]))
    start = 0
    while start < acts.m:
        fits = int(np.searchsorted(ends, ends[start] + POSTINGS, side="right")) - 1
        stop = min(max(fits, start + 1), start + max(1, CELLS // width), acts.m)
        block = np.zeros((stop - start) * width, dtype=np.int64)
        # A latent of more postings than a block holds is counted piece by piece.
        for low in range(int(ends[start]), int(ends[stop]), POSTINGS):
            high = min(low + POSTINGS, int(ends[stop]))
            owner = np.repeat(np.arange(stop - start), np.diff(np.clip(ends[start : stop + 1], low, high)))
            block += np.bincount(owner * width + key[posted[low:high]], minlength=len(block))
        yield start, block.reshape(stop - start, width)
        start = stop


def spans(acts: Activations) -> list[tuple[str, int, int]]:
    """Each domain with its first row and the one after its last, in row order."""
    return [(str(one["name"]), int(one["start"]), int(one["stop"])) for one in acts.about["domains"]]


def _check(domain: str, labels: Ints, names: Sequence[str]) -> None:
    highest = int(labels.max(initial=-1))
    if len(names) and highest >= len(names):
        raise InputError(
            f"domain {domain}: an image has label {highest}, and there are {len(names)} classes; give all their names"
        )
