"""What trainings are worth, ours, the peers' and the controls': `python -m benchmarks.train_quality`.

Equal rows, steps and batch; every peer at its default and at its best of a small grid, chosen on held-out training rows. One line
a training in `--results`; what is there is not made again, so that it can be stopped at any time and run in pieces.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import datasets, tables, time_to_r2
from benchmarks.datasets import DataSet
from benchmarks.quality_runs import Chain, Results, Setup, count, searched, trainings
from benchmarks.workers import PEERS, ROOT, WorkerError, available, is_ours, start
from sae_core.errors import InputError

RESULTS = Path(__file__).with_name("results")
SETUPS = {
    "synthetic": Setup(m=2048, k=16, batch=512, steps=600),
    "patents": Setup(m=1024, k=32, batch=32, steps=600),
    "drawn": Setup(m=1024, k=16, batch=256, steps=600),
}
WIDTH = {"synthetic": 256, "patents": 512, "drawn": 128}
WHAT = {
    "synthetic": "Sums of 16 of 2,000 known features, with Zipf frequencies, and noise",
    "patents": "CLIP ViT-B/32 embeddings of design-patent drawings, the pipeline's split",
    "drawn": "Embeddings of drawn sketches and photos (configs/demo.yaml) by the bundled demo model, the pipeline's split",
}
TRAINERS = [
    "ours/topk",
    "ours/batch_topk",
    "ours/matryoshka",
    "ours/gated",
    "ours/jumprelu",
    "dictionary_learning/topk",
    "dictionary_learning/batch_topk",
    "dictionary_learning/matryoshka",
    "sae_lens/topk",
    "sae_lens/batch_topk",
    "overcomplete/topk",
    "sparsify/topk",
    "seed/relu_l1",
    "ours/pca",
    "ours/kmeans",
    "ours/random",
]


def prepared(name: str, options: argparse.Namespace) -> DataSet | None:
    """A data set's arrays; None, said in one line, where its source was not given."""
    folder = RESULTS / "data" / name
    if name == "synthetic":
        x, truth = datasets.synthetic(44_000, 256, 16)
        return datasets.keep(name, folder, x[:40_000], x[40_000:], truth)
    if name == "drawn" and options.drawn:
        return datasets.keep(name, folder, *_split(Path(options.drawn)))
    if name == "drawn":
        return datasets.keep(name, folder, *datasets.embedded(str(ROOT / "configs/demo.yaml"), [], Path(options.cache)))
    if not options.data:
        say("patents left out: --data FOLDER with image_embeddings.npy and metadata.csv was not given")
        return None
    overrides = [f"data.path={options.data}"]
    return datasets.keep(name, folder, *datasets.embedded(str(ROOT / "configs/embeddings.yaml"), overrides, Path(options.cache)))


def _split(path: Path) -> tuple[datasets.Floats, datasets.Floats]:
    """Training and test rows of a file without a split of its own: a fifth, drawn at random, is for testing."""
    try:
        x = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read --drawn {path}: {error}; give a .npy file of embeddings [n, d]") from None
    order = np.random.default_rng(0).permutation(len(x))
    cut = len(x) // 5
    return x[np.sort(order[cut:])], x[np.sort(order[:cut])]


def cells(trainer: str, kind: str, records: Sequence[dict[str, Any]]) -> list[str]:
    """A table's row: mean ± standard deviation over seeds."""

    def spread(key: str, digits: int, times: float = 1) -> str:
        values = [times * record[key] for record in records if key in record]
        if not values:
            return ""
        deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
        return f"{statistics.fmean(values):.{digits}f}{deviation}"

    settings = records[0]["settings"]
    if is_ours(trainer):
        how = "no setting given"
    elif not searched(trainer):
        how = f"its lr {records[0]['lr_used']:.2g}"
    else:
        rows = "standardised rows" if settings["standardise"] else "raw rows"
        how = f"{kind}: lr {records[0]['lr_used']:.2g}, {rows}{', warm-up and decay' if settings['tuned'] else ''}"
    values = [spread("r2", 4), spread("l0", 1), spread("dead_fraction", 1, 100), spread("mmcs", 3)]
    return [trainer, how, *values, f"{statistics.median(record['seconds'] for record in records):.1f}"]


def summary(found: dict[str, dict[str, list[dict[str, Any]]]]) -> list[str]:
    """Our default against the best peer at its best, and against the best default, in a line each."""

    def mean(records: list[dict[str, Any]]) -> float:
        return statistics.fmean(record["r2"] for record in records)

    peers = {name: rows for name, rows in found.items() if "best" in rows}
    if not peers or "ours/topk" not in found:
        return []
    ours, lines = found["ours/topk"]["default"], []
    for kind in ("best", "default"):
        name = max(peers, key=lambda peer: mean(peers[peer][kind]))
        best = peers[name][kind]
        dead = [100 * statistics.fmean(record["dead_fraction"] for record in records) for records in (ours, best)]
        r2 = f"R² {mean(ours) - mean(best):+.4f}"
        lines.append(f"ours/topk − {name}, the best peer at its {kind}: {r2}; dead {dead[0]:.1f} % and {dead[1]:.1f} %.")
    return lines


