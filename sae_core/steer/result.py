"""What steering one image did, as it is kept: recipe.json, curves.parquet, neighbours.parquet, result.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sae_core.errors import DamagedArtifact, InputError
from sae_core.steer.edits import Recipe, read_recipe
from sae_core.store import write_atomic

FORMAT = 1


@dataclass(frozen=True)
class Steered:
    """What steering one image did.

    Attributes:
        recipe: as applied, clamps with their units.
        curves: frame of `effects.label_curves`; empty when there are no labels.
        neighbours: frame side (before | after), rank, row, domain, image, cosine, label, activation (of the first edited
            latent).
        result: the rest: image, edits, verdict, labels before and after, active and collateral latents, notes.
    """

    recipe: Recipe
    curves: pd.DataFrame
    neighbours: pd.DataFrame
    result: Mapping[str, Any]

    @classmethod
    def load(cls, folder: str | Path) -> Steered:
        """Read a steer artifact.

        Raises:
            InputError: there is none in this folder, or it has another format.
            DamagedArtifact: a file cannot be read.
        """
        path = Path(folder)
        if not (path / "result.json").is_file():
            raise InputError(f"no steering result in {path}; make one with the steer command")
        try:
            result = json.loads((path / "result.json").read_text(encoding="utf-8"))
            curves = pd.read_parquet(path / "curves.parquet")
            neighbours = pd.read_parquet(path / "neighbours.parquet")
            version = result["format"]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DamagedArtifact(f"steering result {path.name} cannot be read: {error}; remove it and steer again") from None
        if version != FORMAT:
            raise InputError(f"{path.name} has format {version}, this version reads {FORMAT}; steer again")
        return cls(read_recipe(path / "recipe.json"), curves, neighbours, result)

    def save(self, folder: Path) -> None:
        """Write recipe.json, curves.parquet, neighbours.parquet, result.json."""
        write_atomic(folder / "recipe.json", self.recipe.to_json().encode())
        self.curves.to_parquet(folder / "curves.parquet", index=False)
        self.neighbours.to_parquet(folder / "neighbours.parquet", index=False)
        write_atomic(folder / "result.json", json.dumps(self.result, ensure_ascii=False, indent=1, allow_nan=False).encode())

    def metrics(self) -> dict[str, float]:
        """Mean effect over the sweep and at random, Spearman, overlap of the nearest images, specificity."""
        names = ("steer_effect", "steer_effect_random", "steer_p", "steer_spearman", "steer_jaccard", "steer_specificity")
        return {name: float(self.result[name]) for name in names if self.result.get(name) is not None}
