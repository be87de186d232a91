"""The one door: every stage, what it is made from, and `run`, which makes what is missing and nothing else.

    images -> manifest -> embed -> train -> { evaluate, collect } -> interpret -> { visualize, steer }

A plan is a list of nodes in that order; a node's key follows from its config, its parents' keys and the data's fingerprint, so
the whole plan's keys are known before anything runs. The command line, the job worker, the pages and the tests all come here.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sae_core.config import ClipConfig, InterpretConfig, Model, RunConfig, Runtime, SweepRun, dump_yaml, load_config, science
from sae_core.errors import InputError, Unavailable
from sae_core.progress import Event, Report, silent
from sae_core.store import Artifact, Inputs, Store, canonical, make_key, sha256_file, write_atomic


@dataclass(frozen=True)
class Stage:
    """A stage by name: where its `run(config, inputs, out_dir, report, runtime)` is and the class that reads it back.

    The module is imported when the stage runs, so that finding everything cached costs no second of imports. `version` goes up
    when the code writes something else for the same config.
    """

    name: str
    version: int
    module: str
    result: str

    def load(self, path: Path) -> Any:
        """The stage's Result, read from an artifact folder."""
        return getattr(importlib.import_module(self.module), self.result).load(path)


STAGES = {
    stage.name: stage
    for stage in (
        Stage("manifest", 1, "sae_core.data.manifest", "Manifest"),
        Stage("embed", 1, "sae_core.clip.embed", "Embeddings"),
        Stage("train", 1, "sae_core.sae.train", "Trained"),
        Stage("sweep", 1, "sae_core.sae.sweep", "Swept"),
        Stage("evaluate", 1, "sae_core.evaluate.stage", "Evaluation"),
        Stage("collect", 1, "sae_core.activations.collect", "Activations"),
        Stage("interpret", 1, "sae_core.interpret.stage", "Names"),
        Stage("visualize", 1, "sae_core.interpret.visualize", "Grids"),
        Stage("steer", 1, "sae_core.steer.stage", "Steered"),
    )
}
"""Every stage, in the order of the one-way flow."""


@dataclass(frozen=True)
class Node:
    """One artifact of a run: a stage with its config, and the nodes it is made from by role."""

    name: str
    stage: Stage
    config: Model
    parents: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """What became of a node: its artifact, and whether it was there already."""

    stage: str
    key: str
    path: Path
    cached: bool
    seconds: float
    metrics: Mapping[str, float]

    def load(self) -> Any:
        """The stage's Result."""
        return STAGES[self.stage].load(self.path)

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "stage": self.stage,
            "key": self.key,
            "path": str(self.path),
            "cached": self.cached,
            "seconds": round(self.seconds, 3),
            "metrics": dict(self.metrics),
        }


@dataclass(frozen=True)
class Run:
    """A finished run (or the part of it that was asked for): outcomes by node name, in the order they were made."""

    id: str
    config: RunConfig
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)

    @property
    def keys(self) -> dict[str, str]:
        """Artifact key of every node."""
        return {name: outcome.key for name, outcome in self.outcomes.items()}

    @property
    def paths(self) -> dict[str, Path]:
        """Artifact folder of every node."""
        return {name: outcome.path for name, outcome in self.outcomes.items()}

    @cached_property
    def metrics(self) -> dict[str, float]:
        """All metrics flat; where two stages measured the same name, the later stage's stands."""
        merged: dict[str, float] = {}
        for name, outcome in self.outcomes.items():
            if ":" not in name:  # a domain's own manifest and embeddings say nothing of the dictionary
                merged.update(outcome.metrics)
        return merged

    def load(self, name: str) -> Any:
        """The Result of a node, such as `train`, `collect` or `embed:sketch`."""
        return self.outcomes[name].load()


def plan(config: RunConfig) -> dict[str, Node]:
    """Every node of a run, parents first."""
    nodes: dict[str, Node] = {}

    def add(name: str, stage: str, node_config: Model, parents: Mapping[str, str]) -> None:
        nodes[name] = Node(name, STAGES[stage], node_config, parents)

    for domain, source in config.data.items():
        add(f"manifest:{domain}", "manifest", source, {})
    for domain in config.data:
        add(f"embed:{domain}", "embed", config.clip, {"manifest": f"manifest:{domain}"})
    data = {f"{kind}:{domain}": f"{kind}:{domain}" for kind in ("manifest", "embed") for domain in config.data}
    trained_on = {role: name for role, name in data.items() if role.partition(":")[2] in config.train_domains}
    add("train", "train", config.sae, trained_on)
    if config.sweep is not None:
        add("sweep", "sweep", SweepRun(sae=config.sae, sweep=config.sweep), trained_on)
    add("evaluate", "evaluate", config.evaluate, {"sae": "train", **data})
    add("collect", "collect", config.collect, {"sae": "train", **data})
    add("interpret", "interpret", config.interpret, {"sae": "train", "activations": "collect", **data})
    manifests = {role: name for role, name in data.items() if role.startswith("manifest:")}
    add("visualize", "visualize", config.visualize, {"activations": "collect", "names": "interpret", **manifests})
    add("steer", "steer", config.steer, {"sae": "train", "activations": "collect", "names": "interpret", **data})
    return nodes


