"""The activation store at size: written, opened, asked: `python -m benchmarks.index`.

Codes are random: 32 distinct latents of 8,192 a row, drawn by a Zipf law, so that some latents fire on a third of all rows and
most on few. Each store is written by a process of its own, whose peak memory is read at its end; making the codes is not timed.
A cold query is the first one after the kernel dropped the store's pages; a warm one has been asked before.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import tables
from sae_core.activations.index import Activations
from sae_core.activations.writer import Rows, Writer
from sae_core.errors import InputError

M, K, BATCH = 8192, 32, 8192
DRAWN = 3 * K // 2
"""Latents drawn a row; the first K distinct ones are kept."""
SIZES = (50_000, 1_000_000)
LATENTS = 40
"""Latents asked about, evenly spread over the order of firing."""
REPEATS = 5


def codes(n: int, seed: int = 0) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Batches of random codes: latents int64 [b, DRAWN] and values float32 [b, DRAWN], 0 where there is none."""
    rng = np.random.default_rng(seed)
    chance = np.cumsum(1 / (np.arange(M) + 10.0))
    names = rng.permutation(M)
    for start in range(0, n, BATCH):
        rows = min(BATCH, n - start)
        drawn = np.searchsorted(chance, rng.random((rows, DRAWN)) * chance[-1])
        order = np.argsort(drawn, axis=1, kind="stable")
        ordered = np.take_along_axis(drawn, order, axis=1)
        again = np.zeros(drawn.shape, dtype=bool)
        np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
        keep = ~again & (np.cumsum(~again, axis=1) <= K)
        values = rng.lognormal(0, 0.5, drawn.shape).astype(np.float32)
        yield names[drawn], np.where(keep, values, np.float32(0))


def write(n: int, folder: Path) -> dict[str, float]:
    """Write a store of n rows; seconds in the writer, megabytes on disk, MiB of memory before and at the peak."""
    writer, before, seconds = Writer(folder, M), _peak(), 0.0
    for indices, values in codes(n):
        start = time.perf_counter()
        writer.append(indices, values)
        seconds += time.perf_counter() - start
    start = time.perf_counter()
    rows = np.arange(n, dtype=np.int64)
    writer.finish([Rows("synthetic", rows, np.full(n, "train"), np.zeros(n, dtype=np.int64), rows)], {})
    seconds += time.perf_counter() - start
    size = sum(file.stat().st_size for file in folder.iterdir())
    return {"seconds": seconds, "megabytes": size / 1e6, "before": before, "peak": _peak()}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget(folder: Path) -> None:
    """Have the kernel drop the store's pages from its cache, as if the machine had just started."""
    for file in folder.iterdir():
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def questions(acts: Activations) -> dict[str, Callable[[int], Any]]:
    """What a latent card asks of the store."""
    return {
        "top 16": lambda j: acts.top(j, 16),
        "histogram": acts.histogram,
        "co-activation": lambda j: acts.coactivation(j, 10),
        "quantile sample": lambda j: acts.quantile_bands(j, rng=np.random.default_rng(j)),
    }


def ask(folder: Path) -> dict[str, float]:
    """Milliseconds: opening the store; the cold and the warm median, and the slowest warm latent, of every question."""
    forget(folder)
    start = time.perf_counter()
    acts = Activations.load(folder)
    found = {"open": _ms(start)}
    order = np.argsort(-acts.stats["count"].to_numpy())
    latents = [int(j) for j in order[np.linspace(0, len(acts.alive()) - 1, LATENTS).astype(int)]]
    for name in questions(acts):
        cold = []
        for j in latents[:: LATENTS // 8]:
            forget(folder)
            fresh = Activations.load(folder)
            _ = fresh.images  # a table that is read whole once, not a part of the question
            question = questions(fresh)[name]
            start = time.perf_counter()
            question(j)
            cold.append(_ms(start))
        found[f"{name} cold"] = statistics.median(cold)
    for name, question in questions(acts).items():
        warm = []
        for j in latents:
            question(j)
            times = []
            for _ in range(REPEATS):
                start = time.perf_counter()
                question(j)
                times.append(_ms(start))
            warm.append(statistics.median(times))
        found[f"{name} warm"], found[f"{name} worst"] = statistics.median(warm), max(warm)
    return found


def _ms(start: float) -> float:
    return 1000 * (time.perf_counter() - start)


def rows(n: int, written: dict[str, float], asked: dict[str, float]) -> tuple[list[str], list[list[str]]]:
    """The cells of both tables for one size."""
    rate = n / written["seconds"]
    dense = n * M * 4 / 1e9
    first = [f"{n:,}", f"{written['seconds']:.1f}", f"{rate:,.0f}", f"{written['megabytes']:.0f}", f"{dense:,.1f}"]
    first += [f"{written['before']:.0f}", f"{written['peak']:.0f}", f"{asked['open']:.0f}"]
    names = [name.removesuffix(" cold") for name in asked if name.endswith(" cold")]
    second = [
        [f"{n:,}", name, f"{asked[f'{name} warm']:.2f}", f"{asked[f'{name} worst']:.2f}", f"{asked[f'{name} cold']:.1f}"]
        for name in names
    ]
    return first, second


def in_a_process(n: int, folder: Path) -> dict[str, float]:
    """`write` in a fresh process: its peak memory is its own."""
    command = [sys.executable, "-m", "benchmarks.index", "--write", str(n), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"writing {n:,} rows failed: {' '.join(done.stderr.split())[-300:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.index", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--folder", type=Path, help="where the stores are written and removed again (default: a temporary one)")
    parser.add_argument("--readme", type=Path, default=tables.README)
    parser.add_argument("--write", nargs=2, metavar=("N", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        print(json.dumps(write(int(options.write[0]), Path(options.write[1]))))
        return 0
    sizes, latencies = [], []
    for n in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            first, second = rows(n, in_a_process(n, Path(folder)), ask(Path(folder)))
        sizes.append(first)
        latencies += second
        print(" | ".join(first), flush=True)
    title = f"**The activation store, {K} of {M:,} latents a row, frequencies by a Zipf law.**"
    header = [
        "rows",
        "written, s",
        "rows/s",
        "size, MB",
        "dense float32, GB",
        "memory before, MiB",
        "at its peak, MiB",
        "open, ms",
    ]
    asked = ["rows", "question", "warm, ms", "slowest latent, ms", "cold, ms"]
    note = (
        f"Medians over {LATENTS} latents from the most to the least frequent ({REPEATS} times each), cold over 8. The dense "
        "column is the seed project's `latents.npy` at this size, computed, not written."
    )
    versions = {name: version(name) for name in ("numpy", "pandas", "pyarrow")}
    foot = tables.foot(versions, [note], "benchmarks.index")
    text = "\n\n".join([title, tables.table(header, sizes), tables.table(asked, latencies), foot])
    tables.write("index", text, options.readme)
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
