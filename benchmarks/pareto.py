"""L0 against what a dictionary costs: `python -m benchmarks.pareto`

Held-out R² and zero-shot delta (patents: caption recall@10) of every architecture at several sparsities, of the controls and of
the seed's recipe, all made from the same rows. One line a dictionary in `--results`; what is there is not made again.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import tables
from benchmarks.clip_patents import captioned
from benchmarks.dictionaries import SEED, SEED_LONG, Recipe, make, r2
from benchmarks.quality_runs import Results
from benchmarks.spread import Estimate, of_interval
from benchmarks.worlds import World, code_of, parser, patents, publish, say, versions, worlds
from sae_core.clip.prompts import class_directions
from sae_core.clip.towers import Towers
from sae_core.errors import InputError
from sae_core.evaluate.metrics import bootstrap_mean
from sae_core.evaluate.zero_shot import classify

K = 32
SPARSITIES = (8, 16, 32, 64)
SPARSE = ("topk", "random", "pca", "batch_topk", "matryoshka", "jumprelu", "gated")
PENALTIES = (1e-3, 3e-3, 1e-2, 3e-2)
"""L1 coefficients of our ReLU + L1 (rows have mean square norm 1): its L0 is not chosen."""
HEADLINE_SEEDS = 3
BOOTSTRAP = 2000
DRAWN, PATENTS = "drawn", "patents"


@dataclass(frozen=True)
class Task:
    """Rows to make dictionaries from, and held-out rows with what they are asked.

    Attributes:
        train, test: float32 [n, d].
        groups: int64 [number asked], pictures that are resampled together.
        hits: from embeddings of the test rows to 0/1 for each picture that is asked something.
        encoder: the CLIP, where its text tower is here.
    """

    name: str
    what: str
    train: NDArray[np.float32]
    test: NDArray[np.float32]
    groups: NDArray[np.int64]
    hits: Callable[[NDArray[np.float32]], NDArray[np.float64]]
    identity: str
    encoder: str | None
    batch: int

    @cached_property
    def before(self) -> NDArray[np.float64]:
        """The hits of the embeddings as they are."""
        return self.hits(self.test)


def drawn(options: Any) -> Task:
    """Sketches and photos of the drawn world pooled (configs/demo.yaml), each classified with its own prompts."""
    small = [f"data.{name}.n=300" for name in ("sketch", "photo")] if options.quick else []
    found = worlds("configs/demo.yaml", small, options.cache)
    towers, parts = Towers("cpu"), []
    for name, world in found.items():
        test = world.manifest.split_rows("test")
        weights = class_directions(towers.of(world.embeddings.encoder), world.manifest.classes, name)
        parts.append((world, test, weights))
    ends = np.cumsum([0, *(len(test) for _, test, _ in parts)])

    def hits(x: NDArray[np.float32]) -> NDArray[np.float64]:
        right = [
            classify(x[ends[i] : ends[i + 1]], weights) == world.labels[test] for i, (world, test, weights) in enumerate(parts)
        ]
        return np.concatenate(right).astype(np.float64)

    x_train = np.concatenate([world.x[world.manifest.split_rows("train")] for world, _, _ in parts])
    x_test = np.concatenate([world.x[test] for world, test, _ in parts])
    # Row i of both domains shows the same object, so that its two pictures are no independent evidence.
    groups = np.concatenate([world.groups[test] for world, test, _ in parts])
    identity = "-".join(world.identity for world in found.values())
    encoder = parts[0][0].embeddings.encoder
    return Task(DRAWN, "zero-shot accuracy", x_train, x_test, groups, hits, identity, encoder, 1024)


def real(options: Any) -> Task:
    """The patents with the split of the pipeline; without a text tower, captions are what is asked."""
    data = captioned(patents(options.data, options.cache))
    world: World = data.world
    test = world.manifest.split_rows("test")
    rows = test[data.own[test] >= 0]
    place = np.searchsorted(test, rows)

    def hits(x: NDArray[np.float32]) -> NDArray[np.float64]:
        return data.recall(x[place], rows)

    train = world.x[world.manifest.split_rows("train")]
    return Task(PATENTS, "recall@10", train, world.x[test], world.groups[rows], hits, world.identity, None, 256)


def recipes(task: Task, quick: bool) -> dict[str, list[Recipe]]:
    """What is made, by family; what the sentences need comes first."""
    width, steps = (64, 10) if quick else (1024, None)
    base = Recipe("topk", width, batch_size=task.batch, steps=steps)
    widest = 2 * min(len(task.train), task.train.shape[1])  # of PCA: latents; half as many components
    out: dict[str, list[Recipe]] = {}
    for kind in SPARSE:
        levels = [k for k in SPARSITIES if k <= (widest // 2 if kind == "pca" else width // 2)]
        out[kind] = [replace(base, kind=kind, k=k) for k in (levels[:2] if quick else levels)]
    penalties = PENALTIES[:2] if quick else PENALTIES
    out["relu_l1"] = [replace(base, kind="relu_l1", l1=l1) for l1 in reversed(penalties)]
    out["kmeans"] = [replace(base, kind="kmeans", width=min(width, len(task.train)))]  # a centre is a row
    if task.encoder is not None:
        out["splice"] = [replace(base, kind="splice", k=k) for k in (SPARSITIES[:1] if quick else SPARSITIES)]
    return {SEED: [replace(base, kind=SEED)], SEED_LONG: [replace(base, kind=SEED_LONG)], **out}


def _only(wanted: dict[str, list[Recipe]], families: Sequence[str]) -> dict[str, list[Recipe]]:
    unknown = sorted(set(families) - set(wanted))
    if unknown:
        raise InputError(f"--families {' '.join(unknown)}: there are {', '.join(wanted)}")
    return {name: made for name, made in wanted.items() if not families or name in families}


def headline(recipe: Recipe) -> bool:
    """Whether a dictionary is one of those compared in a sentence, which are made with several seeds."""
    return recipe.kind in (SEED, SEED_LONG) or (recipe.kind == "topk" and recipe.k == K)


def measured(task: Task, recipe: Recipe) -> dict[str, Any]:
    """r2 and l0 on the held-out rows, and the hits of each picture."""
    x_hat, l0 = make(recipe, task.train, task.encoder)(task.test)
    return {"r2": r2(task.test, x_hat), "l0": l0, "hits": "".join(str(int(hit == 1)) for hit in task.hits(x_hat))}


def collected(task: Task, wanted: Mapping[str, Sequence[Recipe]], results: Results) -> dict[str, list[list[dict[str, Any]]]]:
    """The records of every family: a list a setting, in it one a seed."""
    code = code_of("sae")
    found: dict[str, list[list[dict[str, Any]]]] = {}
    for family, settings_of in wanted.items():
        for recipe in settings_of:
            seeds = range(HEADLINE_SEEDS if headline(recipe) else 1)
            found.setdefault(family, []).append([_record(task, replace(recipe, seed=s), results, code) for s in seeds])
    return found


def _record(task: Task, recipe: Recipe, results: Results, code: str) -> dict[str, Any]:
    settings = {"task": task.name, "data": task.identity, "code": code, **recipe.settings()}
    record = results.get(settings)
    if record is None:
        record = results.add(settings, measured(task, recipe))
        say(f"{task.name}: {recipe.kind} {setting(recipe)} seed {recipe.seed}: L0 {record['l0']:.1f}, R² {record['r2']:.3f}")
    return record


def mean_hits(records: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Hits of each picture, averaged over seeds."""
    hits = np.array([[float(hit) for hit in record["hits"]] for record in records])
    return np.asarray(hits.mean(axis=0), dtype=np.float64)


