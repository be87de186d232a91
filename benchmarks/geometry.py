"""Do sketches give geometry and photos semantics? `python -m benchmarks.geometry`

Dictionaries of equal width, L0, rows and steps are trained on the sketches and on the photo-like pictures of the same drawn
objects, and each is judged on sketches and on photos of objects that no dictionary saw, beside random dictionaries at the same L0
and the raw embedding dimensions. With `--data`, the same on real CLIP embeddings of patent drawings. One line a dictionary in
`--results`; what is there is not made again.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from benchmarks import tables
from benchmarks.geometry_words import DRAWN, PATENTS, RENDERINGS, WIDER, Gaps, conclusions, patents_conclusions
from benchmarks.quality_runs import Results
from benchmarks.spread import share, share_difference, share_excess
from benchmarks.worlds import World, code_of, parser, patents, publish, say, versions, worlds
from sae_core import train_sae
from sae_core.data.drawn import PRIMITIVES
from sae_core.errors import InputError
from sae_core.evaluate.codes import Codes
from sae_core.evaluate.geometry.verdicts import UNTESTED, VERDICTS, Geometry, Setting, judge, prepare
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Arrays, Pool
from sae_core.sae.untrained import random_dictionary

TRAINED_SERIES, JUDGED_SERIES = 1, 2
RAW = "raw dimensions"
NOISE_LATENTS = 500
JUDGES = ("logistic", *(f"geometry/{file}" for file in ("conditional", "propensity", "ranks", "verdicts")))
"""Source that verdicts hang on, beside the dictionaries'."""


@dataclass(frozen=True)
class Size:
    """How much of everything; `steps` None is the recipe's own number."""

    rows: int = 4000
    judged: int = 3000
    width: int = 1024
    k: int = 16
    patents_k: int = 32
    draws: int = 1000
    seeds: int = 5
    steps: int | None = None


QUICK = Size(rows=400, judged=400, width=64, k=4, patents_k=4, draws=100, seeds=2, steps=20)


class Images:
    """Pictures that dictionaries are judged on; the costly part is made when the first is judged."""

    def __init__(self, name: str, world: World, draws: int) -> None:
        self.name, self.world, self._draws = name, world, draws

    @cached_property
    def setting(self) -> Setting:
        """Permutations and the model of class given strokes, shared by all that is judged here."""
        assert self.world.strokes is not None
        rng = np.random.default_rng([20_070, len(self.world.x)])
        return prepare(self.world.strokes, self.world.labels, rng, self.world.groups, draws=self._draws)

    def verdicts(self, codes: Codes) -> dict[str, Any]:
        """Counts of the verdicts, and the median effects over the latents tested."""
        return _numbers(judge(codes, self.setting))


def _numbers(found: Geometry) -> dict[str, Any]:
    tested = found.latents[found.latents["verdict"] != UNTESTED]
    counts = [int((tested["verdict"] == verdict).sum()) for verdict in VERDICTS]
    medians = {f"{kind}_effect": float(tested[f"{kind}_effect"].median()) for kind in ("geometric", "semantic")}
    return {"counts": counts, "latents": len(found.latents), **medians}


def sparse_codes(sae: SAE, x: NDArray[np.float32]) -> scipy.sparse.csr_matrix:
    """Codes [n, m] of embeddings."""
    indices, values = sae.encode_sparse(x)
    rows = np.repeat(np.arange(len(x)), indices.shape[1])
    return scipy.sparse.csr_matrix((values.ravel(), (rows, indices.ravel())), shape=(len(x), sae.m))


def trained(world: World, width: int, k: int, size: Size, seed: int) -> SAE:
    """A TopK dictionary of a world's pictures, as `train_sae` makes it."""
    return train_sae(world.x, "topk", k=k, width=width, seed=seed, device="cpu", steps=size.steps)


def random(world: World, width: int, k: int, seed: int) -> SAE:
    """A frozen random dictionary in the frame of a world's pictures."""
    return random_dictionary(width, k, Pool([(Arrays([world.x]), np.arange(len(world.x)))], world.x.shape[1]), None, seed)


