"""What naming and testing look at, opened once: activations, pictures, embeddings, and the two halves of the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sae_core.activations.index import Activations
from sae_core.clip.embed import Embeddings
from sae_core.clip.towers import Towers
from sae_core.data.manifest import Manifest
from sae_core.interpret.evidence import Evidence, gather
from sae_core.store import Inputs


@dataclass(frozen=True)
class Material:
    """The parents of an interpret artifact, read; `evidence` is in the order of `activations`."""

    activations: Activations
    manifests: Mapping[str, Manifest]
    embeddings: Mapping[str, Embeddings]
    evidence: Evidence
    towers: Towers

    @classmethod
    def load(cls, inputs: Inputs, seed: int, device: str = "auto") -> Material:
        """Open the artifacts of the roles `activations`, and `manifest:<domain>` and `embed:<domain>` of every domain.

        Args:
            inputs: a stage's inputs, or `Inputs({"activations": run.paths["collect"], **run.paths})` for a run.
            seed: of the interpret config: it decides which images are in which half.
            device: for the text tower.
        """
        activations = Activations.load(inputs["activations"])
        manifests = {domain: Manifest.load(path) for domain, path in inputs.domains("manifest").items()}
        embeddings = {domain: Embeddings.load(path) for domain, path in inputs.domains("embed").items()}
        evidence = gather(activations, manifests, embeddings, seed)
        return cls(activations, manifests, embeddings, evidence, Towers(device))

    def files(self, rows: list[int]) -> list[str]:
        """`<domain>/<file>` of rows of the activation store."""
        images = self.activations.images
        domains, ids = images["domain"].astype(str).to_numpy(), images["image"].to_numpy()
        return [f"{domains[row]}/{self.manifests[domains[row]].table['file'].iat[int(ids[row])]}" for row in rows]