def report(name: str, data: DataSet, found: dict[str, dict[str, list[dict[str, Any]]]], options: argparse.Namespace) -> None:
    """The table of a data set, onto the terminal and, where no trainer was left out beforehand, into the README."""
    if not found:
        return
    setup = SETUPS[name]
    rows = [cells(trainer, kind, records) for trainer in TRAINERS for kind, records in found.get(trainer, {}).items()]
    header = ["trainer", "setting", "test R²", "L0", "dead, %", "MMCS", "s"]
    if data.truth() is None:
        header, rows = [header[i] for i in (0, 1, 2, 3, 4, 6)], [[row[i] for i in (0, 1, 2, 3, 4, 6)] for row in rows]
    test = len(np.load(data.path("test"), mmap_mode="r", allow_pickle=False))
    title = (
        f"**{WHAT[name]}** ({data.rows:,} train, {test:,} test, d {data.d}). F {setup.m}, k {setup.k}, B {setup.batch}, "
        f"{setup.steps:,} steps, {options.seeds} seeds, one thread a training."
    )
    versions = {"torch": torch.__version__}
    peers = [trainer for trainer in found if not is_ours(trainer)]
    if peers:
        with start(peers[0], Path(options.peers), RESULTS / "workers.log") as worker:
            packages = ["torch", "dictionary-learning", "sae-lens", "overcomplete", "eai-sparsify"]
            versions = worker.ask("versions", packages=packages)["versions"]
    text = "\n\n".join([title, tables.table(header, rows), tables.foot(versions, summary(found), "benchmarks.train_quality")])
    sys.stdout.write(text + "\n")
    if wanted(options) == TRAINERS:
        tables.write(f"train_quality {name}", text, Path(options.readme))


def run(name: str, options: argparse.Namespace) -> bool:
    """All trainings of a data set and its table; whether all succeeded."""
    data = prepared(name, options)
    if data is None:
        return True
    results, found, sound = Results(Path(options.results)), {}, True
    chains = [Chain(t, data, SETUPS[name], results, Path(options.peers), RESULTS / "workers.log") for t in wanted(options)]
    chains.sort(key=lambda chain: -cost(chain.trainer, name, options.seeds))

    def whole(chain: Chain) -> dict[str, list[dict[str, Any]]]:
        try:
            return dict(trainings(chain, options.seeds))
        finally:
            chain.close()

    begun = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        waiting = {pool.submit(whole, chain): chain.trainer for chain in chains}
        for done in as_completed(waiting):
            try:
                found[waiting[done]] = done.result()
                say(f"{name}: {waiting[done]} done, {time.monotonic() - begun:.0f} s since the start")
            except WorkerError as error:
                sound = False
                say(f"{name}: {waiting[done]} failed and is left out: {error}")
    report(name, data, found, options)
    return sound


def wanted(options: argparse.Namespace) -> list[str]:
    """The trainers that were asked for and can run."""
    chosen = [name for name in TRAINERS if not options.only or any(word in name for word in options.only)]
    return [name for name in chosen if name in options.runnable]


def cost(trainer: str, name: str, seeds: int) -> float:
    """Estimated seconds of one thread for a chain."""
    setup, d = SETUPS[name], WIDTH[name]
    if trainer in ("ours/pca", "ours/kmeans"):
        return 5.0 * seeds
    sparse = trainer.startswith("ours/") and trainer not in ("ours/gated", "ours/jumprelu")
    flops = (2 if sparse else 10) * d * setup.m * setup.batch
    return count(trainer, seeds) * setup.steps * (flops / GEMM_RATE + WEIGHT_SECONDS * d * setup.m + STEP_SECONDS)


GEMM_RATE, WEIGHT_SECONDS, STEP_SECONDS = 90e9, 19e-9, 1e-3
"""For the plan only: FLOP/s of one thread, seconds a weight (clipping, Adam, normalising) and seconds a step, of eager torch."""


def plan(options: argparse.Namespace) -> None:
    """What would be trained and about how long it takes."""
    total = 0.0
    for name in options.sets:
        for trainer in wanted(options):
            seconds = cost(trainer, name, options.seeds)
            total += seconds
            sys.stdout.write(
                f"{name:10} {trainer:32} {count(trainer, options.seeds):3} trainings  {seconds / 60:5.1f} min of one thread\n"
            )
    sys.stdout.write(
        f"about {total / 60 / options.jobs:.0f} min with {options.jobs} jobs of one thread, if nothing is done yet\n"
    )


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="benchmarks.train_quality", description=__doc__)
    made.add_argument("--peers", default=str(PEERS), help="the peers' python")
    made.add_argument("--data", help="folder of the design patents' embeddings")
    made.add_argument("--drawn", help="embeddings of the drawn world; made by the pipeline when absent")
    made.add_argument("--cache", default="cache", help="where the pipeline keeps what it makes")
    made.add_argument("--results", default=str(RESULTS / "quality.jsonl"))
    made.add_argument("--seeds", type=int, default=3)
    made.add_argument("--jobs", type=int, default=2)
    made.add_argument("--sets", nargs="*", default=list(SETUPS), choices=list(SETUPS))
    made.add_argument("--only", nargs="*", default=[], help="trainers whose name contains one of these; no table is written")
    made.add_argument("--dry-run", action="store_true", help="say what would be trained, and stop")
    made.add_argument("--time-to-r2", action="store_true", help="only: time to the R² that the seed's recipe ends with")
    made.add_argument("--seed-epochs", type=int, default=10)
    made.add_argument("--seed-batch", type=int, default=64)
    made.add_argument("--seed-lr", type=float, default=3e-4)
    made.add_argument("--readme", default=str(tables.README))
    return made


def main() -> int:
    options = parser().parse_args()
    options.runnable = available(TRAINERS, Path(options.peers), say)
    parts: list[Callable[[], bool]] = []
    if options.dry_run:
        plan(options)
    elif options.time_to_r2:
        parts = [lambda: time_to_r2.measure(options, RESULTS, say)]
    else:
        parts = [lambda name=name: run(name, options) for name in options.sets]  # type: ignore[misc]
    try:
        done = [part() for part in parts]
    except InputError as error:
        say(str(error))
        return 2
    return 0 if all(done) else 1


if __name__ == "__main__":
    raise SystemExit(main())
