"""Offline names against the truth: `python -m benchmarks.names [--data FOLDER]`.

The demo run's pictures have a known truth, so directions with a known meaning can be planted in its CLIP's space and named like
latents, by their direction and by the pictures of one half that they point at:

    classes       mean embedding of a class minus the mean of all
    primitives    mean embedding of scenes that hold one primitive and nothing else, minus the mean of the sketches
    by amount     mean of the pictures that hold much of a primitive (the upper quarter), minus the mean of those with the least
    random        unit vectors that mean nothing

A name is right when it is the class, or any of the phrases that the bundled model has read for the primitive. Of the demo run's
own dictionary the truth of each name is told by the same counts: does it say which held-out pictures fire the latent? With
`--data`, the design patents' real CLIP embeddings: their captions are the vocabulary, held-out rows are the test.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import sae_core
from benchmarks import tables
from benchmarks.workers import ROOT
from benchmarks.worlds import World, parser, publish, versions, worlds
from sae_core.clip.train_bundled.texts import NAMES
from sae_core.clip.words import drawn_words
from sae_core.config import InterpretConfig
from sae_core.data import drawn
from sae_core.evaluate.metrics import unit
from sae_core.interpret.naming import Naming, name_latents, random_directions
from sae_core.interpret.records import Names
from sae_core.interpret.score import auroc
from sae_core.interpret.vocabulary import Vocabulary, vocabulary_from_words

SCENES = 40
DRAWS = 10
RANDOM = 1000
POINTED = 100
"""Pictures that a planted latent fires on."""
COUNTED = {word for one, many in NAMES.values() for word in one if word not in many}
"""Words that say one of a primitive: more of it makes them less true."""
PHRASES = {word: primitive for primitive, (one, many) in NAMES.items() for word in (*one, *many)}
Floats = NDArray[np.float32]


def classes(world: World) -> tuple[Floats, list[str]]:
    """A direction a class, and its name."""
    means = [world.x[world.labels == c].mean(axis=0) for c in range(len(world.manifest.classes))]
    return np.stack(means) - world.x.mean(axis=0), list(world.manifest.classes)


def primitives(world: World, encoder: sae_core.Encoder, draws: int) -> tuple[Floats, list[str]]:
    """`draws` directions a primitive from scenes of nothing else."""
    directions, meant = [], []
    for primitive in NAMES:
        for draw in range(draws):
            scenes = [drawn.primitive(primitive, draw, i) for i in range(SCENES)]
            pictures = [Image.fromarray(drawn.render(scene, "sketch")) for scene in scenes]
            directions.append(encoder.images(pictures).mean(axis=0) - world.x.mean(axis=0))
            meant.append(primitive)
    return np.stack(directions), meant


def by_amount(world: World) -> tuple[Floats, list[str]]:
    """A direction a primitive: pictures that hold much of it against those that hold least."""
    assert world.manifest.truth is not None
    directions = []
    for primitive in NAMES:
        counts = world.manifest.truth[primitive].to_numpy(float)
        much, least = counts >= max(1.0, np.quantile(counts, 0.75)), counts == counts.min()
        directions.append(world.x[much].mean(axis=0) - world.x[least].mean(axis=0))
    return np.stack(directions), list(NAMES)


def named(world: World, vocabulary: Vocabulary, directions: Floats) -> Naming:
    """Names of planted directions, with the pictures they point at."""
    projected = (world.x - world.x.mean(axis=0)) @ unit(directions).T
    tops = [np.argsort(-column, kind="stable")[:POINTED] for column in projected.T]
    return name_latents(directions.astype(np.float32), vocabulary, world.x, tops, np.random.default_rng(0))


def line(what: str, found: Naming, vocabulary: Vocabulary, meant: list[str] | None) -> list[str]:
    """Directions, share left unnamed, named ones, and how many of those are right."""
    given = found.named
    cells = [what, str(len(given)), f"{100 * (1 - given.mean()):.1f} %", str(int(given.sum()))]
    if meant is None:
        return [*cells, ""]
    words = [vocabulary.words[w] for w in found.words[:, 0]]
    right = np.array([word == target or PHRASES.get(word) == target for word, target in zip(words, meant, strict=True)])
    return [*cells, f"{100 * right[given].mean():.1f} %" if given.any() else ""]


def truth_of(label: str, manifest: sae_core.Manifest) -> NDArray[np.float64]:
    """How true a word is of each picture: its class or not, the amount of a primitive, or how near that is to one."""
    if label not in PHRASES:
        return np.asarray(np.array(manifest.classes)[manifest.labels] == label, dtype=np.float64)
    assert manifest.truth is not None
    counts = manifest.truth[PHRASES[label]].to_numpy(np.float64)
    return np.asarray(-np.abs(counts - 1) if label in COUNTED else counts)


def truth_of_names(run: sae_core.pipeline.Run) -> list[list[str]]:
    """For the dictionary's names: the AUROC of the truth of the name on the pictures, fire against silent, by kind of name."""
    names: Names = run.load("interpret")
    acts = run.load("collect")
    images = acts.images
    manifests = {domain: run.load(f"manifest:{domain}") for domain in acts.domains}
    ok = names.table[names.table["status"] == "ok"]
    found: dict[str, list[float]] = {"class": [], "primitive": []}
    ids, domains = images["image"].to_numpy(), images["domain"].astype(str).to_numpy()
    for latent, label in zip(ok["latent"], ok["label"], strict=True):
        kind = "primitive" if label in PHRASES else "class"
        truth = np.empty(acts.n)
        for domain, manifest in manifests.items():
            at = domains == domain
            truth[at] = truth_of(label, manifest)[ids[at]]
        fires = np.zeros(acts.n, dtype=bool)
        fires[acts.postings(int(latent))[0]] = True
        found[kind].append(auroc(truth[fires], truth[~fires]))
    return [
        [
            kind,
            str(len(areas)),
            *(f"{v:.3f}" for v in np.percentile(areas, [50, 5])),
            f"{100 * np.mean(np.array(areas) > 0.5):.1f} %",
        ]
        for kind, areas in found.items()
        if areas
    ]


