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
STATUSES = ("ok", "uninterpretable", "polysemantic", "insufficient_data", "dead", "failed")
"""`polysemantic` and `failed` (no reply that can be used) come from a vision model alone."""
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
    "retrieval",
)
"""A record. `candidate` is the best word whether or not it became the `label`; the numbers are the candidate's.

`alternatives` are the next words with their cosines; `positives` and `negatives` count distinct held-out images; `retrieval` is
the share of the 10 held-out images nearest to the candidate that fire the latent.
"""
VISION_FIELDS = (
    "explanation",
    "counterevidence",
    "confidence",
    "scores",
    "shown",
    "scored",
    "model_asked",
    "model_served",
    "provider",
    "prompt_version",
    "cost",
    "tokens_in",
    "tokens_out",
    "calls",
)
"""What a record from a vision model has beside FIELDS; there `score` with its interval is that of detection.

`scores` holds what each method found, or null: detection, intruder, clip_consistency. `shown` and `scored` are rows of the
activation store by role, `cost` is in USD (null: unknown), `confidence` is the model's own and no score.
"""
CSV_COLUMNS = ("latent_id", "interpretation", *(f for f in FIELDS if f not in ("latent", "label")))
"""The seed project's two columns first, so that its scripts read the file; a latent without a name has an empty second one."""
METHODS = ("detection", "intruder", "clip_consistency")
SCORE_PARTS = ("value", "ci_low", "ci_high", "auroc", "coverage", "n_pos", "n_neg")


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
            about = content["about"]
            if (version := int(about["format"])) == FORMAT:
                return cls(frame(content["records"]), about)
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DamagedArtifact(f"{file} cannot be read: {error}; remove the artifact and interpret again") from None
        raise InputError(f"{file} has format {version}, this version reads {FORMAT}; interpret again")

    def save(self, folder: Path) -> None:
        """Write names.json and sae_latents.csv."""
        records = self.records()
        about = json.dumps({"format": FORMAT, **self.about}, ensure_ascii=False, allow_nan=False, indent=1)
        lines = ",\n".join(json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records)
        write_atomic(folder / TABLE, f'{{"about": {about},\n"records": [\n{lines}\n]}}\n'.encode())
        write_csv(folder / CSV, records)

    def records(self) -> list[dict[str, Any]]:
        """Every record as plain JSON values; a number that is not there is None."""
        return [{str(name): _json(value) for name, value in row.items()} for row in self.table.to_dict("records")]

    def scores(self) -> pd.DataFrame:
        """Every score that was given, a row a latent and method, with the columns latent, method and SCORE_PARTS.

        `detection` is a balanced accuracy, `clip_consistency` an AUROC (chance 0.5), `intruder` a share (chance 0.2).
        """
        rows = [
            {"latent": record["latent"], "method": method, **{part: score.get(part) for part in SCORE_PARTS}}
            for record in self.records()
            for method, score in scores_of(record).items()
            if score is not None and score["value"] is not None
        ]
        table = pd.DataFrame(rows, columns=["latent", "method", *SCORE_PARTS])
        return table.astype({"latent": np.int64, **dict.fromkeys(SCORE_PARTS, np.float64)})

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
        always = ("ok", "uninterpretable", "insufficient_data", "dead")
        found = {f"names_{status}": float(counts.get(status, 0)) for status in STATUSES if status in always or status in counts}
        scores = self.table.loc[self.table["status"] == "ok", "score"].dropna()
        if len(scores):
            found["names_score_median"] = float(scores.median())
        for kind, rate in self.about.get("random_abstention_by_kind", {}).items():
            found[f"names_abstention_{kind}"] = float(rate)
        if "cost" in self.table:
            found["names_cost"] = float(self.table["cost"].fillna(0).sum())
        return found


def scores_of(record: Mapping[str, Any]) -> dict[str, dict[str, Any] | None]:
    """The scores of a record by method; an offline record has one, its CLIP consistency."""
    if "scores" in record:
        return dict(record["scores"])
    own = {"value": record["score"], "ci_low": record["ci_low"], "ci_high": record["ci_high"]}
    return {"clip_consistency": {**own, "n_pos": record["positives"], "n_neg": record["negatives"]}}


def frame(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Records as a table: numbers float64 (NaN where absent), counts and ids int64, texts and lists as objects.

    The columns are FIELDS, and VISION_FIELDS where the records have them.
    """
    more = VISION_FIELDS if records and "scores" in records[0] else ()
    table = pd.DataFrame(
        {name: pd.Series([_field(record, name) for record in records], dtype=object) for name in (*FIELDS, *more)}
    )
    for name in ("latent", "positives", "negatives"):
        table[name] = table[name].astype(np.int64)
    for name in ("cosine", "score", "ci_low", "ci_high", "near_miss_auroc", "p", "swap_gap", "retrieval"):
        table[name] = table[name].astype(np.float64)
    for name in ("confidence", "cost") if more else ():
        table[name] = table[name].astype(np.float64)
    for name in ("tokens_in", "tokens_out", "calls") if more else ():
        table[name] = table[name].astype(np.int64)
    return table


def _field(record: Mapping[str, Any], name: str) -> Any:
    # Artifacts of before `retrieval` was measured are read without it.
    return record.get(name) if name == "retrieval" else record[name]


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
    """Write records as CSV (UTF-8): CSV_COLUMNS first, absent values empty, lists joined by `; `, texts made inert.

    Records from a vision model have more columns: what the model said and cost, and every score with its parts.
    """
    seen = records[0] if records else {}
    texts = [name for name in VISION_FIELDS if name in seen and name not in ("scores", "shown", "scored")]
    parts = [(method, part) for method in METHODS for part in SCORE_PARTS] if "scores" in seen else []
    own = [name for name in seen if name not in (*FIELDS, *VISION_FIELDS)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        heads = [method if part == "value" else f"{method}_{part}" for method, part in parts]
        writer.writerow([*CSV_COLUMNS, *texts, *heads, *own])
        for record in records:
            ordered = [record["latent"], record["label"], *(_field(record, name) for name in (*CSV_COLUMNS[2:], *texts))]
            ordered += [(record["scores"].get(method) or {}).get(part) for method, part in parts]
            writer.writerow([_cell(value) for value in [*ordered, *(record[name] for name in own)]])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, list):
        parts = [f"{one['word']} ({one['cosine']:.3f})" if isinstance(one, dict) else str(one) for one in value]
        return inert(clean("; ".join(parts), 2000))
    return inert(clean(str(value), 400))
