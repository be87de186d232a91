"""What a run made, and the index of runs that the run picker, `ls` and `compare` read."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sae_core.config import RunConfig, dump_yaml, load_config, science
from sae_core.errors import InputError
from sae_core.stages import ON_REQUEST, STAGES, Keyed, plan
from sae_core.store import Store, is_id, make_key, write_atomic


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
    """Remember a run for the run picker: `run.json` and its `config.yaml`. No artifact depends on these files.

    One that the cache below has recorded stays as it is there.
    """
    if store.base is not None and store.base.run_folder(identity).is_dir():
        return
    folder = store.run_folder(identity)
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
    for file in store.records():
        try:
            found.append(_read_record(file))
        except (InputError, ValueError, KeyError):
            continue  # its artifacts are still listed by `ls`; only the picker cannot show it
    return sorted(found, key=lambda one: one.created, reverse=True)


def find_run(store: Store, identity: str) -> Recorded:
    """The recorded run of an id. Raises InputError when there is none."""
    file = store.run_folder(identity) / "run.json" if is_id(identity, "run") else None
    if file is None or not file.is_file():
        raise InputError(f"no run {identity[:40]!r} in {store.root}; `ls` lists the runs")
    return _read_record(file)


def _read_record(file: Path) -> Recorded:
    content = json.loads(file.read_text(encoding="utf-8"))
    config = load_config(file.with_name("config.yaml"))
    nodes, keys = plan(config), dict(content["keys"])
    for name, node in nodes.items():
        # A version that knew fewer stages recorded fewer keys. One made on request has no data fingerprint: its key follows.
        if name not in keys and node.stage.name in ON_REQUEST and set(node.parents.values()) <= set(keys):
            parents = {role: keys[parent] for role, parent in node.parents.items()}
            keys[name] = make_key(node.stage.name, node.stage.version, science(node.config), parents, None)
    if set(keys) != set(nodes):
        raise InputError(f"{file} does not fit this version's plan; run its configuration again")
    return Recorded(content["id"], content["name"], content["created"], keys, config)
