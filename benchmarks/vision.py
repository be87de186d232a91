"""A vision job at size, killed half-way and resumed: `python -m benchmarks.vision`.

The job is the command line's own, in a process of its own; the server is this process, on loopback, through real sockets, and
replies 50 ms after a request arrived. Each latent takes the whole protocol: a name, detection in two orders, the intruder test.
Half-way the job gets SIGTERM, and the same command is started again. What four workers allow is 4 / 50 ms calls a second; the
rate measured is that of the calls between the first and the last one of each half, as the server sees them.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import tables
from benchmarks.workers import ROOT
from sae_core import pipeline
from sae_core.config import RunConfig, VisionConfig, dump_yaml, validate
from sae_core.errors import InputError
from sae_core.interpret.material import Material
from sae_core.interpret.records import Names
from sae_core.interpret.vision.sets import SetMaker
from sae_core.interpret.vision.shown import Shown
from sae_core.store import Inputs, Store
from tests.interpret.vision.loopback import Loopback

LATENCY = 0.05
WORKERS = 4


@dataclass
class Watch:
    """The model in the server: answers at once, and notes when and what it was asked."""

    times: list[float] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        self.times.append(time.monotonic())
        self.asked.append(hash(json.dumps(body["messages"])))
        form = body["response_format"]["json_schema"]["name"]
        pictures = sum(part["type"] == "image_url" for part in body["messages"][1]["content"])
        body["messages"] = []  # the server keeps what it was asked, and this is a gigabyte of pictures
        if form == "intruder":
            return {"intruder": 1, "confidence": 50}
        if form == "detection":
            answers = [{"image": i + 1, "fits": i % 2 == 0, "confidence": 60 if i % 2 == 0 else 40} for i in range(pictures)]
            return {"answers": answers}
        said = {"label": "line", "explanation": "lines", "counterevidence": "", "confidence": 50}
        return {"interpretable": True, "polysemantic": False, **said}


def able_latents(config: RunConfig, store: Store, count: int) -> list[int]:
    """The first latents that fire on enough pictures to be asked about."""
    made = pipeline.run("collect", config, store)
    material = Material.load(Inputs({**made.paths, "activations": made.paths["collect"]}), config.interpret.seed)
    maker = SetMaker(material.evidence, Shown(material.activations.images, material.manifests).rows, VisionConfig(), 0)
    found = [int(j) for j in material.activations.alive() if not maker.sets(int(j)).lacking][:count]
    if len(found) < count:
        raise InputError(f"only {len(found)} latents fire on enough pictures; ask for fewer with --latents")
    return found


def run_until(command: list[str], watch: Watch, calls: int | None) -> tuple[int, float]:
    """Run the job, to its end or until the server has seen so many calls; its exit code and its calls a second."""
    start = len(watch.times)
    job = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while job.poll() is None and (calls is None or len(watch.times) < calls):
        time.sleep(0.01)
    # What is under way when the job is told to stop is still answered, but no longer at full rate.
    times = watch.times[start:]
    if job.poll() is None:
        job.send_signal(signal.SIGTERM)
    said = job.communicate()[1]
    if job.returncode not in (0, 130):
        raise InputError(f"the job failed: {' '.join(said.split())[-300:]}")
    return job.returncode, (len(times) - 1) / (times[-1] - times[0])


def measure(count: int, folder: Path, latency: float) -> list[str]:
    """One job: latents, calls, what was sent twice, records, rates of both halves and their share of the possible."""
    raw: dict[str, Any] = {"data": {"source": "drawn", "rendering": "sketch", "n": max(600, 3 * count // 2), "seed": 0}}
    raw["sae"] = {"width": 2 * count, "architecture": {"kind": "topk", "k": max(16, count // 5)}, "steps": 60, "batch_size": 256}
    store, watch = Store(folder / "cache"), Watch()
    ids = able_latents(validate(RunConfig, raw, "benchmark"), store, count)
    with Loopback(model=watch, latency=latency) as server:
        vision = {"endpoint": server.url, "model": "test/seer", "cap": 1000.0, "workers": WORKERS}
        raw["interpret"] = {"method": "vision", "latents": {"ids": ids}, "vision": vision}
        config = validate(RunConfig, raw, "benchmark")
        (folder / "run.yaml").write_text(dump_yaml(config), encoding="utf-8")
        command = [sys.executable, "-m", "sae_core", "interpret", "--config", str(folder / "run.yaml")]
        command += ["--cache", str(store.root)]
        calls = 16 * count
        ended = [run_until(command, watch, calls // 2), run_until(command, watch, None)]
    key = pipeline.keys(config, store)["interpret"].key
    names = Names.load(store.open(key).path)
    twice = len(watch.asked) - len(set(watch.asked))
    possible = WORKERS / latency
    rates = [rate for _, rate in ended]
    if [code for code, _ in ended] != [130, 0]:
        raise InputError(f"the job was to be killed and to end, but its exit codes were {[code for code, _ in ended]}")
    records = names.table["latent"].nunique()
    shares = [f"{rate / possible:.2f}" for rate in rates]
    return [f"{count:,}", f"{len(watch.asked):,}", str(twice), f"{records:,}", *(f"{rate:.1f}" for rate in rates), *shares]


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.vision", description=__doc__)
    parser.add_argument("--latents", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=LATENCY, help="seconds before every reply")
    parser.add_argument("--readme", type=Path, default=tables.README)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        row = measure(options.latents, Path(folder), options.latency)
    possible = WORKERS / options.latency
    title = f"**Vision jobs: {WORKERS} workers, {1000 * options.latency:.0f} ms a reply, killed half-way and resumed.**"
    header = ["latents", "calls", "sent twice", "records", "calls/s before", "calls/s after", "of the possible, before", "after"]
    note = f"Possible are {possible:.0f} calls a second, were nothing but the wait. Job and server share the machine's cores."
    foot = tables.foot({"openai": version("openai"), "numpy": np.__version__}, [note], "benchmarks.vision")
    text = "\n\n".join([title, tables.table(header, [row]), foot])
    sys.stdout.write(text + "\n")
    tables.write("vision", text, options.readme)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
