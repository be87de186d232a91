"""Of a run, what strangers may see: no path of this machine, and of the pictures only those that may be shown."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import pandas as pd

from sae_core.activations.index import Activations
from sae_core.browse.card import Card, latent_card, what_it_is
from sae_core.browse.directions import Directions
from sae_core.browse.table import latent_table
from sae_core.config import RunConfig
from sae_core.data.manifest import Manifest
from sae_core.errors import DamagedArtifact, InputError
from sae_core.publish.card import Run
from sae_core.publish.portable import portable
from sae_core.publish.report.material import Material
from sae_core.sae.architectures import SAE
from sae_core.steer.scan import Scan

T = TypeVar("T")
OURS = "drawn"
"""The kind of source whose pictures are this project's own and may be shown anywhere."""


@dataclass(frozen=True)
class Shared:
    """A run as it is published: the same artifacts, a configuration without places on this machine."""

    id: str
    config: RunConfig
    metrics: Mapping[str, float]
    keys: Mapping[str, str]
    paths: Mapping[str, Path]

    @classmethod
    def of(cls, run: Run) -> Shared:
        """The run without its local paths."""
        return cls(run.id, portable(run.config), run.metrics, run.keys, run.paths)


@dataclass(frozen=True)
class Shown(Material):
    """What a site is written from, read once.

    A domain's pictures are shown when they are drawn by this project, or when `images` says that all may be. Of other domains the
    file names and captions, which are the data set's own too, are not told either.
    """

    images: bool = False

    @classmethod
    def of(cls, run: Run, images: bool) -> Shown:
        """What may be shown of a run. Raises: InputError while it has no dictionary or no activations."""
        for node in ("train", "collect"):
            if node not in run.paths:
                command = f"python -m sae_core {node} --config FILE"
                raise InputError(f"run {run.id} has no {node} artifact yet, and a site shows what it holds; run {command} first")
        return cls(Shared.of(run), images=images)

    @cached_property
    def manifests(self) -> dict[str, Manifest]:
        """The data of each domain, without file names and captions where its pictures may not be shown."""
        found = {}
        for domain in self.run.config.data:
            manifest = readable(f"manifest of {domain}", partial(Manifest.load, self.run.paths[f"manifest:{domain}"]))
            if not self._allowed(manifest):
                manifest = copy.copy(manifest)
                manifest.table = manifest.table.assign(file="", caption=None)
            found[domain] = manifest
        return found

    def _allowed(self, manifest: Manifest) -> bool:
        return manifest.kind == OURS or self.images

    def shows(self, domain: str) -> bool:
        """Whether this domain's pictures are part of the site."""
        manifest = self.manifests[domain]
        return self._allowed(manifest) and manifest.has_images

    def withheld(self) -> list[str]:
        """Domains whose pictures are left out because nobody said that they may be published."""
        return [name for name, manifest in self.manifests.items() if not self._allowed(manifest)]

    @cached_property
    def acts(self) -> Activations:
        """What fires on what."""
        found = self.activations
        assert found is not None
        return found

    @cached_property
    def sae(self) -> SAE:
        """The dictionary."""
        return SAE.load(self.run.paths["train"])

    @cached_property
    def directions(self) -> Directions | None:
        """The map of decoder directions."""
        return self._load("directions", Directions.load)

    @cached_property
    def scan(self) -> pd.DataFrame | None:
        """Which latents steer."""
        found = self._load("scan", Scan.load)
        return None if found is None else found.table

    @cached_property
    def classes(self) -> dict[str, list[str]]:
        """Names of the classes by domain."""
        return {domain: manifest.classes for domain, manifest in self.manifests.items()}

    @cached_property
    def table(self) -> pd.DataFrame:
        """Every latent, as the gallery lists them."""
        return latent_table(self.acts, self.names, self.geometry, classes=self.classes, scan=self.scan)

    def card(self, latent: int) -> Card:
        """All there is to see of a latent."""
        return latent_card(self.acts, self.sae, latent, classes=self.classes, names=self.names, geometry=self.geometry)

    def what(self, domain: str, image: int) -> str:
        """What a picture is; its class alone, or its number, where the data may not be shown."""
        said = what_it_is(self.manifests[domain], image)
        return said or f"image {image}"


def readable(what: str, read: Callable[[], T]) -> T:
    """What `read` gives. Raises DamagedArtifact, in one line, for a file that is gone or is not what it should be."""
    try:
        return read()
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DamagedArtifact(
            f"{what} cannot be read ({line}); `verify` names the file, remove the artifact and run again"
        ) from None
