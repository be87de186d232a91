"""What the geometry stage wrote: the shares of each verdict by domain and dictionary, and every latent with its measures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sae_core.errors import DamagedArtifact, InputError
from sae_core.evaluate.geometry.verdicts import UNTESTED, VERDICTS, Geometry

OWN, RANDOM, RAW = "dictionary", "random dictionary", "raw dimensions"
"""What is judged: the run's dictionary and its two controls."""
SHORT = {OWN: "", RANDOM: "_random", RAW: "_raw"}
"""What stands behind the name of a flat metric of each."""


class GeometryReport:
    """A geometry artifact, read back.

    Attributes:
        report: `domains.<name>` with n, classes, class_from_strokes, class_from_nothing, latents_tested and, for each dictionary,
            `tested` and the `latents`, `share`, `low`, `high` of each verdict; `notes` on domains that were left out; and how it
            was done (`report.json`).
        latents: DataFrame domain and the columns of `Geometry.latents`, of the dictionary.
        measures: DataFrame domain, latent, measure, rho, p of its latents that were tested.
    """

    def __init__(self, report: Mapping[str, Any], latents: pd.DataFrame, measures: pd.DataFrame) -> None:
        self.report = report
        self.latents = latents
        self.measures = measures

    @classmethod
    def load(cls, folder: str | Path) -> GeometryReport:
        """Read a geometry artifact.

        Raises: InputError when there is none, DamagedArtifact when it cannot be read.
        """
        folder = Path(folder)
        if not (folder / "report.json").is_file():
            raise InputError(f"no verdicts in {folder}; make them with the geometry command")
        try:
            report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
            tables = [pd.read_parquet(folder / f"{name}.parquet") for name in ("latents", "measures")]
        except (OSError, ValueError) as error:
            line = str(error).splitlines()[0]
            raise DamagedArtifact(f"geometry {folder.name} is damaged: {line}; remove it and judge again") from None
        return cls(report, *tables)

    def save(self, folder: Path) -> None:
        """Write it."""
        text = json.dumps(self.report, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "report.json").write_text(text, encoding="utf-8")
        self.latents.to_parquet(folder / "latents.parquet", index=False)
        self.measures.to_parquet(folder / "measures.parquet", index=False)

    def metrics(self) -> dict[str, float]:
        """Flat: `<D>.geometry_n`, `<D>.class_from_strokes`, `<D>.latents_tested`, and of each verdict `<D>.geometric_share` with
        `_ci_low` and `_ci_high`, and `<D>.geometric_share_random` and `<D>.geometric_share_raw` of the controls.
        """
        out: dict[str, float] = {}
        for domain, found in self.report["domains"].items():
            out[f"{domain}.geometry_n"] = float(found["n"])
            out[f"{domain}.class_from_strokes"] = float(found["class_from_strokes"])
            out[f"{domain}.latents_tested"] = float(found["latents_tested"])
            for kind, end in SHORT.items():
                for verdict in VERDICTS:
                    numbers = found["dictionaries"][kind][verdict]
                    if numbers["share"] is not None:
                        out[f"{domain}.{verdict}_share{end}"] = float(numbers["share"])
                        if kind == OWN:
                            out[f"{domain}.{verdict}_share_ci_low"] = float(numbers["low"])
                            out[f"{domain}.{verdict}_share_ci_high"] = float(numbers["high"])
        return out


def share_table(geometry: Geometry) -> dict[str, Any]:
    """`tested`, and of each verdict its `latents`, `share`, `low` and `high`; null where none was tested."""
    out: dict[str, Any] = {"tested": int((geometry.latents["verdict"] != UNTESTED).sum())}
    for line in geometry.shares().to_dict("records"):
        numbers = {name: float(line[name]) for name in ("share", "low", "high")}
        found = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        out[str(line["verdict"])] = {"latents": int(line["latents"]), **found}
    return out


def measure_table(geometry: Geometry) -> pd.DataFrame:
    """DataFrame latent, measure, rho, p of the latents that were tested, in the order of latents and measures."""
    tested = np.flatnonzero((geometry.latents["verdict"] != UNTESTED).to_numpy())
    names = list(geometry.measures)
    return pd.DataFrame(
        {
            "latent": np.repeat(tested, len(names)),
            "measure": np.tile(np.array(names, dtype=object), len(tested)),
            "rho": geometry.rho[tested].ravel(),
            "p": geometry.p[tested].ravel(),
        }
    )
