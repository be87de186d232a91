"""Training speed and memory against the peers: `python -m benchmarks.train_speed`.

Every trainer is a process of its own at its fastest setting on this machine; all take turns of a second or two, several rounds,
so that a disturbance meets all alike. Ratios are taken within a round, and their median is reported.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import datasets, tables
from benchmarks.workers import PEERS, Quiet, Worker, WorkerError, available, interleave, start
from sae_core.errors import InputError

RESULTS = Path(__file__).with_name("results")
K = 32
ROWS = 65_536
"""At least twelve batches of the largest shape: with fewer our trainer would take smaller ones than it is asked for."""
STEPS = 100_000
"""Of the jobs: no schedule ends while it is timed."""
FAMILIES = {
    "TopK": [
        "ours/topk",
        "ours/topk+bf16",
        "dictionary_learning/topk",
        "sae_lens/topk",
        "overcomplete/topk",
        "sparsify/topk",
        "seed/relu_l1",
        "gemm/fp32",
        "gemm/bf16",
    ],
    "BatchTopK": ["ours/batch_topk", "ours/batch_topk+bf16", "dictionary_learning/batch_topk", "sae_lens/batch_topk"],
    "Matryoshka": ["ours/matryoshka", "ours/matryoshka+bf16", "dictionary_learning/matryoshka"],
}
"""Trainers that take turns together; ours comes first, and is what the others are compared with."""
MEMORY = [name for names in FAMILIES.values() for name in names if not name.startswith("gemm")]
WIDTHS = (2048, 4096, 8192, 16_384, 32_768)


@dataclass(frozen=True)
class Shape:
    """Input width d, latents m, batch."""

    d: int
    m: int
    batch: int

    @classmethod
    def read(cls, text: str) -> Shape:
        try:
            return cls(*(int(part) for part in text.split("x")))
        except (ValueError, TypeError):
            raise InputError(f"shape {text!r} is not D x F x B; write for example 512x8192x2048") from None

    def __str__(self) -> str:
        return f"d{self.d} F{self.m} B{self.batch}"


SHAPES = [Shape(512, 4096, 1024), Shape(512, 8192, 2048), Shape(512, 8192, 4096), Shape(1280, 16_384, 2048)]


def floor_rate(gemm: float, m: int, k: int) -> float:
    """Embeddings/s of a trainer that does nothing but the encoder's GEMM, 2dm, and the sparse rest, 8dk, at the GEMM's rate.

    With `gemm` embeddings/s of the bare GEMM, 2dm · gemm / (2dm + 8dk) = gemm · m / (m + 4k): d cancels. The 8dk are decoding and
    the gradients of code, decoder row and encoder row, 2dk each.
    """
    return gemm * m / (m + 4 * k)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over rounds of ours / theirs."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def described(setting: dict[str, Any], threads: int) -> str:
    """A setting in words: "bf16, 2 threads"."""
    words = [str(value) if isinstance(value, str) else name for name, value in setting.items() if value is not False]
    return ", ".join([*words, f"{threads} thread{'s' if threads > 1 else ''}"])


class Bench:
    """What every part needs: where the peers are, how many rounds, where tables go."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.peers, self.rounds, self.device = Path(options.peers), options.rounds, options.device
        self.turn, self.readme, self.only = options.turn_seconds, Path(options.readme), options.only
        self.cores = len(os.sched_getaffinity(0)) if self.device == "cpu" else 1
        self.log = RESULTS / "workers.log"
        known = [name for names in FAMILIES.values() for name in names]
        self.runnable = available(known, self.peers, say)
        self.complete = not self.only and self.runnable == known

    def wanted(self, names: Sequence[str]) -> list[str]:
        """Those of the trainers that were asked for and can run."""
        chosen = [n for n in names if not self.only or n.startswith("gemm") or any(word in n for word in self.only)]
        return [name for name in chosen if name in self.runnable]

    def rows(self, d: int) -> str:
        """A file of embeddings of this width."""
        path = RESULTS / "data" / f"speed-{d}-{ROWS}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, datasets.synthetic(ROWS, d, 16)[0])
        return str(path)

    def job(self, trainer: str, shape: Shape, **more: Any) -> dict[str, Any]:
        fields = {"peer": trainer, "rows": self.rows(shape.d), "m": shape.m, "k": K, "batch": shape.batch, "steps": STEPS}
        return {**fields, "device": self.device, **more}

    def turns(self, names: Sequence[str], shape: Shape) -> tuple[dict[str, Any], dict[str, list[float]], Quiet | None]:
        """Settings and embeddings/s in each round of trainers that take turns at a shape; those that fail are left out."""
        with ExitStack() as stack:
            workers, settings, turns = {}, {}, {}
            for name in names:
                workers[name] = stack.enter_context(start(name, self.peers, self.log))
                try:
                    settings[name] = workers[name].ask("calibrate", cores=self.cores, n=3, **self.job(name, shape))
                except WorkerError as error:
                    say(f"left out: {error}")
                    workers.pop(name).close()
                    continue
                say(f"{name}: {described(settings[name]['setting'], settings[name]['threads'])}")
                steps = max(1, round(self.turn / settings[name]["step_seconds"]))
                turns[name] = partial(_rate, workers[name], steps)
            if not turns:
                return {}, {}, None
            with Quiet(workers.values()) as quiet:
                rates = interleave(turns, self.rounds, say)
        return settings, rates, quiet

    def versions(self, names: Sequence[str]) -> tuple[dict[str, str], str | None]:
        """Versions of what was measured, and the name of the CUDA device it was measured on."""
        packages = ["torch", "dictionary-learning", "sae-lens", "overcomplete", "eai-sparsify"]
        with start(names[0], self.peers, self.log) as worker:
            answer = worker.ask("versions", packages=packages)
        return answer["versions"], answer["cuda"] if self.device == "cuda" else None

    def write(self, name: str, title: str, body: str, names: Sequence[str], notes: Sequence[str]) -> None:
        """Onto the terminal, and into the README where no trainer was left out beforehand."""
        peers = [n for n in names if not n.startswith(("ours", "gemm"))]
        versions, cuda = self.versions(peers or names)
        text = "\n\n".join([title, body, tables.foot(versions, notes, "benchmarks.train_speed", cuda)])
        sys.stdout.write(text + "\n")
        if self.complete:
            tables.write(f"{name} {self.device}", text, self.readme)


