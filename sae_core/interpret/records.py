"""Names as they are kept: `names.json`, one record a latent, and `sae_latents.csv` for spreadsheets and the seed project."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sae_core.errors import DamagedArtifact, InputError
from sae_core.store import write_atomic

FORMAT = 1
STATUSES = ("ok", "uninterpretable", "insufficient_data", "dead")
MAX_LABEL = 80
TABLE = "names.json"
CSV = "sae_latents.csv"
FIELDS = (
    "latent",
    "status",
    "label",
    "candidate",
    "reason",
    "cosine",
    "score",
    "ci_low",
    "ci_high",
    "near_miss_auroc",
    "p",
    "swap_gap",
    "positives",
    "negatives",
    "alternatives",
    "top_images",
)
"""A record. `candidate` is the best word whether or not it became the `label`; the numbers are the candidate's.

`alternatives` are the next words with their cosines; `positives` and `negatives` count distinct held-out images.
"""
CSV_COLUMNS = ("latent_id", "interpretation", *(f for f in FIELDS if f not in ("latent", "label")))
"""The seed project's two columns first, so that its scripts read the file; a latent without a name has an empty second one."""


@dataclass(frozen=True)
class Names:
    """The names of latents, with everything needed to judge them.

    Attributes:
        table: a row a latent, the columns FIELDS; absent numbers are NaN, an absent label is None.
        about: method, vocabulary, encoder, thresholds, split sizes, what the score means (`circularity`).
    """

    table: pd.DataFrame
    about: Mapping[str, Any]

    @classmethod
    def load(cls, folder: str | Path) -> Names:
        """Read an interpret artifact.

        Raises:
            InputError: there is none in this folder, or it has a later format.
            DamagedArtifact: the file cannot be read.
        """
        file = Path(folder) / TABLE
        if not file.is_file():
            raise InputError(f"no names in {folder}; make them with the interpret command")
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            records, about = content["records"], content["about"]
            version = int(about["format"])
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DamagedArtifact(f"{file} cannot be read: {error}; remove the artifact and interpret again") from None
        if version != FORMAT:
            raise InputError(f"{file} has format {version}, this version reads {FORMAT}; interpret again")
        return cls(frame(records), about)

    def save(self, folder: Path) -> None:
        """Write names.json and sae_latents.csv."""
        records = [{name: _json(row[name]) for name in FIELDS} for row in self.table.to_dict("records")]
        about = json.dumps({"format": FORMAT, **self.about}, ensure_ascii=False, allow_nan=False, indent=1)
        lines = ",\n".join(json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records)
        write_atomic(folder / TABLE, f'{{"about": {about},\n"records": [\n{lines}\n]}}\n'.encode())
        write_csv(folder / CSV, records)

    def label(self, latent: int) -> str | None:
        """The name of a latent, or None: abstained, too few images, dead, or not asked for."""
        return self._labels.get(int(latent))

    @cached_property
    def _labels(self) -> dict[int, str]:
        named = self.table[self.table["status"] == "ok"]
        return dict(zip(named["latent"].astype(int), named["label"].astype(str), strict=True))

    def metrics(self) -> dict[str, float]:
        """Counts by status, the median score of the names given, and how often random directions of each kind got none."""
        counts = self.table["status"].value_counts()
        found = {f"names_{status}": float(counts.get(status, 0)) for status in STATUSES}
        scores = self.table.loc[self.table["status"] == "ok", "score"].dropna()
        if len(scores):
            found["names_score_median"] = float(scores.median())
        for kind, rate in self.about["random_abstention_by_kind"].items():
            found[f"names_abstention_{kind}"] = float(rate)
        return found


def frame(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Records as a table: numbers float64 (NaN where absent), counts and ids int64, texts and lists as objects."""
    table = pd.DataFrame({name: pd.Series([record[name] for record in records], dtype=object) for name in FIELDS})
    for name in ("latent", "positives", "negatives"):
        table[name] = table[name].astype(np.int64)
    for name in ("cosine", "score", "ci_low", "ci_high", "near_miss_auroc", "p", "swap_gap"):
        table[name] = table[name].astype(np.float64)
    return table


def _json(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return round(float(value), 6) if np.isfinite(value) else None  # a number that is not there is null, never NaN
    return int(value) if isinstance(value, np.integer) else value


def clean(text: str, limit: int = MAX_LABEL) -> str:
    """Text as one line without control characters, cut to `limit` characters."""
    # Not printable are exactly the categories Other (control, format, ...) and Separator, but for the space.
    plain = text if text.isprintable() else "".join(character if character.isprintable() else " " for character in text)
    plain = " ".join(plain.split())
    return plain if len(plain) <= limit else plain[: limit - 1].rstrip() + "…"


def inert(text: str) -> str:
    """A text cell that no spreadsheet takes for a formula: one that begins with = + - @ gets an apostrophe before it.

    >>> inert("=HYPERLINK(1)"), inert("house")
    ("'=HYPERLINK(1)", 'house')
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def write_csv(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write records as CSV (CSV_COLUMNS, UTF-8): absent values empty, lists joined by `; `, texts made inert."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for record in records:
            ordered = (record["latent"], record["label"], *(record[name] for name in CSV_COLUMNS[2:]))
            writer.writerow([_cell(value) for value in ordered])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, list):
        parts = [f"{one['word']} ({one['cosine']:.3f})" if isinstance(one, dict) else str(one) for one in value]
        return inert(clean("; ".join(parts), 2000))
    return inert(clean(str(value), 400))
