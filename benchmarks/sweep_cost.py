"""What a sweep of eight costs against training one of them: `python -m benchmarks.sweep_cost`.

Both are whole trainings, as `train` and `sweep` do them: first weights, steps with logging, looks at held-out rows, each with the
threads and the screening that it chooses for itself. They take turns; the ratio is taken within each turn.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from benchmarks import datasets, tables
from sae_core import train_sae
from sae_core.config import SaeConfig, SweepConfig, SweepRun, TopK
from sae_core.progress import silent
from sae_core.sae.batches import Arrays, Pool
from sae_core.sae.rows import pick_device
from sae_core.sae.sweep import Sweep

MEMBERS = 8
SHAPES = {"demo size": (128, 1024, 1024, 16, 300), "F 8192": (512, 8192, 2048, 32, 30)}
"""d, F, B, k, steps."""
ROWS = 32_768


def cost(name: str, device: str, rounds: int) -> list[str]:
    """A row of the table: seconds of one, of eight, and the median ratio."""
    d, width, batch, k, steps = SHAPES[name]
    x = datasets.synthetic(ROWS, d, k)[0]
    shared = {"width": width, "batch_size": batch, "steps": steps}
    # In so few steps half of the latents would count as dead, and reviving them would be all that is timed.
    architecture = TopK(k=k, dead_after=10**9)
    config = SweepRun(sae=SaeConfig(architecture=architecture, **shared), sweep=SweepConfig(seed=tuple(range(MEMBERS))))
    pool = Pool([(Arrays([x]), np.arange(ROWS))], d)

    def one() -> None:
        train_sae(x, architecture.model_dump(), device=device, **shared)

    def eight() -> None:
        sweep = Sweep(config, pool, np.arange(ROWS), None, None, silent, pick_device(device))
        with sweep.threads():
            sweep.run()

    one()  # imports, pages and clocks settle
    pairs = [(_seconds(one), _seconds(eight)) for _ in range(rounds)]
    ratios = [b / a for a, b in pairs]
    ours, theirs = (statistics.median(part) for part in zip(*pairs, strict=True))
    shape = f"{name}: d {d}, F {width}, B {batch}, k {k}, {steps} steps"
    return [shape, f"{ours:.2f}", f"{theirs:.2f}", f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}–{max(ratios):.2f}"]


def _seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.sweep_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--readme", type=Path, default=tables.README)
    options = parser.parse_args()
    rows = []
    for name in SHAPES:
        rows.append(cost(name, options.device, options.rounds))
        print(" | ".join(rows[-1]), flush=True)
    header = ["shape", "one, s", f"{MEMBERS} in a sweep, s", "ratio", "min–max"]
    title = f"**A sweep of {MEMBERS} TopK members of one shape against one of them, {options.device}.** {options.rounds} turns."
    cuda = torch.cuda.get_device_name() if options.device == "cuda" else None
    foot = tables.foot({"torch": version("torch")}, [], "benchmarks.sweep_cost", cuda)
    tables.write(f"sweep_cost {options.device}", "\n\n".join([title, tables.table(header, rows), foot]), options.readme)
    print(title + "\n\n" + tables.table(header, rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
