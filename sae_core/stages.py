"""Every stage, what it is made from, and the keys of a run's artifacts, all known before anything runs.

    images -> manifest -> embed -> train -> { evaluate, collect } -> interpret -> { visualize, steer }
              manifest -> strokes;  strokes, embed, train, collect -> geometry;  train, collect -> directions
              embed, train, collect -> scan

A plan is a list of nodes in that order; a node's key follows from its config, its parents' keys and the data's fingerprint.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae_core.config import ClipConfig, InterpretConfig, Model, RunConfig, SweepRun, science
from sae_core.errors import InputError, Unavailable
from sae_core.store import Store, canonical, make_key, sha256_file


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
        Stage("strokes", 1, "sae_core.data.strokes", "StrokeTable"),
        Stage("embed", 1, "sae_core.clip.embed", "Embeddings"),
        Stage("train", 1, "sae_core.sae.train", "Trained"),
        Stage("sweep", 2, "sae_core.sae.sweep", "Swept"),
        Stage("evaluate", 2, "sae_core.evaluate.stage", "Evaluation"),
        Stage("collect", 1, "sae_core.activations.collect", "Activations"),
        Stage("geometry", 1, "sae_core.evaluate.geometry.stage", "GeometryReport"),
        Stage("directions", 1, "sae_core.browse.directions", "Directions"),
        Stage("interpret", 2, "sae_core.interpret.stage", "Names"),
        Stage("visualize", 1, "sae_core.interpret.visualize", "Grids"),
        Stage("steer", 2, "sae_core.steer.stage", "Steered"),
        Stage("scan", 1, "sae_core.steer.scan", "Scan"),
    )
}
"""Every stage, in the order of the one-way flow."""
ON_REQUEST = frozenset(("sweep", "strokes", "geometry", "directions", "scan"))
"""Stages that take long and that nothing else needs: no part of a plain `run`, made when they are asked for."""


@dataclass(frozen=True)
class Node:
    """One artifact of a run: a stage with its config, and the nodes it is made from by role."""

    name: str
    stage: Stage
    config: Model
    parents: Mapping[str, str]


def plan(config: RunConfig) -> dict[str, Node]:
    """Every node of a run, parents first."""
    nodes: dict[str, Node] = {}

    def add(name: str, stage: str, node_config: Model, parents: Mapping[str, str]) -> None:
        nodes[name] = Node(name, STAGES[stage], node_config, parents)

    for domain, source in config.data.items():
        add(f"manifest:{domain}", "manifest", source, {})
    for domain in config.data:
        add(f"strokes:{domain}", "strokes", config.strokes, {"manifest": f"manifest:{domain}"})
    for domain in config.data:
        add(f"embed:{domain}", "embed", config.clip, {"manifest": f"manifest:{domain}"})
    data = {f"{kind}:{domain}": f"{kind}:{domain}" for kind in ("manifest", "embed") for domain in config.data}
    trained_on = {role: name for role, name in data.items() if role.partition(":")[2] in config.train_domains}
    add("train", "train", config.sae, trained_on)
    if config.sweep is not None:
        add("sweep", "sweep", SweepRun(sae=config.sae, sweep=config.sweep), trained_on)
    add("evaluate", "evaluate", config.evaluate, {"sae": "train", **data})
    add("collect", "collect", config.collect, {"sae": "train", **data})
    strokes = {f"strokes:{domain}": f"strokes:{domain}" for domain in config.data}
    add("geometry", "geometry", config.geometry, {"sae": "train", "activations": "collect", **data, **strokes})
    add("directions", "directions", config.directions, {"sae": "train", "activations": "collect"})
    add("interpret", "interpret", config.interpret, {"sae": "train", "activations": "collect", **data})
    manifests = {role: name for role, name in data.items() if role.startswith("manifest:")}
    add("visualize", "visualize", config.visualize, {"activations": "collect", "names": "interpret", **manifests})
    add("steer", "steer", config.steer, {"sae": "train", "activations": "collect", "names": "interpret", **data})
    add("scan", "scan", config.scan, {"sae": "train", "activations": "collect", **data})
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
    """The id of a run: 16 hex digits over the keys of all its nodes but `directions` and `scan`.

    Both are views of a run and came after runs had been recorded: what is kept by id (bookmarks, links) stays theirs.
    """
    made = {name: one.key for name, one in keyed.items() if name not in ("directions", "scan")}
    return "run-" + hashlib.sha256(canonical(made)).hexdigest()[:16]