@dataclass(frozen=True)
class Keyed:
    """A node's key, with the key's ingredients that its manifest records."""

    key: str
    parents: Mapping[str, str]
    fingerprint: str | None


def keys(config: RunConfig, store: Store) -> dict[str, Keyed]:
    """The key of every node of a run, without running anything (the data is fingerprinted)."""
    found: dict[str, Keyed] = {}
    for name, node in plan(config).items():
        parents = {role: found[parent].key for role, parent in node.parents.items()}
        data = fingerprint(config, node, store)
        key = make_key(node.stage.name, node.stage.version, science(node.config), parents, data)
        found[name] = Keyed(key, parents, data)
    return found


def fingerprint(run_config: RunConfig, node: Node, store: Store) -> str | None:
    """What the node's result depends on beside config and parents: images, bundled weights, a vocabulary file."""
    config, domain = node.config, node.name.partition(":")[2]
    if node.stage.name == "manifest":
        from sae_core.data.manifest import fingerprint as of_source

        return of_source(run_config.data[domain], store.root)
    if isinstance(config, ClipConfig) and config.model == "bundled" and run_config.data[domain].source != "arrays":
        weights = Path(__file__).parent / "clip" / "bundled" / "open_clip_model.safetensors"
        if not weights.is_file():
            raise Unavailable("the bundled demo model has no weights here; make them with python -m sae_core.clip.train_bundled")
        return sha256_file(weights)
    if isinstance(config, InterpretConfig) and config.vocabulary_file is not None:
        file = Path(config.vocabulary_file)
        if not file.is_file():
            raise InputError(f"interpret.vocabulary_file: no file at {file}; give a text file with one word a line")
        return hashlib.sha256(file.read_bytes()).hexdigest()
    return None


def run_id(keyed: Mapping[str, Keyed]) -> str:
    """The id of a run: 16 hex digits over the keys of all its nodes."""
    return "run-" + hashlib.sha256(canonical({name: one.key for name, one in keyed.items()})).hexdigest()[:16]


def run(
    stage: str | None,
    config: RunConfig,
    store: Store,
    report: Report = silent,
    runtime: Runtime = Runtime(),
) -> Run:
    """Make the artifacts of `stage` (for None all but a sweep), and whatever they need that is missing.

    Returns: the Run with an outcome for every node that was needed; the last one is the stage asked for.
    Raises: InputError, Unavailable, DamagedArtifact, Cancelled; what was finished stays in the store.
    """
    if stage is not None and stage not in STAGES:
        raise InputError(f"unknown stage {stage!r}; the stages are {', '.join(STAGES)}")
    store.prepare()
    nodes = plan(config)
    keyed = keys(config, store)
    targets = [name for name, node in nodes.items() if node.stage.name == stage or (stage is None and name != "sweep")]
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


# ---------------------------------------------------------------- the index of runs


@dataclass(frozen=True)
class Recorded:
    """A run as the run picker knows it: begun at `created` (Unix seconds), with the key of every node, made or not."""

    id: str
    name: str
    created: float
    keys: Mapping[str, str]
    config: RunConfig

    def open(self, store: Store) -> Run:
        """The part of the run that is in the store."""
        outcomes = {}
        for name, node in plan(self.config).items():
            key = self.keys[name]
            if store.has(key):
                artifact = store.open(key)
                outcomes[name] = Outcome(node.stage.name, key, artifact.path, True, 0.0, artifact.metrics)
        return Run(self.id, self.config, outcomes)


def record(store: Store, identity: str, config: RunConfig, keyed: Mapping[str, Keyed]) -> None:
    """Remember a run for the run picker: `run.json` and its `config.yaml`. No artifact depends on these files."""
    folder = store.root / "runs" / identity
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "run.json"
    created = json.loads(file.read_text(encoding="utf-8"))["created"] if file.is_file() else time.time()
    keys_by_node = {name: one.key for name, one in keyed.items()}
    content = {"id": identity, "name": config.name, "created": created, "keys": keys_by_node}
    write_atomic(folder / "config.yaml", dump_yaml(config).encode())
    write_atomic(file, json.dumps(content, indent=2, ensure_ascii=False).encode())


def runs(store: Store) -> list[Recorded]:
    """Every recorded run, newest first. One written by an older version with another config is passed over."""
    found = []
    for file in store.root.glob("runs/run-*/run.json"):
        try:
            found.append(_read_record(file))
        except (InputError, ValueError, KeyError):
            continue  # its artifacts are still listed by `ls`; only the picker cannot show it
    return sorted(found, key=lambda one: one.created, reverse=True)


def find_run(store: Store, identity: str) -> Recorded:
    """The recorded run of an id. Raises InputError when there is none."""
    file = store.root / "runs" / identity / "run.json"
    if not re.fullmatch(r"run-[0-9a-f]{16}", identity) or not file.is_file():
        raise InputError(f"no run {identity[:40]!r} in {store.root}; `ls` lists the runs")
    return _read_record(file)


def _read_record(file: Path) -> Recorded:
    content = json.loads(file.read_text(encoding="utf-8"))
    config = load_config(file.with_name("config.yaml"))
    found = Recorded(content["id"], content["name"], content["created"], content["keys"], config)
    if set(found.keys) != set(plan(config)):
        raise InputError(f"{file} does not fit this version's plan; run its configuration again")
    return found