def delta(task: Task, records: Sequence[Mapping[str, Any]]) -> Estimate:
    """Accuracy (or recall) of x̂ minus that of x on the same pictures; bootstrap over groups of pictures."""
    return _gap(mean_hits(records) - task.before, task)


def _gap(values: NDArray[np.float64], task: Task) -> Estimate:
    rng = np.random.default_rng(20_075)
    return of_interval(float(values.mean()), bootstrap_mean(values, BOOTSTRAP, rng, task.groups))


def setting(recipe: Recipe) -> str:
    """What was set, in a word."""
    if recipe.l1 is not None:
        return f"l1 {recipe.l1:g}"
    return "" if recipe.k is None else f"{recipe.k}"


def verdicts(
    task: Task, found: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], wanted: Mapping[str, Sequence[Recipe]]
) -> list[str]:
    """TopK at L0 32 against the seed's recipe at its own L0: which loses less, by the paired interval."""
    topk = zip(wanted.get("topk", ()), found.get("topk", ()), strict=True)
    ours = [records for recipe, records in topk if recipe.k == K]
    lines = []
    for family in (SEED, SEED_LONG):
        if not ours or family not in found:
            continue
        theirs = found[family][0]
        gap = _gap(mean_hits(ours[0]) - mean_hits(theirs), task)
        words = {1: "loses less than", -1: "loses more than", 0: "cannot be told from"}[gap.side]
        l0 = statistics.fmean(record["l0"] for record in theirs)
        lines.append(
            f"**In {task.what}, TopK at L0 {K} {words} {family} at its L0 of {l0:.0f}** "
            f"({delta(task, ours[0]).percent(signed=True)} against {delta(task, theirs).percent(signed=True)} points; "
            f"paired difference {gap.percent(signed=True)})."
        )
    return lines


