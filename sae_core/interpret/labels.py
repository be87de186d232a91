"""Labels that people give: `said/<train key>/labels.json`, beside the machine's names, which stay as they are."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sae_core.errors import DamagedArtifact, InputError
from sae_core.interpret.records import CSV, MAX_LABEL, Names, clean, write_csv
from sae_core.interpret.said import said_folder, writing
from sae_core.store import Store, write_atomic

FORMAT = 1
FILE = "labels.json"
MAX_AUTHOR = 60


@dataclass(frozen=True)
class ManualLabel:
    """A person's label for a latent.

    Attributes:
        latent, label: what is called what; one line of at most 80 characters.
        author: who says so, one line of at most 60 characters.
        time: when, UTC, ISO 8601.
        scores: by method (`detection`, `clip_consistency`) as in a machine's record; empty while it has not been scored.
    """

    latent: int
    label: str
    author: str
    time: str
    scores: Mapping[str, Any] = field(default_factory=dict)


def load_labels(store: Store, run_id: str) -> dict[int, ManualLabel]:
    """The manual labels of a run by latent; none where nobody has given any.

    Raises: InputError for what is no run's id, DamagedArtifact when the file cannot be read (it is not overwritten).
    """
    return _read(said_folder(store, run_id) / FILE)


def set_label(
    store: Store, run_id: str, latent: int, label: str, author: str, scores: Mapping[str, Any] | None = None
) -> dict[int, ManualLabel]:
    """Set a latent's manual label with its scores (an empty label removes it) and return all labels of the run as they then are.

    Writers wait for one another, so no label is lost to a second browser, and a reader sees the old file or the new one.

    Raises: InputError for a run that is not there, a latent that is no number from 0 on, a label or author that is too long, no
        author, or a folder that cannot be written; DamagedArtifact.
    """
    folder = said_folder(store, run_id)
    made = manual_label(latent, label, author, scores)
    labels: dict[int, ManualLabel] = {}
    with writing(folder, FILE):
        labels = _read(folder / FILE)
        labels.pop(made.latent, None)
        if made.label:
            labels[made.latent] = made
        content = {"format": FORMAT, "labels": [asdict(labels[j]) for j in sorted(labels)]}
        write_atomic(folder / FILE, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode())
    return labels


def manual_label(latent: int, label: str, author: str, scores: Mapping[str, Any] | None = None) -> ManualLabel:
    """A checked label of now, for keeping in memory too. Raises InputError (see `set_label`)."""
    if isinstance(latent, bool) or int(latent) != latent or latent < 0:
        raise InputError(f"no latent {latent}: a label is for a latent's number, from 0 on")
    label, author = clean(label, 10_000), clean(author, 10_000)
    if not author and label:
        raise InputError("a label needs its author: give a name or initials")
    for what, text, limit in (("label", label, MAX_LABEL), ("author", author, MAX_AUTHOR)):
        if len(text) > limit:
            raise InputError(f"the {what} has {len(text):,} characters; shorten it to {limit}")
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return ManualLabel(int(latent), label, author, now, dict(scores or {}))


def with_labels(records: Sequence[Mapping[str, Any]], labels: Mapping[int, ManualLabel]) -> list[dict[str, Any]]:
    """Machine records with what people say beside it: `manual_label`, `manual_author`, `manual_time` and the label's scores."""
    out = []
    for record in records:
        own = labels.get(int(record["latent"]))
        scores = own.scores if own is not None else {}
        said = {
            "manual_label": own.label if own is not None else None,
            "manual_author": own.author if own is not None else None,
            "manual_time": own.time if own is not None else None,
        }
        for method in ("detection", "clip_consistency"):
            score = scores.get(method) or {}
            said |= {f"manual_{method}{end}": score.get(part) for end, part in _PARTS}
        out.append({**record, **said})
    return out


def export_names(names: Names, labels: Mapping[int, ManualLabel], folder: Path) -> list[Path]:
    """Write `sae_latents.csv` (the seed project's columns first) and `sae_latents.json` with all scores; the files written.

    Both hold the machine's names and, beside them, the manual labels.

    Raises: InputError when the folder cannot be written.
    """
    records = with_labels(names.records(), labels)
    content = {"about": dict(names.about), "records": records}
    table, whole = folder / CSV, folder / CSV.replace(".csv", ".json")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(table, records)
        write_atomic(whole, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode())
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; choose another folder") from None
    return [table, whole]


_PARTS = (("", "value"), ("_ci_low", "ci_low"), ("_ci_high", "ci_high"))


def _read(file: Path) -> dict[int, ManualLabel]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if (version := content["format"]) == FORMAT:
            return {int(one["latent"]): ManualLabel(**one) for one in content["labels"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedArtifact(f"{file} cannot be read ({error}); mend it or remove it, which loses its labels") from None
    raise InputError(f"{file} has format {version}, this version reads {FORMAT}; open it with the version that wrote it")
