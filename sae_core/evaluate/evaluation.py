"""What `evaluate` leaves: the report, its tables, a log; written to a folder and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sae_core.errors import DamagedArtifact, InputError

PER_CLASS = {
    "domain": "str",
    "class": "str",
    "n": "int64",
    "accuracy_clip": "float64",
    "accuracy_sae": "float64",
    "delta": "float64",
    "delta_ci_low": "float64",
    "delta_ci_high": "float64",
}
PER_IMAGE = {"domain": "str", "image": "int64", "label": "int64", "pred_clip": "int64", "pred_sae": "int64"}
FLIPS = {
    **PER_IMAGE,
    "kind": "str",
    "margin_clip": "float64",
    "margin_sae": "float64",
    "bias": "float64",
    "residual": "float64",
    "latents": "object",
    "pushes": "object",
}
LATENTS = {"domain": "str", "latent": "int64", "rate": "float64", "ms": "float64"}
TABLES: Mapping[str, Mapping[str, str]] = {
    "per_class": PER_CLASS,
    "per_image": PER_IMAGE,
    "flips": FLIPS,
    "latents": LATENTS,
}
"""Columns of each table by name, with their types."""


class Evaluation:
    """What `evaluate` wrote.

    Attributes:
        report: all numbers with what they were measured on (`report.json`).
        per_class: DataFrame domain, class, n, accuracy_clip, accuracy_sae, delta, delta_ci_low, delta_ci_high.
        per_image: DataFrame domain, image, label, pred_clip, pred_sae (class numbers).
        flips: DataFrame of the images taken for another class, and what moved them; see `flips.flipped`.
        latents: DataFrame domain, latent, rate, ms, over held-out rows.
        log: a line a domain.
    """

    def __init__(self, report: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], log: str) -> None:
        self.report = report
        self.per_class, self.per_image, self.flips, self.latents = (tables[name] for name in TABLES)
        self.log = log

    @classmethod
    def load(cls, folder: str | Path) -> Evaluation:
        """Read an evaluate artifact.

        Raises: InputError when there is none, DamagedArtifact when it cannot be read.
        """
        folder = Path(folder)
        if not (folder / "report.json").is_file():
            raise InputError(f"no evaluation in {folder}; make one with the evaluate command")
        try:
            report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
            log = (folder / "eval.log").read_text(encoding="utf-8")
            tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
        except (OSError, ValueError) as error:
            line = str(error).splitlines()[0]
            raise DamagedArtifact(f"evaluation {folder.name} is damaged: {line}; remove it and evaluate again") from None
        return cls(report, tables, log)

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        text = json.dumps(self.report, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "report.json").write_text(text, encoding="utf-8")
        for name in TABLES:
            getattr(self, name).to_parquet(folder / f"{name}.parquet", index=False)
        (folder / "eval.log").write_text(self.log, encoding="utf-8")

    def metrics(self) -> dict[str, float]:
        """The flat metrics by their names everywhere; one that is not defined on this data is left out."""
        return {name: float(value) for name, value in self.report["metrics"].items() if value is not None}
