"""The one door: `run` makes what is missing of a run and nothing else.

The command line, the job worker, the pages and the tests all come here; `stages` says what there is to make, `runs` remembers it.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from typing import Any

from sae_core.config import RunConfig, Runtime, science
from sae_core.errors import InputError
from sae_core.progress import Event, Report, silent
from sae_core.runs import Outcome as Outcome
from sae_core.runs import Recorded as Recorded
from sae_core.runs import Run as Run
from sae_core.runs import find_run as find_run
from sae_core.runs import record as record
from sae_core.runs import runs as runs
from sae_core.stages import ON_REQUEST as ON_REQUEST
from sae_core.stages import STAGES as STAGES
from sae_core.stages import Keyed as Keyed
from sae_core.stages import Node as Node
from sae_core.stages import Stage as Stage
from sae_core.stages import keys as keys
from sae_core.stages import plan as plan
from sae_core.stages import run_id as run_id
from sae_core.store import Artifact, Inputs, Store


def run(
    stage: str | None,
    config: RunConfig,
    store: Store,
    report: Report = silent,
    runtime: Runtime = Runtime(),
) -> Run:
    """Make the artifacts of `stage` (for None all but those made on request), and whatever they need that is missing.

    Returns: the Run with an outcome for every node that was needed; the last one is the stage asked for.
    Raises: InputError, Unavailable, DamagedArtifact, Cancelled; what was finished stays in the store.
    """
    if stage is not None and stage not in STAGES:
        raise InputError(f"unknown stage {stage!r}; the stages are {', '.join(STAGES)}")
    store.prepare()
    nodes = plan(config)
    keyed = keys(config, store)
    asked = (set(STAGES) - ON_REQUEST) if stage is None else {stage}
    targets = [name for name, node in nodes.items() if node.stage.name in asked]
    if not targets:
        raise InputError("nothing says what to sweep; add a section such as sweep: {k: [8, 16, 32]}, or --grid k=8,16,32")
    wanted = _needed(nodes, targets)
    outcomes: dict[str, Outcome] = {}
    made = Run(run_id(keyed), config, outcomes)
    record(store, made.id, config, keyed)
    for name in wanted:
        node = nodes[name]
        paths = {role: outcomes[parent].path for role, parent in node.parents.items()}
        outcomes[name] = _make(node, keyed[name], Inputs(paths), store, report, runtime)
    return made


def _needed(nodes: Mapping[str, Node], targets: list[str]) -> list[str]:
    wanted: set[str] = set()
    stack = list(targets)
    while stack:
        name = stack.pop()
        if name not in wanted:
            wanted.add(name)
            stack += nodes[name].parents.values()
    return [name for name in nodes if name in wanted]


def _make(node: Node, keyed: Keyed, inputs: Inputs, store: Store, report: Report, runtime: Runtime) -> Outcome:
    key = keyed.key
    if store.has(key):
        artifact = store.open(key)
        report(Event(node.name, 1, 1, {}, "cached"))
        return Outcome(node.stage.name, key, artifact.path, True, 0.0, artifact.metrics)
    started = time.perf_counter()
    with store.lock(key):
        if store.has(key):  # another process finished it while this one waited
            artifact = store.open(key)
            return Outcome(node.stage.name, key, artifact.path, True, 0.0, artifact.metrics)
        partial = store.partial(key)
        partial.mkdir(parents=True, exist_ok=True)
        module = importlib.import_module(node.stage.module)
        result = module.run(node.config, inputs, partial, _renamed(report, node.name), runtime)
        seconds = time.perf_counter() - started
        artifact = _commit(node, keyed, store, result, seconds)
    return Outcome(node.stage.name, key, artifact.path, False, seconds, artifact.metrics)


def _commit(node: Node, keyed: Keyed, store: Store, result: Any, seconds: float) -> Artifact:
    return store.commit(
        keyed.key,
        {
            "stage": node.stage.name,
            "stage_version": node.stage.version,
            "config": science(node.config),
            "parents": dict(keyed.parents),
            "fingerprint": keyed.fingerprint,
            "seconds": round(seconds, 3),
            "metrics": {name: float(value) for name, value in result.metrics().items()},
        },
    )


def _renamed(report: Report, name: str) -> Report:
    # Two domains' embeddings are one stage; the node's name (`embed:photo`) tells a watcher which is running.
    return lambda event: report(Event(name, event.step, event.total, event.metrics, event.message))