def report(task: Task, found: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], wanted: Mapping[str, Sequence[Recipe]]) -> str:
    """The table with what it says."""
    what = {DRAWN: "Drawn world, sketches and photos pooled, bundled demo model", PATENTS: "Design patents, CLIP ViT-B/32"}[
        task.name
    ]
    width = next(iter(wanted.values()))[0].width
    title = (
        f"**{what}** ({len(task.train):,} train, {len(task.test):,} test, d {task.train.shape[1]}; {task.what} of x itself "
        f"{100 * task.before.mean():.1f} %, n {len(task.before):,}). F {width:,}, equal rows, steps and batch."
    )
    rows = []
    for family, settings_of in wanted.items():
        for recipe, records in zip(settings_of, found[family], strict=True):
            l0, fit = (statistics.fmean(record[key] for record in records) for key in ("l0", "r2"))
            value = f"{100 * float(mean_hits(records).mean()):.1f}"
            rows.append(
                [
                    family,
                    setting(recipe),
                    str(len(records)),
                    f"{l0:.1f}",
                    f"{fit:.3f}",
                    value,
                    delta(task, records).percent(signed=True),
                ]
            )
    header = ["dictionary", "k, L0, components or l1", "seeds", "test L0", "test R²", f"{task.what}, %", "delta, points"]
    how = (
        "Delta: with x̂ minus with x, the same pictures; 95 % interval by bootstrap over pictures (those of one near-duplicate "
        "group, or of one object, together), hits averaged over seeds first; of one seed, it says nothing of seeds. The "
        "seed's recipe has the same batch and steps as ours, and once those of its own project (7,800 steps of 64 rows)."
    )
    notes = [*verdicts(task, found, wanted), how]
    return "\n\n".join([title, tables.table(header, rows), tables.foot(versions(), notes, "benchmarks.pareto")])


def main() -> int:
    options = parser("pareto", __doc__)
    options.add_argument("--parts", nargs="*", default=[DRAWN, PATENTS], choices=[DRAWN, PATENTS])
    options.add_argument("--families", nargs="*", default=[], help="only these, such as topk pca seed/relu_l1")
    chosen = options.parse_args()
    results = Results(chosen.results)
    try:
        for part in chosen.parts:
            if part == PATENTS and not chosen.data:
                say("patents left out: --data FOLDER was not given")
                continue
            task = drawn(chosen) if part == DRAWN else real(chosen)
            wanted = _only(recipes(task, chosen.quick), chosen.families)
            publish(f"pareto {part}", report(task, collected(task, wanted, results), wanted), chosen)
    except InputError as error:
        say(str(error))
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