class Lab:
    """Judges dictionaries, each once: what was found stands in the results file."""

    def __init__(self, results: Results, size: Size, say: Callable[[str], None] = say) -> None:
        self.results, self.size, self.say = results, size, say
        self._code = code_of("sae", *(f"evaluate/{file}.py" for file in JUDGES))

    def judged(
        self, kind: str, seed: int, source: str, images: Sequence[Images], codes: Callable[[World], Codes]
    ) -> dict[str, dict[str, Any]]:
        """What a dictionary's verdicts are on each set of pictures, by its name.

        Args:
            kind: what was judged.
            source: identity of what it was trained on.
            codes: its codes of a world's pictures; called only where they were not judged before.
        """
        out = {}
        for one in images:
            settings = {"kind": kind, "seed": seed, "source": source, "images": one.world.identity, **asdict(self.size)}
            settings |= {"code": self._code, "seeds": 0}  # more seeds change nothing of those there are
            record = self.results.get(settings)
            if record is None:
                record = self.results.add(settings, one.verdicts(codes(one.world)))
                self.say(f"{kind}, seed {seed}, on {one.name}: {dict(zip(VERDICTS, record['counts'], strict=True))}")
            out[one.name] = record
        return out

    def facts(self, images: Images) -> dict[str, float]:
        """How many pictures and classes, and how well strokes tell the class."""
        settings = {"kind": "facts", "images": images.world.identity, "draws": self.size.draws, "code": self._code}
        return self.results.get(settings) or self.results.add(settings, images.setting.metrics())


Found = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]
"""Records by seed of (what was judged, pictures)."""