def _rate(worker: Worker, steps: int) -> float:
    answer = worker.ask("steps", n=steps)
    return float(answer["rows"] / answer["seconds"])


def speed(bench: Bench, shape: Shape) -> None:
    """Embeddings/s of every trainer at a shape, ours against each, and our share of the floor."""
    rows, notes, measured, record = [], [], [], {}
    gemm: dict[str, list[float]] = {}
    for family, names in FAMILIES.items():
        settings, rates, quiet = bench.turns(bench.wanted(names), shape)
        if quiet is None:
            continue
        gemm.update({name: rates.pop(name) for name in list(rates) if name.startswith("gemm")})
        ours = {name.partition("+")[2]: rates[name] for name in rates if name.startswith("ours")}
        for name, found in rates.items():
            ratios = [
                f"{paired(ours[how], found):.2f}" if how in ours and not name.startswith("ours") else "" for how in ("", "bf16")
            ]
            middle = f"{statistics.median(found):,.0f}"
            spread = f"{min(found):,.0f}–{max(found):,.0f}"
            rows.append([name, described(settings[name]["setting"], settings[name]["threads"]), middle, spread, *ratios])
            if name.startswith("ours/topk"):
                notes += [_share(name, found, gemm, shape)] if f"gemm/{'bf16' if '+' in name else 'fp32'}" in gemm else []
        measured += list(rates)
        notes.append(f"{family}: {quiet.line()}")
        record[family] = {"rates": {**rates, **gemm}, "settings": settings, "others": quiet.others}
    if not rows:
        return
    with (RESULTS / "speed.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"shape": str(shape), "device": bench.device, **record}) + "\n")
    header = ["trainer", "fastest setting", "embeddings/s", "min–max", "ours fp32 / it", "ours bf16 / it"]
    title = f"**{shape}, k {K}, {bench.device}.** Median of {bench.rounds} rounds."
    bench.write(f"train_speed {shape}", title, tables.table(header, rows), measured, notes)


def _share(name: str, found: list[float], gemm: dict[str, list[float]], shape: Shape) -> str:
    bare = gemm["gemm/bf16" if "+" in name else "gemm/fp32"]
    floors = [floor_rate(rate, shape.m, K) for rate in bare]
    flops = 2 * shape.d * shape.m * statistics.median(bare) / 1e9
    return (
        f"{name}: {paired(found, floors):.0%} of the floor of {statistics.median(floors):,.0f} embeddings/s: the encoder's GEMM "
        f"at the {flops:,.0f} GFLOP/s measured in the same rounds, and 8dk."
    )


def widths(bench: Bench) -> None:
    """What a step costs beside the encoder's GEMM, as the dictionary grows."""
    rows, notes, batch = [], [], 2048
    for m in WIDTHS:
        shape = Shape(512, m, batch)
        _, rates, quiet = bench.turns(["ours/topk", "gemm/fp32"], shape)
        if quiet is None or len(rates) < 2:
            return
        step, gemm = (1000 * batch / statistics.median(rates[name]) for name in ("ours/topk", "gemm/fp32"))
        rest = statistics.median(1000 * batch * (1 / a - 1 / b) for a, b in zip(*rates.values(), strict=True))
        rows.append([f"{m}", f"{step:.1f}", f"{gemm:.1f}", f"{rest:.1f}"])
        notes.append(f"F {m}: {quiet.line()}")
    header = ["F", "step, ms", "encoder's GEMM, ms", "the rest, ms"]
    title = f"**What a step costs as F grows.** d 512, B {batch}, k {K}, fp32, {bench.device}."
    bench.write("train_speed widths", title, tables.table(header, rows), ["ours/topk"], notes)


def memory(bench: Bench) -> None:
    """Peak memory of five steps, each trainer in a fresh process."""
    shape, found = Shape(512, 8192, 4096), {}
    for name in bench.wanted(MEMORY):
        with start(name, bench.peers, bench.log) as worker:
            try:
                found[name] = worker.ask("memory", n=5, threads=bench.cores, **bench.job(name, shape))["mib"]
            except WorkerError as error:
                say(f"left out: {error}")
    if not found:
        return
    base = found.get("ours/topk")
    rows = [
        [name, f"{mib:,.0f}", f"{mib / base:.2f}" if base else ""] for name, mib in sorted(found.items(), key=lambda one: one[1])
    ]
    title = f"**Peak memory, {shape}, k {K}, {bench.device}.** Growth from after the imports to after five steps, rows included."
    table = tables.table(["trainer, at its first setting", "MiB", "/ ours/topk"], rows)
    bench.write("train_speed memory", title, table, list(found), [])


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.train_speed", description=__doc__)
    parser.add_argument("--peers", default=str(PEERS), help="the peers' python")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turn-seconds", type=float, default=1.5)
    parser.add_argument("--shapes", nargs="*", default=None, help="D x F x B, such as 512x8192x2048")
    parser.add_argument("--only", nargs="*", default=[], help="trainers whose name contains one of these")
    parser.add_argument("--parts", nargs="*", default=["speed", "widths", "memory"], choices=["speed", "widths", "memory"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--readme", default=str(tables.README))
    options = parser.parse_args()
    try:
        bench = Bench(options)
        if "speed" in options.parts:
            for shape in [Shape.read(text) for text in options.shapes] if options.shapes is not None else SHAPES:
                speed(bench, shape)
        if "widths" in options.parts:
            widths(bench)
        if "memory" in options.parts:
            memory(bench)
    except InputError as error:
        say(str(error))
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
