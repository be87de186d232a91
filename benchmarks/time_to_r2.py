"""How soon we reach the R² that the seed project's recipe ends with: `python -m benchmarks.train_quality --time-to-r2`."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import datasets, tables
from benchmarks.datasets import DataSet
from benchmarks.quality_runs import SETS, measured
from benchmarks.workers import available, start

ROWS, TEST, D, M, K, K_TRUE = 50_000, 4000, 512, 8192, 32, 16
BATCH = 1024
FIRST_STEPS, GROWTH = 16, 1.5
"""Our trainings get longer by this factor until one ends at the seed's R²: each is a whole training, its decay included."""


def measure(options: argparse.Namespace, results: Path, say: Callable[[str], None]) -> bool:
    """Train the seed's recipe once, then ours with ever more steps until it is level; write the table. Whether it got there."""
    if not available(["seed/relu_l1"], Path(options.peers), say):
        return False
    x, truth = datasets.synthetic(ROWS + TEST, D, K_TRUE)
    data = datasets.keep("time-to-r2", results / "data" / "time-to-r2", x[:ROWS], x[ROWS:], truth)
    cores = len(os.sched_getaffinity(0))
    steps = ROWS * options.seed_epochs // options.seed_batch
    seed = {"peer": "seed/relu_l1", "m": M, "k": K, "batch": options.seed_batch, "steps": steps, "lr": options.seed_lr}
    target = _trained(seed, data, options, results / "workers.log", cores)
    say(f"seed's recipe: R² {target['r2']:.4f} at L0 {target['l0']:.0f} after {target['seconds']:.0f} s")
    rows, count, ours = [_row("the seed's recipe", steps, options.seed_batch, target)], FIRST_STEPS, None
    while ours is None and count <= steps * options.seed_batch // BATCH:
        job = {"peer": "ours/topk", "m": M, "k": K, "batch": BATCH, "steps": count}
        found = _trained(job, data, options, results / "workers.log", cores)
        say(f"ours, {count} steps: R² {found['r2']:.4f} after {found['seconds']:.1f} s")
        rows.append(_row("ours/topk, no setting given", count, BATCH, found))
        ours, count = (found if found["r2"] >= target["r2"] else None), round(count * GROWTH)
    verdict = "Not level within as many rows as the seed's recipe saw."
    if ours is not None:
        ratio = target["seconds"] / ours["seconds"]
        verdict = f"Level after {ours['seconds']:.1f} s against {target['seconds']:.0f} s: {ratio:.1f} times as soon."
    title = f"**Time to the seed's R².** {ROWS:,} synthetic rows, d {D}, F {M}, {cores} threads; test R² of whole trainings."
    table = tables.table(["trainer", "steps", "batch", "s", "test R²", "L0"], rows)
    text = "\n\n".join([title, table, tables.foot({"torch": torch.__version__}, [verdict], "benchmarks.train_quality")])
    say(text)
    tables.write("time_to_r2", text, Path(options.readme))
    return ours is not None


def _trained(job: dict[str, Any], data: DataSet, options: argparse.Namespace, log: Path, cores: int) -> dict[str, float]:
    with start(job["peer"], Path(options.peers), log) as worker, tempfile.TemporaryDirectory() as folder:
        wanted = {**job, "rows": data.path("train")}
        best = worker.ask("calibrate", cores=cores, n=3, **wanted)
        worker.ask("build", **wanted, threads=best["threads"], setting=best["setting"])
        seconds = worker.ask("train")["seconds"]
        worker.ask("finish", sets={name: data.path(name) for name in SETS}, out=folder)
        return {"seconds": seconds, **measured(data, Path(folder))}


def _row(name: str, steps: int, batch: int, found: dict[str, float]) -> list[str]:
    return [name, f"{steps:,}", f"{batch}", f"{found['seconds']:.1f}", f"{found['r2']:.4f}", f"{found['l0']:.0f}"]