def collected(
    lab: Lab, made: Mapping[str, Callable[[int], SAE]], sources: Mapping[str, World], images: Sequence[Images]
) -> Found:
    """Every kind of dictionary over all seeds, and the raw dimensions, judged on every set of pictures."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for seed in range(lab.size.seeds):
        for kind, maker in made.items():
            kept: list[SAE] = []

            def codes(world: World, maker: Callable[[int], SAE] = maker, seed: int = seed, kept: list[SAE] = kept) -> Codes:
                if not kept:
                    kept.append(maker(seed))
                return sparse_codes(kept[0], world.x)

            for name, record in lab.judged(kind, seed, sources[kind].identity, images, codes).items():
                found.setdefault((kind, name), []).append(record)
    for name, record in lab.judged(RAW, 0, "", images, lambda world: world.x.astype(np.float64)).items():
        found[RAW, name] = [record]
    return found


# ---------------------------------------------------------------- the drawn world


def drawn(lab: Lab, cache: Path) -> dict[str, str]:
    """The headline and the planted check, as tables by name."""
    size = lab.size
    base = worlds("configs/demo.yaml", _series(size.rows, TRAINED_SERIES), cache)
    seen = worlds("configs/demo.yaml", _series(size.judged, JUDGED_SERIES), cache, strokes=True)
    images = [Images(name, seen[name], size.draws) for name in RENDERINGS]
    made: dict[str, Callable[[int], SAE]] = {}
    sources: dict[str, World] = {}
    for name in RENDERINGS:
        made[f"trained on {name}"] = lambda seed, name=name: trained(base[name], size.width, size.k, size, seed)  # type: ignore[misc]
        made[f"random, {name} frame"] = lambda seed, name=name: random(base[name], size.width, size.k, seed)  # type: ignore[misc]
        sources |= {f"trained on {name}": base[name], f"random, {name} frame": base[name]}
    found = collected(lab, made, sources, images)
    title = (
        f"**Sketch-trained against photo-trained dictionaries, the same {size.rows:,} drawn objects rendered twice.** TopK, F "
        f"{size.width:,}, k {size.k}, equal rows and steps, {size.seeds} seeds; judged on {size.judged:,} other objects in each "
        "rendering. % of the latents tested."
    )
    facts = [told(lab, one) for one in images]
    gaps, check = differences(found), planted(lab, images)
    deserving = {"geometric": COUNTS, "semantic": INDICATORS}
    power = {
        (name, verdict): found_of(check[name, kind], (verdict, "both"))
        for name in RENDERINGS
        for verdict, kind in deserving.items()
    }
    notes = [*conclusions(found, gaps, power), *facts, HOW, FRAME]
    kinds = [*made, RAW]
    body = [title, shares_table(kinds, RENDERINGS, found), DIFFERENCE, difference_table(gaps)]
    return {
        "geometry drawn": "\n\n".join([*body, tables.foot(versions(), notes, "benchmarks.geometry")]),
        "geometry planted": planted_table(check),
    }


DIFFERENCE = "Trained on sketches minus trained on photos, percentage points:"
HOW = (
    "95 % intervals: seeds are resampled, and in each seed its latents (raw dimensions: latents alone); the pictures are not, so "
    "they speak of these pictures. Verdicts: false-discovery rate 5 % and an effect of at least 0.1 "
    "(`sae_core/evaluate/geometry`); latents that fire on fewer than 10 pictures are not tested. Effects are medians over "
    "latents, then over seeds."
)
FRAME = "A random dictionary is never trained; it has the mean and the scale (the frame) of the pictures named."


def _series(n: int, seed: int) -> list[str]:
    return [f"data.{name}.{key}={value}" for name in RENDERINGS for key, value in (("n", n), ("seed", seed))]


def told(lab: Lab, images: Images) -> str:
    """What strokes tell of the class on these pictures, in a sentence."""
    facts = lab.facts(images)
    n, classes = facts["geometry_n"], facts["geometry_classes"]
    return (
        f"{images.name.capitalize()}: {n:,.0f} pictures of {classes:.0f} classes were used; strokes alone tell the class "
        f"of {100 * facts['class_from_strokes']:.1f} % (class_from_strokes, held out; the commonest class "
        f"has {100 * facts['class_from_nothing']:.1f} %)."
    )


def shares_table(kinds: Sequence[str], images: Sequence[str], found: Found) -> str:
    """Shares with intervals of every kind on every set of pictures."""
    header = ["judged on", "dictionary", "seeds", "tested a seed", *VERDICTS, "geometric effect", "semantic effect"]
    rng = np.random.default_rng(20_070)
    rows = []
    for name in images:
        for kind in kinds:
            records = found[kind, name]
            counts = [record["counts"] for record in records]
            tested = statistics.fmean(sum(one) for one in counts)
            cells = [share(counts, [which], rng).percent() for which in range(len(VERDICTS))]
            effects = [f"{_median(records, f'{side}_effect'):.2f}" for side in ("geometric", "semantic")]
            rows.append([name, kind, str(len(records)), f"{tested:,.0f}", *cells, *effects])
    return tables.table(header, rows)


def _median(records: Sequence[Mapping[str, Any]], key: str) -> float:
    known = [record[key] for record in records if not math.isnan(record[key])]
    return statistics.median(known) if known else math.nan


def differences(found: Found) -> Gaps:
    """Sketch-trained minus photo-trained, by pictures and verdict; the same of random dictionaries; the one minus the other."""
    rng = np.random.default_rng(20_071)
    out = {}
    for name in RENDERINGS:
        pair = {
            "trained": [[r["counts"] for r in found[f"trained on {side}", name]] for side in RENDERINGS],
            "random": [[r["counts"] for r in found[f"random, {side} frame", name]] for side in RENDERINGS],
        }
        for verdict in (*VERDICTS, *WIDER):
            which = [VERDICTS.index(part) for part in verdict.split(" or ")]
            for what, (first, second) in pair.items():
                out[what, name, verdict] = share_difference(first, second, which, rng)
            out["beyond", name, verdict] = share_excess(pair["trained"], pair["random"], which, rng)
    return out


def difference_table(gaps: Gaps) -> str:
    """The differences, and beside them those of the random dictionaries, which only the frame can make."""
    columns = (*VERDICTS, *WIDER)
    labels = {"trained": "trained dictionaries", "random": "random ones (the frame alone)", "beyond": "trained minus random"}
    rows = [
        [name, label, *(gaps[what, name, column].percent(signed=True) for column in columns)]
        for name in RENDERINGS
        for what, label in labels.items()
    ]
    return tables.table(["judged on", "of", *columns], rows)


# ---------------------------------------------------------------- the planted check


COUNTS, INDICATORS, NOISE = "true counts of primitives", "one indicator a class", "noise"
DESERVED = {COUNTS: ("geometric", "both"), INDICATORS: ("semantic",), NOISE: ("neither",)}

Planted = Mapping[tuple[str, str], Mapping[str, Any]]


def planted(lab: Lab, images: Sequence[Images]) -> Planted:
    """Records, by pictures and kind, of codes of which the truth is known: counts of primitives, classes, nothing."""
    codes: dict[str, Callable[[World], Codes]] = {COUNTS: _counts, INDICATORS: _indicators, NOISE: lambda w: _noise(len(w.x))}
    return {(one.name, kind): lab.judged(kind, 0, "", [one], make)[one.name] for one in images for kind, make in codes.items()}


def found_of(record: Mapping[str, Any], verdicts: Sequence[str]) -> float:
    """Share of the codes tested with one of these verdicts; 0 where none was tested."""
    counts: list[int] = record["counts"]
    return sum(counts[VERDICTS.index(verdict)] for verdict in verdicts) / max(sum(counts), 1)


def planted_table(check: Planted) -> str:
    """The check as a table, with what came out otherwise than it must."""
    rows, failed = [], []
    for (name, kind), record in check.items():
        tested, right = sum(record["counts"]), found_of(record, DESERVED[kind])
        deserved = " or ".join(DESERVED[kind])
        rows.append([name, kind, deserved, str(tested), *map(str, record["counts"]), f"{right:.1%}" if tested else ""])
        if right < 1:
            failed.append(f"{tested - round(right * tested)} of {tested} on {name} pictures ({kind})")
    header = ["judged on", "code", "must be", "tested", *VERDICTS, "as it must"]
    verdict = "Every code comes out as it must." if not failed else f"Otherwise than they must: {'; '.join(failed)}."
    title = "**Codes whose truth is known, judged as the dictionaries are.** Number of codes by verdict."
    how = (
        f"Primitives: {', '.join(PRIMITIVES)}, as the drawn world counts them; the measures are taken from the pictures. Noise: "
        f"{NOISE_LATENTS} latents that fire at random; each test allows for 5 % false discoveries."
    )
    return "\n\n".join([title, tables.table(header, rows), tables.foot(versions(), [verdict, how], "benchmarks.geometry")])


def _counts(world: World) -> Codes:
    truth = world.manifest.truth
    assert truth is not None
    return truth[list(PRIMITIVES)].to_numpy(np.float64)


def _indicators(world: World) -> Codes:
    return np.eye(int(world.labels.max()) + 1)[world.labels]


def _noise(n: int) -> Codes:
    rng = np.random.default_rng(20_072)
    return np.where(rng.random((n, NOISE_LATENTS)) < 0.05, rng.random((n, NOISE_LATENTS)) + 0.5, 0.0)


# ---------------------------------------------------------------- real CLIP


def real(lab: Lab, world: World) -> str:
    """The patents: dictionaries of line drawings alone, beside their controls."""
    size, images = lab.size, [Images("patents", world, lab.size.draws)]
    made: dict[str, Callable[[int], SAE]] = {
        "trained on patents": lambda seed: trained(world, size.width, size.patents_k, size, seed),
        "random dictionary": lambda seed: random(world, size.width, size.patents_k, seed),
    }
    found = collected(lab, made, dict.fromkeys(made, world), images)
    title = (
        f"**The same on CLIP ViT-B/32 embeddings of {len(world.x):,} design-patent drawings, USPC design class as semantics.** "
        f"TopK, F {size.width:,}, k {size.patents_k}, {size.seeds} seeds, trained and judged on all drawings (training sees "
        "neither strokes nor classes). % of the latents tested."
    )
    notes = [*patents_conclusions(found), told(lab, images[0]), HOW]
    table = shares_table([*made, RAW], ["patents"], found)
    return "\n\n".join([title, table, tables.foot(versions(), notes, "benchmarks.geometry")])


def main() -> int:
    options = parser("geometry", __doc__)
    options.add_argument("--parts", nargs="*", default=[DRAWN, PATENTS], choices=[DRAWN, PATENTS])
    options.add_argument("--seeds", type=int)
    chosen = options.parse_args()
    size = QUICK if chosen.quick else Size()
    if chosen.seeds:
        size = Size(**{**asdict(size), "seeds": chosen.seeds})
    lab = Lab(Results(chosen.results), size)
    try:
        if DRAWN in chosen.parts:
            for name, text in drawn(lab, chosen.cache).items():
                publish(name, text, chosen)
        if PATENTS in chosen.parts and not chosen.data:
            say("patents left out: --data FOLDER was not given")
        elif PATENTS in chosen.parts:
            text = real(lab, patents(chosen.data, chosen.cache, strokes=True, overrides=["data.label_column=design_class"]))
            publish("geometry patents", text, chosen)
    except InputError as error:
        say(str(error))
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
