"""What a run was trained and tested on: counts, splits, and whether any picture stands on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sae_core.data.frozen import Manifest
from sae_core.publish.licences import NOT_STATED, Licences
from sae_core.publish.metadata import described
from sae_core.publish.run import Run


@dataclass(frozen=True)
class Split:
    """A domain's split.

    Attributes:
        groups: near-duplicate groups with more than one picture.
        crossing: how many of them have pictures in train and in test; a sound split has none.
        judged: how near-duplicates were told.
    """

    domain: str
    classes: int
    train: int
    test: int
    groups: int
    crossing: int
    judged: str


def splits(run: Run) -> dict[str, Split]:
    """The split of each domain whose manifest is made."""
    return {domain: _split(domain, manifest) for domain, manifest in _manifests(run).items()}


def _manifests(run: Run) -> dict[str, Manifest]:
    nodes = {domain: f"manifest:{domain}" for domain in run.config.data}
    return {domain: Manifest.load(run.paths[node]) for domain, node in nodes.items() if node in run.paths}


def _split(domain: str, manifest: Manifest) -> Split:
    train, test = (manifest.split_rows(name) for name in ("train", "test"))
    _, sizes = np.unique(manifest.groups, return_counts=True)
    crossing = len(np.intersect1d(manifest.groups[train], manifest.groups[test]))
    judged = str(manifest.source.get("near_duplicates", "not said"))
    return Split(domain, len(manifest.classes), len(train), len(test), int((sizes > 1).sum()), crossing, judged)


def shared_between_domains(run: Run) -> dict[str, int]:
    """Pictures, equal byte for byte, that one domain trains on and another is tested on: count by "A and B"."""
    content = {}
    for domain, manifest in _manifests(run).items():
        if not manifest.has_images:
            continue
        hashes = manifest.table["sha256"].to_numpy()
        content[domain] = [set(hashes[manifest.split_rows(name)]) for name in ("train", "test")]
    found = {}
    for a, b in combinations(content, 2):
        shared = (content[a][0] & content[b][1]) | (content[b][0] & content[a][1])
        if shared:
            found[f"{a} and {b}"] = len(shared)
    return found


def data_table(run: Run, licences: Licences) -> str:
    """The table of the card, and how the split was made."""
    made = splits(run)
    head = ["domain", "images", "trained on", "classes", "n train", "n test", "licence of the images"]
    rows = []
    for domain, source in run.config.data.items():
        one = made.get(domain)
        counts = ["not counted"] * 3 if one is None else [f"{one.classes:,}", f"{one.train:,}", f"{one.test:,}"]
        trained = "yes" if domain in run.config.train_domains else "no"
        rows.append([domain, described(source), trained, *counts, licences.of(run.config, domain) or NOT_STATED])
    table = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    said = [f"- {_how(run, one)}" for one in made.values()]
    between = [
        f"- {n:,} pictures of {pair} are equal and stand on both sides." for pair, n in shared_between_domains(run).items()
    ]
    return "\n".join([*table, "", *said, *between]).rstrip()


def _how(run: Run, one: Split) -> str:
    source = run.config.data[one.domain]
    held_out = f"{source.test_fraction:.0%} held out, seed {source.split_seed}"
    together = f"near-duplicates ({one.judged}) kept together: {one.groups:,} groups, {one.crossing} on both sides"
    return f"{one.domain}: {held_out}; {together}."