def patents(folder: str, cache: Path) -> list[str]:
    """The patents' names by their captions: statuses and what the scores of those given are."""
    overrides = [f"data.path={folder}", "interpret.vocabulary=captions"]
    made = sae_core.run(str(ROOT / "configs/embeddings.yaml"), cache=cache, stage="interpret", overrides=overrides)
    names: Names = made.load("interpret")
    counts = names.table["status"].value_counts()
    tested = names.table[names.table["score"].notna()]
    ok = names.table[names.table["status"] == "ok"]

    def median(name: str) -> str:
        return f"{ok[name].median():.3f}" if len(ok) else ""

    chance = (ok["positives"] / (ok["positives"] + ok["negatives"])).median() if len(ok) else float("nan")
    return [
        str(names.about["words"]),
        str(len(names.table)),
        *(str(int(counts.get(status, 0))) for status in ("ok", "uninterpretable", "insufficient_data", "dead")),
        f"{tested['score'].median():.3f}" if len(tested) else "",
        *(median(name) for name in ("score", "ci_low", "near_miss_auroc", "swap_gap", "retrieval")),
        f"{chance:.3f}",
        f"{100 * names.about['random_abstention']:.1f} %",
    ]


def main() -> int:
    options = parser("names", __doc__).parse_args()
    cache, draws = options.cache, 1 if options.quick else DRAWS
    found = worlds("configs/demo.yaml", [], cache)
    encoder = sae_core.load_encoder("bundled", None, "cpu")
    vocabulary = vocabulary_from_words("builtin", drawn_words(), encoder, InterpretConfig().templates)
    rows = []
    for name, world in found.items():
        planted = {"classes": classes(world), "by amount": by_amount(world)}
        if name == "sketch":
            planted["primitives"] = primitives(world, encoder, draws)
        for what, (directions, meant) in sorted(planted.items()):
            rows.append(line(f"{name}: {what}", named(world, vocabulary, directions), vocabulary, meant))
        for kind in ("isotropic", "data"):
            directions = random_directions(kind, RANDOM, world.x, np.random.default_rng(1))
            what = {"isotropic": "random", "data": "random mixtures of the data"}[kind]
            rows.append(line(f"{name}: {what}", named(world, vocabulary, directions), vocabulary, None))
    head = ["directions", "number", "left unnamed", "named", "right, of those named"]
    run = sae_core.run(str(ROOT / "configs/demo.yaml"), cache=cache, stage="interpret")
    parts = [
        f"**Offline names against the truth, {len(vocabulary.words)} words.**",
        tables.table(head, rows),
        "The demo run's own names: AUROC of their truth, firing pictures against silent ones.",
        tables.table(["names", "latents", "median", "5th percentile", "above 0.5"], truth_of_names(run)),
    ]
    if options.data:
        head = ["captions", "latents", "named", "abstained", "too few images", "dead", "median AUROC, all best words"]
        head += ["of the names", "its lower end", "against near misses", "swap gap", "first 10 that fire", "by chance"]
        parts += ["The design patents, by their captions, on held-out rows:"]
        parts += [tables.table([*head, "random left unnamed"], [patents(options.data, cache)])]
    note = "Random mixtures of the data point at things; they are what a dictionary has to beat, not directions without meaning."
    parts.append(tables.foot({name: str(value) for name, value in versions().items()}, [note], "benchmarks.names"))
    publish("names", "\n\n".join(parts), options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
