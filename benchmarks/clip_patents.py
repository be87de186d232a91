"""Real CLIP embeddings of patent drawings, held out: `python -m benchmarks.clip_patents --data FOLDER`

R² and caption recall@10 of TopK at L0 32 with nothing tuned, of PCA with 32 components, of a random dictionary at L0 32 and of
the seed's recipe, on several splits by near-duplicate group. One line a dictionary in `--results`; what is there is not made
again.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import tables
from benchmarks.dictionaries import SEED, SEED_LONG, Recipe, make, r2
from benchmarks.quality_runs import Results
from benchmarks.spread import Estimate, paired
from benchmarks.worlds import TEST_FRACTION, World, code_of, parser, patents, publish, say, versions
from sae_core.errors import InputError
from sae_core.evaluate.metrics import caption_hits
from sae_core.evaluate.recall import distinct_captions

K = 32
RECALL_AT = 10
SPLITS = 7
RECIPES = {
    "ours/topk": Recipe("topk", 1024, K),
    "PCA": Recipe("pca", 1024, K),
    "random dictionary": Recipe("random", 1024, K),
    SEED: Recipe(SEED, 1024),
    SEED_LONG: Recipe(SEED_LONG, 1024),
}
QUICK = {name: replace(recipe, width=64, k=recipe.k and 4, steps=10) for name, recipe in RECIPES.items()}
AIMS = {"r2": "R²", "recall": f"recall@{RECALL_AT}"}


@dataclass(frozen=True)
class Captioned:
    """A captioned world: which distinct caption is each picture's own (-1: none), and their text embeddings."""

    world: World
    own: NDArray[np.int64]
    texts: NDArray[np.float32]

    def recall(self, x: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Hits among the ten nearest captions, of rows that have one."""
        known = self.own[rows] >= 0
        return caption_hits(x[known], self.own[rows][known], self.texts, (RECALL_AT,))[:, 0]


def captioned(world: World) -> Captioned:
    """The distinct captions of a world that came with text embeddings. Raises InputError without them."""
    if world.embeddings.texts is None:
        raise InputError("no text_embeddings.npy in --data; caption recall needs the captions' embeddings by the same CLIP")
    own, first = distinct_captions(world.manifest.captions)
    return Captioned(world, own, np.asarray(world.embeddings.texts, dtype=np.float32)[first])


def measured(data: Captioned, recipe: Recipe, test: NDArray[np.bool_]) -> dict[str, float]:
    """r2, l0, recall and recall_clip (of x itself) on the rows held out, of a dictionary made from the others."""
    x = data.world.x
    run = make(recipe, x[~test])
    rows = np.flatnonzero(test)
    x_hat, l0 = run(x[rows])
    found = {"r2": r2(x[rows], x_hat), "l0": l0, "recall": float(data.recall(x_hat, rows).mean())}
    return {**found, "recall_clip": float(data.recall(x[rows], rows).mean()), "n": float(len(rows))}


def collected(data: Captioned, recipes: Mapping[str, Recipe], splits: int, results: Results) -> dict[str, list[dict[str, Any]]]:
    """The records of every dictionary, one a split."""
    code, identity = code_of("sae"), data.world.identity
    found: dict[str, list[dict[str, Any]]] = {}
    for split in range(splits):
        test = data.world.held_out(split)
        for name, recipe in recipes.items():
            one = replace(recipe, seed=split)
            settings = {"name": name, "split": split, "data": identity, "code": code, **one.settings()}
            record = results.get(settings)
            if record is None:
                record = results.add(settings, measured(data, one, test))
                say(f"split {split}: {name}: R² {record['r2']:.3f}, recall {record['recall']:.3f}, L0 {record['l0']:.0f}")
            found.setdefault(name, []).append(record)
    return found


def spread(records: Sequence[Mapping[str, Any]], key: str, digits: int) -> str:
    """Mean ± standard deviation over splits."""
    values = [record[key] for record in records]
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{deviation}"


def gaps(found: Mapping[str, Sequence[Mapping[str, Any]]], other: str) -> dict[str, Estimate]:
    """TopK minus another dictionary on the same splits."""
    ours = found["ours/topk"]
    ratio = TEST_FRACTION / (1 - TEST_FRACTION)
    return {key: paired([a[key] - b[key] for a, b in zip(ours, found[other], strict=True)], ratio) for key in AIMS}


def conclusion(gap: Mapping[str, Estimate], other: str, k: int) -> str:
    """Whether TopK is ahead of PCA on both, by where the intervals lie."""
    words = {1: "ahead", -1: "behind", 0: "not distinguishable"}
    parts = [f"{words[gap[key].side]} on held-out {title} ({gap[key].plain()})" for key, title in AIMS.items()]
    sides = [gap[key].side for key in AIMS]
    verdict = "ahead of" if min(sides) == 1 else "behind" if max(sides) == -1 else "not ahead on both of"
    return (
        f"**TopK at L0 {k} is {verdict} PCA-{k}:** {', '.join(parts)}."
        if other == "PCA"
        else f"Against {other}: {', '.join(parts)}."
    )


def report(data: Captioned, found: Mapping[str, Sequence[Mapping[str, Any]]], recipe: Recipe, splits: int) -> str:
    """The table with what it says."""
    x = data.world.x
    tests = statistics.fmean(record["n"] for record in found["ours/topk"])
    title = (
        f"**CLIP ViT-B/32 embeddings of {len(x):,} design-patent drawings, {splits} splits by near-duplicate group** "
        f"({len(x) - tests:,.0f} train, {tests:,.0f} test, {len(data.texts)} distinct captions). F {recipe.width:,}; equal rows, "
        "steps and batch. Mean ± sd over splits."
    )
    rows = [["x itself", "", "1", spread(found["ours/topk"], "recall_clip", 3), "", ""]]
    for name, records in found.items():
        against = [""] * 2 if name == "ours/topk" else [gap.plain() for gap in gaps(found, name).values()]
        rows.append([name, spread(records, "l0", 1), spread(records, "r2", 3), spread(records, "recall", 3), *against])
    header = ["dictionary", "L0", "test R²", f"recall@{RECALL_AT}", "ours − it, R²", f"ours − it, recall@{RECALL_AT}"]
    how = (
        "Differences are paired by split; 95 % interval of Student's t with the variance s² (1/n + test/train), since training "
        "sets overlap (Nadeau & Bengio 2003). TopK's settings are the defaults; a split has its own seed. The seed's recipe "
        "(ReLU + L1, frozen decoder, as in Quality) has the same batch and steps as ours, and once those of its own project "
        "(7,800 steps of 64 rows); its L0 is what it is."
    )
    notes = [conclusion(gaps(found, name), name, recipe.k or 0) for name in found if name != "ours/topk"]
    return "\n\n".join([title, tables.table(header, rows), tables.foot(versions(), [*notes, how], "benchmarks.clip_patents")])


def main() -> int:
    options = parser("clip_patents", __doc__)
    options.add_argument("--splits", type=int, default=SPLITS)
    chosen = options.parse_args()
    try:
        if not chosen.data:
            raise InputError(
                "--data FOLDER was not given; give the folder with image_embeddings.npy, text_embeddings.npy, metadata.csv"
            )
        if chosen.splits < 2:
            raise InputError(f"--splits {chosen.splits}: an interval needs at least 2")
        data = captioned(patents(chosen.data, chosen.cache))
        recipes = QUICK if chosen.quick else RECIPES
        found = collected(data, recipes, chosen.splits, Results(chosen.results))
        publish("clip_patents", report(data, found, recipes["ours/topk"], chosen.splits), chosen)
    except InputError as error:
        say(str(error))
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
