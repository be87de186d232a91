"""Everything of a run that its report is written from, read once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from sae_core.activations.index import Activations
from sae_core.data.manifest import Manifest
from sae_core.evaluate.geometry.report import GeometryReport
from sae_core.evaluate.stage import Evaluation
from sae_core.figures import domain_colours
from sae_core.interpret.records import Names
from sae_core.publish.card import Run
from sae_core.sae.sweep import Swept
from sae_core.store import MANIFEST

T = TypeVar("T")


@dataclass(frozen=True)
class Material:
    """A run's artifacts by what they are; what the run has not made is None.

    Attributes:
        run: the run.
        refused: why a stage could not be made, by its name.
    """

    run: Run
    refused: Mapping[str, str] = field(default_factory=dict)

    def _load(self, node: str, load: Callable[[Path], T]) -> T | None:
        return load(self.run.paths[node]) if node in self.run.paths else None

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """What the dictionary costs."""
        return self._load("evaluate", Evaluation.load)

    @cached_property
    def activations(self) -> Activations | None:
        """What fires on what."""
        return self._load("collect", Activations.load)

    @cached_property
    def geometry(self) -> GeometryReport | None:
        """The latents' verdicts."""
        return self._load("geometry", GeometryReport.load)

    @cached_property
    def swept(self) -> Swept | None:
        """The sweep."""
        return self._load("sweep", Swept.load)

    @cached_property
    def names(self) -> Names | None:
        """The latents' names."""
        return self._load("interpret", Names.load)

    @cached_property
    def manifests(self) -> dict[str, Manifest]:
        """The data of each domain."""
        nodes = {domain: f"manifest:{domain}" for domain in self.run.config.data}
        return {domain: Manifest.load(self.run.paths[node]) for domain, node in nodes.items() if node in self.run.paths}

    @cached_property
    def colours(self) -> dict[str, str]:
        """Of each domain."""
        return domain_colours({domain: manifest.rendering for domain, manifest in self.manifests.items()})

    @cached_property
    def receipts(self) -> dict[str, dict[str, Any]]:
        """Each artifact's own manifest: key, versions, host, when it was made."""
        files = {node: path / MANIFEST for node, path in self.run.paths.items()}
        return {node: json.loads(file.read_text(encoding="utf-8")) for node, file in files.items() if file.is_file()}

    @property
    def domains(self) -> Mapping[str, Mapping[str, Any]]:
        """The domains of the evaluation, none without one."""
        return {} if self.evaluation is None else self.evaluation.report["domains"]
